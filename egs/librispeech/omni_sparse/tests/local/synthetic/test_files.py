# SPDX-License-Identifier: Apache-2.0
"""The files of the synthetic corpus, and what interrupts their making."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emformer.data.corpus import load_corpus
from emformer.data.manifests import manifest_paths, read_manifest
from emformer.errors import RecipeError
from local import prepare_synthetic, prepare_synthetic_manifests
from local.synthetic import corpus as synthetic
from local.synthetic.corpus import speak_split
from local.synthetic.grammar import Grammar
from tests.support.touched import touched

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


def test_a_folder_of_synthetic_is_not_one_of_quick(tmp_path, monkeypatch, capsys):
    run(monkeypatch, prepare_synthetic, "--data-dir", tmp_path, *sizes())
    small = ["--num-train=3", "--num-dev=2", "--num-test=2", "--nj=1"]
    with pytest.raises(RecipeError, match="holds another synthetic corpus"):
        run(monkeypatch, prepare_synthetic, "--corpus", "quick", "--data-dir", tmp_path, *small)


def test_a_corpus_that_is_not_spoken_is_refused(tmp_path, monkeypatch):
    with pytest.raises(RecipeError, match="--corpus fsdd: it is not spoken by espeak-ng"):
        run(monkeypatch, prepare_synthetic, "--corpus", "fsdd", "--data-dir", tmp_path / "data")


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
        synthetic.Grammar, "load", lambda _: Grammar({"SENTENCE": ["a WHAT"]}, {"WHAT": "dog cat"})
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
