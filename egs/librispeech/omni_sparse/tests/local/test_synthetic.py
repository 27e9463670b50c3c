# SPDX-License-Identifier: Apache-2.0
"""The synthetic corpus: its plan, its speech, and what interrupts either."""

import builtins
import random
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from emformer.data.corpus import load_corpus
from emformer.data.manifests import manifest_paths, read_manifest
from emformer.errors import RecipeError
from local import prepare_synthetic, prepare_synthetic_manifests
from local.synthetic import corpus as synthetic
from local.synthetic import espeak
from local.synthetic.corpus import SPEAKERS, fingerprint, plan_corpus, render, speak_split
from local.synthetic.espeak import Espeak, Voice
from local.synthetic.grammar import Grammar, draw_sentences
from local.synthetic.noise import add_noise, coloured_noise
from local.synthetic.resample import resample
from tests.support.touched import touched

SIZES = {"train": 300, "dev": 40, "test-clean": 60, "test-other": 60, "search": 50}
HELD_OUT = [split for split in SIZES if split != "train"]


@pytest.fixture(scope="module")
def plan():
    return plan_corpus(SIZES, seed=0)


# The plan.


def test_the_plan_is_a_function_of_the_seed(plan):
    assert plan_corpus(SIZES, seed=0) == plan


def test_another_seed_is_another_plan(plan):
    other = plan_corpus(SIZES, seed=1)
    for split, utterances in plan.items():
        assert {u.text for u in other[split]} != {u.text for u in utterances}


def test_every_split_has_the_size_asked_for(plan):
    assert {split: len(utterances) for split, utterances in plan.items()} == SIZES


def test_a_larger_training_split_leaves_the_others_as_they_are(plan):
    larger = plan_corpus({**SIZES, "train": 400}, seed=0)
    for split in ("dev", "test-clean", "test-other"):
        assert larger[split] == plan[split]


def test_the_search_split_changes_none_of_the_others(plan):
    without = plan_corpus({s: size for s, size in SIZES.items() if s != "search"}, seed=0)
    assert without == {split: plan[split] for split in without}


def test_a_sentence_of_a_held_out_split_is_said_once_in_the_whole_corpus(plan):
    held_out = [u.text for split in HELD_OUT for u in plan[split]]
    assert len(set(held_out)) == len(held_out)
    assert not set(held_out) & {u.text for u in plan["train"]}


def test_utterances_have_names_of_their_own(plan):
    names = [u.id for utterances in plan.values() for u in utterances]
    assert len(set(names)) == len(names)


def test_no_variant_of_a_held_out_split_is_heard_in_training(plan):
    variants = {
        split: {u.voice.name.split("+")[1].lower() for u in utterances}
        for split, utterances in plan.items()
    }
    listed = yaml.safe_load(SPEAKERS.read_text())
    for split in HELD_OUT:
        assert not variants[split] & variants["train"]
        both = {v.lower() for v in listed[split]["variants"]}
        assert not both & {v.lower() for v in listed["train"]["variants"]}


def test_no_variant_of_a_test_split_is_heard_in_another():
    listed = yaml.safe_load(SPEAKERS.read_text())
    for split in ("test-clean", "test-other"):
        others = {v.lower() for s, at in listed.items() if s != split for v in at["variants"]}
        assert not {v.lower() for v in listed[split]["variants"]} & others


def test_words_of_the_test_splits_can_be_said_in_training(plan):
    known = Grammar.load().vocabulary
    for utterances in plan.values():
        assert {word for u in utterances for word in u.text.split()} <= known


def test_texts_are_upper_case_words(plan):
    for utterances in plan.values():
        assert all(re.fullmatch(r"[A-Z']+( [A-Z']+)*", u.text) for u in utterances)


def test_a_split_without_speakers_is_named():
    with pytest.raises(RecipeError, match="no speakers for split 'test-noisy'"):
        plan_corpus({"test-noisy": 3}, seed=0)


def test_the_fingerprint_covers_sizes_seed_and_files(tmp_path, monkeypatch):
    found = {fingerprint(SIZES, 0), fingerprint(SIZES, 1), fingerprint({**SIZES, "dev": 41}, 0)}
    assert len(found) == 3
    for name in ("grammar.yaml", "speakers.yaml", "corpus.py"):
        (tmp_path / name).write_text("a: 1\n")
    monkeypatch.setattr(synthetic, "__file__", str(tmp_path / "corpus.py"))
    for name in ("grammar.yaml", "speakers.yaml", "corpus.py"):
        before = fingerprint(SIZES, 0)
        (tmp_path / name).write_text("a: 2\n")
        assert fingerprint(SIZES, 0) != before


def test_the_fingerprint_takes_no_notice_of_an_editors_leftovers(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "__file__", str(tmp_path / "corpus.py"))
    before = fingerprint(SIZES, 0)
    (tmp_path / ".corpus.py.swp").write_bytes(b"\xff\xfe\x00")
    assert fingerprint(SIZES, 0) == before


# The grammar.


@pytest.fixture
def grammar_file(tmp_path) -> Path:
    return tmp_path / "grammar.yaml"


def test_an_unknown_symbol_is_named(grammar_file):
    grammar_file.write_text("rules: {SENTENCE: [the ANIMAL]}\nwords: {COLOUR: red blue}\n")
    with pytest.raises(RecipeError, match="rule SENTENCE uses ANIMAL, which is not defined"):
        Grammar.load(grammar_file)


def test_a_missing_grammar_is_named(grammar_file):
    with pytest.raises(RecipeError, match="grammar.yaml: not a grammar .*No such file"):
        Grammar.load(grammar_file)


@pytest.mark.parametrize(
    "content",
    ["", "rules: {SENTENCE: [a]}", "- a\n- b\n", "rules: [a]\nwords: {A: b}", "rules: {A: [''",
     "rules: {SENTENCE: ['']}\nwords: {A: b}", "rules: {SENTENCE: ['x* a']}\nwords: {A: b}",
     "rules: {SENTENCE: 3}\nwords: {A: b}"],
)  # fmt: skip
def test_a_file_that_is_no_grammar_is_one_line(grammar_file, content):
    grammar_file.write_text(content)
    with pytest.raises(RecipeError, match="grammar.yaml: not a grammar") as e:
        Grammar.load(grammar_file)
    assert "\n" not in str(e.value)


def test_more_sentences_than_the_grammar_can_say_are_refused():
    grammar = Grammar({"SENTENCE": ["a WHAT"]}, {"WHAT": "dog cat"})
    with pytest.raises(RecipeError, match="only 2 new sentences in 150 draws, 3 wanted"):
        draw_sentences(grammar, 3, random.Random(0), set())


def test_sentences_to_avoid_are_not_drawn():
    grammar = Grammar({"SENTENCE": ["a WHAT"]}, {"WHAT": "dog cat cow"})
    found = draw_sentences(grammar, 2, random.Random(0), {"A DOG"})
    assert sorted(found) == ["A CAT", "A COW"]


def test_sentences_may_repeat_where_asked_for():
    grammar = Grammar({"SENTENCE": ["a WHAT"]}, {"WHAT": "dog cat"})
    found = draw_sentences(grammar, 20, random.Random(0), {"A DOG"}, repeat=True)
    assert found == ["A CAT"] * 20


def test_sentences_can_start_from_another_rule():
    grammar = Grammar({"SENTENCE": ["CLAUSE"], "CLAUSE": ["it is"]}, {})
    assert draw_sentences(grammar, 1, random.Random(0), start="CLAUSE") == ["IT IS"]


def test_weights_are_shares_of_the_draws():
    grammar = Grammar({"SENTENCE": ["3* a", "b"]}, {})
    rng = random.Random(0)
    share = sum(grammar.sentence(rng) == "A" for _ in range(4000)) / 4000
    assert share == pytest.approx(0.75, abs=0.03)


def test_a_word_that_stands_twice_is_not_twice_as_likely():
    grammar = Grammar({"SENTENCE": ["WHAT"]}, {"WHAT": "dog dog dog cat"})
    rng = random.Random(0)
    assert sum(grammar.sentence(rng) == "DOG" for _ in range(2000)) == pytest.approx(1000, abs=90)


# The noise and the sampling rate.


def power(samples) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


@pytest.mark.parametrize("snr_db", [0.0, 5.0, 20.0, 40.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_ratio_of_speech_to_noise_is_what_was_asked_for(snr_db, seed):
    rng = np.random.default_rng(0)
    speech = (0.1 * rng.standard_normal(48000)).astype(np.float32)
    mixed = add_noise(speech, snr_db, np.random.default_rng(seed)).astype(np.float64)
    # The same noise as in add_noise; the mixture's gain is then known by least squares.
    again = np.random.default_rng(seed)
    noise = coloured_noise(len(speech), again.uniform(0.0, 2.0), again)
    gains, residual, *_ = np.linalg.lstsq(np.stack([speech, noise], 1), mixed, rcond=None)
    assert residual[0] / len(mixed) < 1e-9 * power(mixed)
    measured = 10 * np.log10(power(gains[0] * speech) / power(gains[1] * noise))
    assert measured == pytest.approx(snr_db, abs=0.05)


def test_the_peak_is_between_minus_12_and_minus_1_db():
    speech = np.sin(np.arange(16000) / 10).astype(np.float32)
    for seed in range(20):
        peak = np.abs(add_noise(speech, 20.0, np.random.default_rng(seed))).max()
        assert 10 ** (-12 / 20) - 1e-3 <= peak <= 10 ** (-1 / 20) + 1e-3


@pytest.mark.parametrize("slope, fall", [(0.0, 0.0), (1.0, 3.0), (2.0, 6.0)])
def test_the_noises_power_falls_as_asked_for(slope, fall):
    noise = coloured_noise(1 << 16, slope, np.random.default_rng(0))
    assert power(noise) == pytest.approx(1.0, abs=1e-3)
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [10 * np.log10(spectrum[n : 2 * n].mean()) for n in (1 << 11, 1 << 12, 1 << 13)]
    assert np.diff(octaves) == pytest.approx([-fall, -fall], abs=0.5)


@pytest.mark.parametrize("old, new", [(22050, 16000), (16000, 22050), (8000, 16000)])
def test_a_tone_is_the_same_tone_at_another_rate(old, new):
    def tone(rate, count):
        return np.sin(2 * np.pi * 1000 * np.arange(count) / rate)

    found = resample(tone(old, old), old, new)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, tone(new, new), atol=1e-5)


def test_resampling_keeps_the_duration():
    for length in (1, 440, 441, 442, 12345):
        assert len(resample(np.zeros(length), 22050, 16000)) == -(-length * 320 // 441)


# The speech.


@pytest.fixture(scope="module")
def library():
    return Espeak()


def test_speech_is_heard(library):
    samples = library.say("the dog", Voice("en-us+m1"))
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert 0.3 < len(samples) / library.sampling_rate < 3.0
    assert 0.05 < np.abs(samples).max() <= 1.0


def test_an_unknown_voice_is_named(library):
    with pytest.raises(RecipeError, match="espeak-ng has no voice 'en-mars'"):
        library.say("the dog", Voice("en-mars"))


def test_an_unknown_variant_is_named(library):
    with pytest.raises(RecipeError, match=r"no voice 'en-us\+nobody'"):
        library.say("the dog", Voice("en-us+nobody"))


def test_all_voices_of_the_corpus_are_known(library):
    for settings in yaml.safe_load(SPEAKERS.read_text()).values():
        first, *_ = settings["accents"]
        names = [f"{first}+{variant}" for variant in settings["variants"]]
        for name in [*settings["accents"], *names]:
            assert len(library.say("a", Voice(name)))


def test_variants_sound_different(library):
    one, other = (library.say("the dog", Voice(f"en-us+{v}")) for v in ("m1", "f2"))
    assert len(one) != len(other) or not np.allclose(one, other)


def test_without_the_library_one_line_says_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def no_loader(name, *args, **kwargs):
        if name == "espeakng_loader":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_loader)
    monkeypatch.setattr(espeak.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(RecipeError, match="pip install espeakng-loader .or apt-get install") as e:
        Espeak()
    assert "\n" not in str(e.value)


def test_an_utterance_is_at_16_khz(library, plan):
    samples = render(library, plan["train"][0])
    assert samples.dtype == np.float32
    assert 0.3 < len(samples) / synthetic.SAMPLING_RATE < 20


# The files.


def quiet(items, total):
    return items


def audio(folder: Path) -> dict[str, np.ndarray]:
    return {
        str(p.relative_to(folder)): soundfile.read(p, dtype="int16")[0]
        for p in sorted(folder.rglob("*.wav"))
    }


def assert_same_audio(one: dict, other: dict):
    assert one.keys() == other.keys()
    for name, samples in one.items():
        np.testing.assert_array_equal(samples, other[name], err_msg=name)


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of 5 utterances, planned in this process."""
    monkeypatch.setattr(synthetic, "SHARD_SIZE", 5)


@pytest.fixture
def spoken(tmp_path, plan, small_shards) -> Path:
    speak_split(plan["dev"][:12], tmp_path / "nj1" / "dev", 1, quiet)
    return tmp_path / "nj1" / "dev"


def test_the_number_of_processes_changes_no_sample(spoken, tmp_path, plan):
    speak_split(plan["dev"][:12], tmp_path / "nj2" / "dev", 2, quiet)
    found = audio(tmp_path / "nj2" / "dev")
    assert len(found) == 12
    assert_same_audio(audio(spoken), found)


def test_transcripts_tell_who_said_what_where(spoken, plan):
    lines = [line for p in sorted(spoken.glob("shard-*.tsv")) for line in p.open()]
    assert len(lines) == 12
    for line, utterance in zip(lines, plan["dev"], strict=False):
        name, speaker, path, text = line.rstrip("\n").split("\t")
        assert (name, speaker, text) == (utterance.id, utterance.speaker, utterance.text)
        assert (spoken.parent / path).is_file()


@pytest.mark.parametrize("left", ["nothing", "a part"])
def test_an_interrupted_shard_is_spoken_again_and_finished_ones_are_kept(spoken, plan, left):
    before = audio(spoken)
    kept = spoken / "shard-000.tsv"
    stamps = {p: p.stat().st_mtime_ns for p in [kept, *spoken.rglob("*-0000[0-4].wav")]}
    assert len(stamps) == 6
    transcript = (spoken / "shard-001.tsv").read_text()
    broken = spoken.parent / transcript.split("\t")[2]
    broken.write_bytes(broken.read_bytes()[:500])
    if left == "a part":
        (spoken / "shard-001.part").write_text(transcript[:30])
    (spoken / "shard-001.tsv").unlink()

    speak_split(plan["dev"][:12], spoken, 1, quiet)
    assert (spoken / "shard-001.tsv").read_text() == transcript
    assert_same_audio(before, audio(spoken))
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps


def test_a_finished_split_starts_no_process(spoken, plan, monkeypatch):
    monkeypatch.setattr(synthetic, "get_context", lambda kind: 1 / 0)
    speak_split(plan["dev"][:12], spoken, 1, quiet)


# The scripts.


def run(monkeypatch, module, *words) -> None:
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, words)])
    module.main()


def sizes(number: int = 3) -> list[str]:
    return [f"--num-train={number}", "--num-dev=2", "--num-search=2", "--num-test=2", "--nj=1"]


def test_the_corpus_is_a_function_of_the_seed(tmp_path, monkeypatch, capsys):
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        options = ["--data-dir", tmp_path / folder, "--seed", seed, *sizes()]
        run(monkeypatch, prepare_synthetic, *options)
    a, b, c = (audio(tmp_path / folder / "audio") for folder in "abc")
    assert len(a) == 11
    assert_same_audio(a, b)
    assert not {x.tobytes() for x in a.values()} & {x.tobytes() for x in c.values()}


def test_a_folder_of_another_corpus_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    run(monkeypatch, prepare_synthetic, "--data-dir", tmp_path, *sizes())
    before = audio(tmp_path / "audio")
    for other in (sizes(4), [*sizes(), "--seed=1"]):
        said = "holds another synthetic corpus .*choose another"
        with pytest.raises(RecipeError, match=said) as e:
            run(monkeypatch, prepare_synthetic, "--data-dir", tmp_path, *other)
        assert "\n" not in str(e.value)
    assert_same_audio(before, audio(tmp_path / "audio"))


@pytest.mark.parametrize("option", ["--num-train=0", "--num-dev=-1", "--nj=0"])
def test_sizes_that_make_no_sense_are_refused(tmp_path, monkeypatch, option):
    with pytest.raises(RecipeError, match="must be 1 or more"):
        run(monkeypatch, prepare_synthetic, "--data-dir", tmp_path / "data", option)
    assert not (tmp_path / "data").exists()


def test_too_large_a_corpus_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(
        synthetic.Grammar, "load", lambda: Grammar({"SENTENCE": ["a WHAT"]}, {"WHAT": "dog cat"})
    )
    with pytest.raises(RecipeError, match="only . new sentences"):
        run(monkeypatch, prepare_synthetic, "--data-dir", tmp_path / "data", *sizes())
    assert not (tmp_path / "data").exists()


def test_manifests_hold_what_was_spoken(tmp_path, monkeypatch, capsys):
    run(monkeypatch, prepare_synthetic, "--data-dir", tmp_path, *sizes())
    run(monkeypatch, prepare_synthetic_manifests, "--data-dir", tmp_path)
    for split in load_corpus("synthetic").splits:
        paths = manifest_paths(tmp_path, "synthetic", split)
        recordings = list(read_manifest(paths.recordings))
        supervisions = list(read_manifest(paths.supervisions))
        assert [r.id for r in recordings] == [s.recording_id for s in supervisions]
        assert len(recordings) == (3 if split == "train" else 2)
        assert all(r.sampling_rate == 16000 and r.num_channels == 1 for r in recordings)


def test_where_all_is_done_nothing_is_touched(tmp_path, monkeypatch, capsys):
    for _ in range(2):
        before = touched(tmp_path)
        run(monkeypatch, prepare_synthetic, "--data-dir", tmp_path, *sizes())
        run(monkeypatch, prepare_synthetic_manifests, "--data-dir", tmp_path)
    assert touched(tmp_path) == before


@pytest.mark.parametrize("state", ["never begun", "interrupted"])
def test_manifests_of_speech_that_is_not_complete_are_refused(tmp_path, monkeypatch, capsys, state):
    if state == "interrupted":
        run(monkeypatch, prepare_synthetic, "--data-dir", tmp_path, *sizes())
        (tmp_path / "audio" / synthetic.COMPLETE).unlink()
        next((tmp_path / "audio" / "train").glob("*.tsv")).unlink()
    with pytest.raises(RecipeError, match="missing or not complete; make it with run.sh --stage 0"):
        run(monkeypatch, prepare_synthetic_manifests, "--data-dir", tmp_path)
