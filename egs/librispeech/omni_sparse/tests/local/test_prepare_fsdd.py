# SPDX-License-Identifier: Apache-2.0
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emformer.data.manifests import manifest_paths, read_manifest
from emformer.errors import RecipeError
from local.prepare_fsdd import main
from local.validate_manifest import main as validate
from tests.support.touched import touched

SPEAKERS = ("anna", "bert", "carl")


@pytest.fixture
def fsdd(fsdd_recordings):
    return fsdd_recordings


@pytest.fixture
def spoilable(fsdd_recordings, tmp_path):
    """A copy of one's own, at tmp_path/fsdd."""
    return Path(shutil.copytree(fsdd_recordings, tmp_path / "fsdd"))


def prepare(fsdd, data_dir, *more):
    main(["--fsdd-dir", str(fsdd), "--data-dir", str(data_dir), "--train-utts", "12", *more])
    return data_dir


def load(data_dir, split):
    paths = manifest_paths(data_dir, "fsdd", split)
    return read_manifest(paths.recordings), read_manifest(paths.supervisions)


def first(data_dir, split):
    """The samples and the supervision of the first utterance."""
    recordings, supervisions = load(data_dir, split)
    assert recordings[0].id == supervisions[0].recording_id
    return recordings[0].load_audio()[0], supervisions[0]


def test_splits_and_format(fsdd, tmp_path):
    data = prepare(fsdd, tmp_path / "data")
    for split, speakers in (
        ("train", {"anna", "bert"}),
        ("dev", {"anna", "bert"}),
        ("test-clean", {"anna", "bert"}),
        ("test-other", {"carl"}),
    ):
        recordings, supervisions = load(data, split)
        assert {s.speaker for s in supervisions} == speakers
        assert all(r.sampling_rate == 16000 and r.num_channels == 1 for r in recordings)
    assert len(load(data, "train")[1]) == 12


def test_manifests_are_sound(fsdd, tmp_path):
    data = prepare(fsdd, tmp_path / "data")
    assert validate(["--corpus", "fsdd", "--data-dir", str(data)]) == 0


def test_text_and_recordings_agree(fsdd, tmp_path):
    words = "ZERO ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE".split()
    _, supervisions = load(prepare(fsdd, tmp_path / "data"), "test-other")
    for supervision in supervisions:
        names = supervision.custom["recordings"]
        assert supervision.text.split() == [words[int(name[0])] for name in names]


def test_words_lie_where_the_alignment_says_with_silence_between(fsdd, tmp_path):
    samples, supervision = first(prepare(fsdd, tmp_path / "data"), "test-clean")
    edges = [0.0]
    for item in supervision.alignment["word"]:
        edges += [item.start, item.start + item.duration]
    edges.append(supervision.duration)
    for n, (start, end) in enumerate(zip(edges, edges[1:], strict=False)):
        piece = samples[round(start * 16000) : round(end * 16000)]
        if n % 2:
            assert np.abs(piece).max() > 0.05
        else:
            assert 0.049 <= end - start <= 0.251
            assert not piece.any()


def test_resampling_keeps_the_waveform(fsdd, tmp_path):
    samples, supervision = first(prepare(fsdd, tmp_path / "data"), "test-clean")
    item = supervision.alignment["word"][0]
    start = round(item.start * 16000)
    original, _ = soundfile.read(fsdd / "recordings" / f"{supervision.custom['recordings'][0]}.wav")
    # Every second sample of the doubled rate, away from the edges and the filter's last octave.
    ours = samples[start : start + 2 * len(original) : 2]
    assert np.corrcoef(ours, original)[0, 1] > 0.95


def test_same_seed_same_audio(fsdd, tmp_path):
    contents = []
    for name in ("one", "two"):
        data = prepare(fsdd, tmp_path / name)
        contents.append([p.read_bytes() for p in sorted(data.rglob("*.flac"))])
    assert contents[0] == contents[1]


def test_another_seed_other_texts(fsdd, tmp_path):
    texts = [
        [s.text for s in load(prepare(fsdd, tmp_path / seed, "--seed", seed), "train")[1]]
        for seed in ("1", "2")
    ]
    assert texts[0] != texts[1]


def test_all_speakers_in_training(fsdd, tmp_path):
    data = prepare(fsdd, tmp_path / "data", "--corpus", "fsdd_all")
    assert {s.speaker for s in load(data, "train")[1]} == set(SPEAKERS)
    assert {s.speaker for s in load(data, "test-clean")[1]} == set(SPEAKERS)
    assert not manifest_paths(data, "fsdd", "test-other").recordings.exists()


def test_held_out_speaker_by_name(fsdd, tmp_path):
    data = prepare(fsdd, tmp_path / "data", "--held-out-speaker", "anna")
    assert {s.speaker for s in load(data, "test-other")[1]} == {"anna"}


@pytest.mark.parametrize(
    ("corpus", "wanted", "message"),
    [("fsdd", "none", "use fsdd_all"), ("fsdd_all", "carl", "use fsdd")],
)
def test_held_out_speaker_that_contradicts_the_corpus(fsdd, tmp_path, corpus, wanted, message):
    with pytest.raises(RecipeError, match=message):
        prepare(fsdd, tmp_path / "data", "--corpus", corpus, "--held-out-speaker", wanted)


def test_second_run_changes_nothing(fsdd, tmp_path):
    data = prepare(fsdd, tmp_path / "data")
    before = {p: p.stat().st_mtime_ns for p in data.rglob("*")}
    prepare(fsdd, data)
    assert {p: p.stat().st_mtime_ns for p in data.rglob("*")} == before


def test_a_moved_folder_is_not_made_anew(fsdd, tmp_path):
    before = first(prepare(fsdd, tmp_path / "data"), "dev")
    data = (tmp_path / "data").rename(tmp_path / "moved")
    touched_before = touched(data)
    prepare(fsdd, data)
    assert touched(data) == touched_before
    np.testing.assert_array_equal(first(data, "dev")[0], before[0])


def test_a_marker_of_release_0_1_still_holds(fsdd, tmp_path):
    data = prepare(fsdd, tmp_path / "data")
    marker = data / "manifests" / ".fsdd.done"
    facts = {**json.loads(marker.read_text()), "data_dir": "/where/it/was"}
    marker.write_text(json.dumps(facts))
    before = touched(data)
    prepare(fsdd, data)
    assert touched(data) == before


def test_sound_that_is_gone_is_made_anew(fsdd, tmp_path):
    data = prepare(fsdd, tmp_path / "data")
    shutil.rmtree(data / "audio")
    prepare(fsdd, data)
    assert first(data, "train")[0].size


def test_other_settings_make_it_anew(fsdd, tmp_path):
    data = prepare(fsdd, tmp_path / "data")
    prepare(fsdd, data, "--train-utts", "4")
    assert len(load(data, "train")[1]) == 4
    assert len(list((data / "audio" / "train").iterdir())) == 4


def test_bad_recordings_are_counted_and_left_out(spoilable, tmp_path, write_audio, caplog):
    folder = spoilable / "recordings"
    (folder / "0_anna_0.wav").write_bytes(b"no sound file")
    write_audio("fsdd/recordings/1_anna_0.wav", rate=8000, channels=2)
    write_audio("fsdd/recordings/2_anna_0.wav", rate=44100)
    write_audio("fsdd/recordings/3_anna_0.wav", rate=8000, seconds=0)
    (folder / "notes.wav").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        data = prepare(spoilable, tmp_path / "data")
    assert caplog.messages[-1] == (
        "fsdd: skipped 5 of 241: 1 empty, 1 file name not {digit}_{speaker}_{index}.wav, "
        "1 sample rate 44100 (want 8000), 1 stereo, 1 unreadable"
    )
    assert f"fsdd: unreadable: 0_anna_0 ({folder / '0_anna_0.wav'})" in caplog.messages
    used = {name for s in load(data, "test-clean")[1] for name in s.custom["recordings"]}
    assert not used & {f"{digit}_anna_0" for digit in range(4)}


def test_too_many_bad_recordings(spoilable, tmp_path):
    for index in range(8):
        for digit in range(2):
            (spoilable / "recordings" / f"{digit}_anna_{index}.wav").write_bytes(b"")
    with pytest.raises(RecipeError, match="skipped 16 of 240: 16 unreadable"):
        prepare(spoilable, tmp_path / "data")
    assert not (tmp_path / "data" / "manifests" / ".fsdd.done").exists()


def test_no_recordings(tmp_path):
    with pytest.raises(RecipeError, match="git clone"):
        prepare(tmp_path, tmp_path / "data")
    (tmp_path / "recordings").mkdir()
    with pytest.raises(RecipeError, match="no .wav files"):
        prepare(tmp_path, tmp_path / "data")
