# SPDX-License-Identifier: Apache-2.0
import logging

import pytest

from emformer.data.manifests import manifest_paths, read_manifest
from emformer.errors import RecipeError
from local.prepare_librispeech import main
from tests.support.touched import touched

PARTS = ("train-clean-100", "dev-clean", "dev-other", "test-clean", "test-other")
PER_CHAPTER = 3


@pytest.fixture
def corpus_dir(tmp_path, write_audio):
    """A tree in LibriSpeech's layout: every part has two speakers of one chapter."""
    root = tmp_path / "LibriSpeech"
    for p, part in enumerate(PARTS):
        for speaker in (10 * p + 2, 10 * p + 1):
            chapter = root / part / str(speaker) / "7"
            chapter.mkdir(parents=True)
            lines = []
            for n in range(PER_CHAPTER):
                name = f"{speaker}-7-{n:04d}"
                write_audio(chapter / f"{name}.flac", seconds=0.3 + 0.1 * n, seed=speaker + n)
                lines.append(f"{name} HELLO WORLD {'AGAIN ' * n}".strip())
            (chapter / f"{speaker}-7.trans.txt").write_text("\n".join(lines) + "\n")
    return root


def prepare(corpus_dir, data_dir, *more):
    options = ["--corpus", "librispeech_100", "--corpus-dir", str(corpus_dir)]
    main([*options, "--data-dir", str(data_dir), "--nj", "2", *more])
    return data_dir


def load(data_dir, part):
    paths = manifest_paths(data_dir, "librispeech", part)
    return read_manifest(paths.recordings), read_manifest(paths.supervisions)


def test_layout_is_parsed(corpus_dir, tmp_path):
    recordings, supervisions = load(prepare(corpus_dir, tmp_path / "data"), "dev-clean")
    assert [s.id for s in supervisions] == [f"1{s}-7-000{n}" for s in (1, 2) for n in range(3)]
    assert [r.id for r in recordings] == [s.recording_id for s in supervisions]
    assert supervisions[1].text == "HELLO WORLD AGAIN"
    assert supervisions[1].speaker == "11"
    assert recordings[1].sampling_rate == 16000
    assert supervisions[1].duration == recordings[1].duration == pytest.approx(0.4)


def test_the_folder_above_will_do(corpus_dir, tmp_path):
    data = prepare(corpus_dir.parent, tmp_path / "data")
    assert len(load(data, "test-other")[0]) == 2 * PER_CHAPTER


def test_absent_parts_are_named(corpus_dir, tmp_path):
    for part in ("dev-other", "test-clean"):
        (corpus_dir / part).rename(tmp_path / part)
    with pytest.raises(RecipeError, match="has no dev-other, test-clean;.*--allow-missing"):
        prepare(corpus_dir, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_absent_parts_can_be_left_out(corpus_dir, tmp_path, caplog):
    (corpus_dir / "dev-other").rename(tmp_path / "dev-other")
    with caplog.at_level(logging.WARNING):
        data = prepare(corpus_dir, tmp_path / "data", "--allow-missing", "true")
    assert any("dev-other: not in" in line for line in caplog.messages)
    assert not manifest_paths(data, "librispeech", "dev-other").recordings.exists()
    assert load(data, "dev-clean")[0]


def test_no_part_at_all_is_an_error_even_so(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecipeError, match="has no train-clean-100, dev-clean"):
        prepare(tmp_path / "empty", tmp_path / "data", "--allow-missing", "true")


def test_absent_folder(tmp_path):
    with pytest.raises(RecipeError, match="no such folder"):
        prepare(tmp_path / "nowhere", tmp_path / "data")


def test_bad_utterances_are_counted_named_and_left_out(corpus_dir, tmp_path, write_audio, caplog):
    chapter = corpus_dir / "dev-clean" / "11" / "7"
    (chapter / "11-7-0000.flac").write_bytes(b"not flac")
    (chapter / "11-7-0001.flac").unlink()
    write_audio(chapter / "11-7-0009.flac")
    with open(chapter / "11-7.trans.txt", "a") as f:
        f.write("11-7-0002 SAID TWICE\n11-7-0010\n")
    with caplog.at_level(logging.WARNING):
        data = prepare(corpus_dir, tmp_path / "data", "--max-bad-fraction", "0.7")
    assert caplog.messages[-1] == (
        "dev-clean: skipped 5 of 9: 2 audio without text, 1 duplicate id, "
        "1 text without audio, 1 unreadable"
    )
    assert any("unreadable: 11-7-0000 (" in line for line in caplog.messages)
    assert [s.id for s in load(data, "dev-clean")[1]][0] == "11-7-0002"


def test_too_many_bad_utterances(corpus_dir, tmp_path):
    for path in (corpus_dir / "train-clean-100").rglob("*.flac"):
        path.write_bytes(b"")
    with pytest.raises(RecipeError, match="train-clean-100: skipped 6 of 6: 6 unreadable"):
        prepare(corpus_dir, tmp_path / "data")
    assert not (tmp_path / "data" / "manifests" / ".librispeech.done").exists()


def test_second_run_changes_nothing(corpus_dir, tmp_path):
    data = prepare(corpus_dir, tmp_path / "data")
    before = {p: p.stat().st_mtime_ns for p in data.rglob("*")}
    prepare(corpus_dir, data)
    assert {p: p.stat().st_mtime_ns for p in data.rglob("*")} == before


def test_the_same_corpus_by_another_path_is_not_prepared_anew(corpus_dir, tmp_path, monkeypatch):
    data = prepare(corpus_dir, tmp_path / "data")
    before = touched(data)
    monkeypatch.chdir(tmp_path)
    prepare(corpus_dir.relative_to(tmp_path), data)
    assert touched(data) == before


def test_a_corpus_that_was_moved_is_prepared_anew(corpus_dir, tmp_path):
    data = prepare(corpus_dir, tmp_path / "data")
    moved = corpus_dir.rename(tmp_path / "50% of it?")
    prepare(moved, data)
    assert load(data, "dev-clean")[0][0].load_audio().size
