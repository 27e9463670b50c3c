# SPDX-License-Identifier: Apache-2.0
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emformer.data.manifests import manifest_paths, read_manifest
from emformer.errors import RecipeError
from local.prepare_an4 import choose_speakers, main, parse_line
from local.validate_manifest import main as validate
from tests.support.touched import touched
from tests.support.waves import make_wave

#: Speakers and how many utterances each has.
TRAIN = {"fash": 4, "fbbh": 3, "mblb": 5, "mblw": 2}
TEST = {"fcaw": 2, "menk": 2}
TEXTS = ("G E O R G E", "ENTER FIFTY ONE", "YES", "RUBOUT T TWO", "STOP")


def write_tree(root: Path, suffix: str = ".flac", marks: bool = True) -> Path:
    """A made-up AN4; ``marks``: <s> and </s> in the training transcripts, as in the archive."""
    for name, folder, speakers in (("train", "an4_clstk", TRAIN), ("test", "an4test_clstk", TEST)):
        fileids, lines = [], []
        for s, (speaker, number) in enumerate(speakers.items()):
            for n in range(number):
                utterance = f"an{n}-{speaker}-b"
                fileids.append(f"{folder}/{speaker}/{utterance}")
                text = TEXTS[n] if name == "test" or not marks else f"<s> {TEXTS[n]} </s>"
                lines.append(f"{text} ({utterance})")
                path = root / "wav" / (fileids[-1] + suffix)
                path.parent.mkdir(parents=True, exist_ok=True)
                form = {".sph": "NIST"}.get(suffix)
                wave = make_wave(0.5 + 0.1 * n, 16000, 10 * s + n)
                soundfile.write(path, wave, 16000, subtype="PCM_16", format=form)
        etc = root / "etc"
        etc.mkdir(exist_ok=True)
        (etc / f"an4_{name}.fileids").write_text("\n".join(fileids) + "\n")
        (etc / f"an4_{name}.transcription").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="session")
def shared_an4(tmp_path_factory) -> Path:
    """Shared by all tests: copy it before spoiling anything."""
    return write_tree(tmp_path_factory.mktemp("an4"))


@pytest.fixture
def spoilable(shared_an4, tmp_path) -> Path:
    return Path(shutil.copytree(shared_an4, tmp_path / "an4"))


def prepare(an4, data, *more: str) -> Path:
    main(["--an4-dir", str(an4), "--data-dir", str(data), "--dev-utts", "5", *more])
    return data


def supervisions(data: Path, split: str) -> list:
    return read_manifest(manifest_paths(data, "an4", split).supervisions)


def recordings(data: Path, split: str) -> list:
    return read_manifest(manifest_paths(data, "an4", split).recordings)


def speakers(data: Path, split: str) -> set[str]:
    return {one.speaker for one in supervisions(data, split)}


def test_splits_are_of_whole_speakers_and_keep_the_official_test(shared_an4, tmp_path):
    data = prepare(shared_an4, tmp_path)
    assert speakers(data, "test") == set(TEST)
    assert speakers(data, "train") | speakers(data, "dev") == set(TRAIN)
    assert not speakers(data, "train") & speakers(data, "dev")
    counts = {split: len(supervisions(data, split)) for split in ("train", "dev", "test")}
    assert counts == {"train": 9, "dev": 5, "test": 4}


def test_manifests_are_sound(shared_an4, tmp_path):
    data = prepare(shared_an4, tmp_path)
    assert validate(["--corpus", "an4", "--data-dir", str(data)]) == 0


def test_texts_are_words_and_spelled_letters_without_marks_and_ids(shared_an4, tmp_path):
    data = prepare(shared_an4, tmp_path)
    found = {s.id: s.text for split in ("train", "dev", "test") for s in supervisions(data, split)}
    assert {name: TEXTS[int(name[2])] for name in found} == found


@pytest.mark.parametrize(
    "line, expected",
    [
        ("<s> YES </s> (an1-fash-b)", ("an1-fash-b", "YES")),
        ("YES (an1-fash-b)", ("an1-fash-b", "YES")),
        ("<s>  g e   o</s>(cen1-x-b)", ("cen1-x-b", "G E O")),
        ("<s> </s> (an1-fash-b)", ("an1-fash-b", "")),
        ("YES", None),
        ("YES (an1) NO", None),
    ],
)
def test_a_transcripts_line(line, expected):
    assert parse_line(line) == expected


def test_the_archives_marks_change_nothing(shared_an4, tmp_path):
    write_tree(tmp_path / "plain", marks=False)
    one = supervisions(prepare(shared_an4, tmp_path / "one"), "train")
    assert supervisions(prepare(tmp_path / "plain", tmp_path / "two"), "train") == one


def test_sphere_files_become_flac_sample_by_sample(tmp_path):
    an4 = write_tree(tmp_path / "an4", ".sph")
    data = prepare(an4, tmp_path / "data")
    for split in ("train", "dev", "test"):
        for recording in recordings(data, split):
            (original,) = an4.rglob(f"{recording.id}.sph")
            assert original.read_bytes().startswith(b"NIST_1A")
            samples, rate = soundfile.read(original, dtype="float32")
            assert rate == recording.sampling_rate == 16000
            np.testing.assert_array_equal(recording.load_audio()[0], samples)


def test_flac_stays_where_it_is(shared_an4, tmp_path):
    data = prepare(shared_an4, tmp_path)
    assert not (data / "audio").exists()
    assert all(r.sources[0].source.startswith(str(shared_an4)) for r in recordings(data, "test"))


# Who is in dev.


def test_dev_has_as_many_utterances_as_asked_for_where_speakers_allow():
    counts = {f"s{n}": size for n, size in enumerate([13] * 62 + [12] * 8 + [14] * 2 + [9] * 2)}
    chosen = choose_speakers(counts, 100, seed=42)
    assert sum(counts[name] for name in chosen) == 100


def test_dev_never_has_more_than_asked_for():
    assert sum({"a": 4, "b": 4}[name] for name in choose_speakers({"a": 4, "b": 4}, 7, 0)) == 4


def test_another_seed_draws_other_speakers():
    counts = dict.fromkeys(map(str, range(50)), 10)
    drawn = [choose_speakers(counts, 100, seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_speaker_of_training_and_test_is_refused(spoilable, tmp_path):
    path = spoilable / "etc" / "an4_test.fileids"
    path.write_text(path.read_text().replace("/menk/", "/fash/"))
    (spoilable / "wav" / "an4test_clstk" / "menk").rename(
        spoilable / "wav" / "an4test_clstk" / "fash"
    )
    with pytest.raises(RecipeError, match=r"speakers in two splits \(1\): fash \(in \w+ and test"):
        prepare(spoilable, tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("number, split", [("1", "dev"), ("99", "train")])
def test_a_split_of_nobody_is_refused(shared_an4, tmp_path, number, split):
    with pytest.raises(RecipeError, match=f"--dev-utts {number} leaves nothing for {split}"):
        main(["--an4-dir", str(shared_an4), "--data-dir", str(tmp_path), "--dev-utts", number])


# Doing it again.


def test_a_second_run_changes_nothing(shared_an4, tmp_path):
    data = prepare(shared_an4, tmp_path)
    before = touched(data)
    prepare(shared_an4, data)
    assert touched(data) == before


def test_other_settings_make_it_anew(shared_an4, tmp_path):
    prepare(shared_an4, tmp_path)
    prepare(shared_an4, tmp_path, "--dev-utts", "2")
    assert len(supervisions(tmp_path, "dev")) == 2


# What is wrong with a tree.


def test_bad_utterances_are_counted_and_left_out(spoilable, tmp_path, caplog):
    (spoilable / "wav" / "an4test_clstk" / "fcaw" / "an0-fcaw-b.flac").unlink()
    path = spoilable / "etc" / "an4_test.transcription"
    path.write_text(path.read_text().replace(" (an1-menk-b)", " an1-menk-b"))
    with caplog.at_level(logging.WARNING):
        data = prepare(spoilable, tmp_path / "data", "--max-bad-fraction", "1")
    assert caplog.messages[-1] == (
        "an4_test: skipped 3 of 4: 1 audio without text, 1 text without audio, "
        "1 transcript without (id)"
    )
    assert [one.id for one in supervisions(data, "test")] == ["an1-fcaw-b", "an0-menk-b"]


def test_too_many_bad_utterances_are_an_error(spoilable, tmp_path):
    shutil.rmtree(spoilable / "wav" / "an4_clstk" / "mblb")
    with pytest.raises(RecipeError, match="an4_train: skipped 5 of 14: 5 text without audio"):
        prepare(spoilable, tmp_path / "data")
    assert not (tmp_path / "data" / "manifests").exists()


def test_a_sphere_file_that_is_damaged_is_named(tmp_path, caplog):
    an4 = write_tree(tmp_path / "an4", ".sph")
    (an4 / "wav" / "an4test_clstk" / "fcaw" / "an0-fcaw-b.sph").write_bytes(b"NIST_1A")
    with caplog.at_level(logging.WARNING):
        prepare(an4, tmp_path / "data", "--max-bad-fraction", "0.3")
    assert "test: skipped 1 of 4: 1 unreadable" in caplog.messages


@pytest.mark.parametrize("name", ["an4_train.fileids", "an4_test.transcription"])
def test_a_folder_that_is_not_an4_is_told_by_the_file_it_lacks(spoilable, tmp_path, name):
    (spoilable / "etc" / name).unlink()
    with pytest.raises(RecipeError, match=f"no such file: .*{name}; give --an4-dir the folder"):
        prepare(spoilable, tmp_path / "data")


def test_transcripts_in_another_encoding_are_told(spoilable, tmp_path):
    (spoilable / "etc" / "an4_train.transcription").write_bytes(b"\xff\xfeY (an0-fash-b)\n")
    with pytest.raises(RecipeError, match="an4_train.transcription: no text in UTF-8"):
        prepare(spoilable, tmp_path / "data")
