# SPDX-License-Identifier: Apache-2.0
import gzip
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import RecordingSet, SupervisionSegment

from emformer.data import fbank_shard
from emformer.data.features import make_extractor
from emformer.data.manifests import read_manifest
from emformer.data.store import digest
from emformer.errors import RecipeError
from local import compute_fbank
from local.compute_fbank import main
from tests.support.touched import touched


def run(tiny, *more):
    main(tiny.options("--nj", "1", "--max-bad-fraction", "0.5", *more))


def cuts_of(tiny, split="train"):
    return read_manifest(tiny.paths(split).cuts)


def ids(tiny, split="train"):
    return sorted(cut.id for cut in cuts_of(tiny, split))


def test_cut_per_utterance_named_after_it(tiny):
    run(tiny)
    assert ids(tiny) == [f"train-{n}" for n in range(6)]
    for cut in cuts_of(tiny):
        assert len(cut.supervisions) == 1
        assert cut.supervisions[0].id == cut.id


def test_stored_features_are_those_of_the_audio(tiny):
    run(tiny)
    extractor = make_extractor()
    for cut in cuts_of(tiny):
        # lilcom's steps are 2^-5 (lhotse's default)
        tolerance = 2**-6 + 1e-3 if cut.features.storage_type == "lilcom_chunky" else 1e-3
        expected = extractor.extract(cut.load_audio()[0], sampling_rate=16000)
        np.testing.assert_allclose(cut.load_features(), expected, atol=tolerance)


def test_plain_numpy_files_where_lilcom_is_absent(tiny, monkeypatch):
    monkeypatch.setattr(fbank_shard, "is_module_available", lambda name: name != "lilcom")
    run(tiny)
    cut = cuts_of(tiny)[0]
    assert cut.features.storage_type == "numpy_files"
    expected = make_extractor().extract(cut.load_audio()[0], sampling_rate=16000)
    np.testing.assert_allclose(cut.load_features(), expected, atol=1e-3)


def test_two_jobs_make_what_one_job_makes(tiny, monkeypatch):
    monkeypatch.setattr(fbank_shard, "SHARD_CUTS", 2)
    run(tiny)
    alone = [(cut, cut.load_features()) for cut in cuts_of(tiny)]
    shutil.rmtree(tiny.data_dir / "fbank")
    main(tiny.options("--nj", "2", "--splits", "train"))
    together = [(cut, cut.load_features()) for cut in cuts_of(tiny)]
    assert [cut for cut, _ in alone] == [cut for cut, _ in together]
    for (_, a), (_, b) in zip(alone, together, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_training_order_is_shuffled_and_always_the_same(tiny):
    run(tiny)
    order = [cut.id for cut in cuts_of(tiny)]
    shutil.rmtree(tiny.data_dir / "fbank")
    run(tiny)
    assert order == [cut.id for cut in cuts_of(tiny)]
    assert order != sorted(order)
    assert [cut.id for cut in cuts_of(tiny, "dev")] == ["dev-0", "dev-1"]


def test_on_the_fly_stores_no_features_but_checks_the_audio(tiny):
    tiny.audio("train-3").write_bytes(b"")
    run(tiny, "--on-the-fly", "true")
    assert ids(tiny) == [f"train-{n}" for n in (0, 1, 2, 4, 5)]
    assert not any(cut.has_features for cut in cuts_of(tiny))
    assert not tiny.paths("train").features.exists()


def test_switching_to_on_the_fly_makes_the_cuts_anew(tiny):
    run(tiny)
    run(tiny, "--on-the-fly", "true")
    assert not any(cut.has_features for cut in cuts_of(tiny))
    assert not tiny.paths("train").features.exists()


def test_speed_perturbation_triples_training_only(tiny):
    run(tiny, "--perturb-speed", "true")
    cuts = {cut.id: cut for cut in cuts_of(tiny)}
    assert len(cuts) == 18
    assert len(cuts_of(tiny, "dev")) == 2
    plain, slow = cuts["train-0"], cuts["train-0_sp0.9"]
    assert slow.duration == pytest.approx(plain.duration / 0.9, abs=1e-3)
    assert slow.load_features().shape[0] == pytest.approx(plain.num_frames / 0.9, abs=1)


def test_speed_is_perturbed_as_the_corpus_says_unless_told_else(tiny):
    tiny.yaml.write_text(tiny.yaml.read_text() + "perturb_speed: true\n")
    run(tiny)
    assert len(cuts_of(tiny)) == 18
    run(tiny, "--perturb-speed", "false")
    assert len(cuts_of(tiny)) == 6


def test_speeds_are_those_of_the_corpus(tiny):
    tiny.yaml.write_text(tiny.yaml.read_text() + "perturb_speed: true\n")
    run(tiny)
    before = tiny.yaml.read_text()
    tiny.yaml.write_text(before + "speeds: [0.85]\n")
    run(tiny)
    assert {cut.id for cut in cuts_of(tiny)} >= {"train-0", "train-0_sp0.85"}
    assert len(cuts_of(tiny)) == 12


BAD_AUDIO = {
    "unreadable": dict(content=b"RIFF but no sound"),
    "audio file missing": dict(content=None),
    "empty": dict(seconds=0),
    "stereo": dict(channels=2),
    "3 channels": dict(channels=3),
    "sample rate 8000 (want 16000)": dict(rate=8000),
    "length other than in the manifest": dict(seconds=0.2),
}


@pytest.mark.parametrize("reason", BAD_AUDIO)
def test_audio_that_went_bad_after_the_manifest_was_made(tiny, write_audio, caplog, reason):
    spoiled = dict(BAD_AUDIO[reason])
    path = tiny.audio("train-2")
    if "content" in spoiled:
        path.unlink()
        if spoiled["content"] is not None:
            path.write_bytes(spoiled["content"])
    else:
        write_audio(path, **spoiled)
    with caplog.at_level(logging.WARNING):
        run(tiny)
    assert f"train: {reason}: train-2 ({path})" in caplog.messages
    assert f"train: skipped 1 of 6: 1 {reason}" in caplog.messages
    assert ids(tiny) == [f"train-{n}" for n in (0, 1, 3, 4, 5)]


@pytest.mark.parametrize("reason", ["empty", "stereo", "sample rate 8000 (want 16000)"])
def test_audio_that_the_manifest_itself_calls_bad(tiny, write_audio, caplog, reason):
    tiny.replace("train", 2, write_audio("other.wav", **BAD_AUDIO[reason]))
    tiny.save()
    with caplog.at_level(logging.WARNING):
        run(tiny)
    assert f"train: skipped 1 of 6: 1 {reason}" in caplog.messages


def test_samples_that_are_not_numbers(tiny, caplog):
    path = tiny.audio("train-1")
    samples, rate = soundfile.read(path)
    samples[5] = np.nan
    soundfile.write(path, samples, rate, subtype="FLOAT")
    with caplog.at_level(logging.WARNING):
        run(tiny)
    assert "train: skipped 1 of 6: 1 samples not finite" in caplog.messages


@pytest.mark.parametrize("more", [["--backend", "lhotse"], ["--on-the-fly", "true"], []])
@pytest.mark.parametrize("samples", [1, 50, 100, 139, 240, 399])
def test_less_than_a_window_is_too_short(tiny, write_audio, caplog, samples, more):
    path = write_audio("audio/short.wav", seconds=samples / 16000)
    tiny.replace("test", 0, path)
    tiny.supervisions["test"][0].duration = samples / 16000
    tiny.save()
    main(tiny.options("--splits", "test", "--max-bad-fraction", "1", *more))
    assert ids(tiny, "test") == ["test-1"]
    assert "1 too short" in caplog.text


@pytest.mark.parametrize("backend", [None, "lhotse"])
def test_a_window_is_long_enough(tiny, write_audio, backend):
    tiny.replace("test", 0, write_audio("audio/short.wav", seconds=0.025))
    tiny.supervisions["test"][0].duration = 0.025
    tiny.save()
    main(tiny.options("--splits", "test", *(["--backend", backend] if backend else [])))
    assert [len(cut.load_features()) for cut in cuts_of(tiny, "test")][:1] == [3]


def test_cut_off_flac(tiny, write_audio, caplog):
    path = write_audio("long.flac", seconds=3)
    tiny.replace("train", 2, path)
    tiny.supervisions["train"][2] = replace(tiny.supervisions["train"][2], duration=3.0)
    tiny.save()
    path.write_bytes(path.read_bytes()[:20000])
    with caplog.at_level(logging.WARNING):
        run(tiny)
    assert any(line.startswith("train: skipped 1 of 6: 1 ") for line in caplog.messages)
    assert "train-2" not in ids(tiny)


def test_short_audio_is_not_silently_filled_up_in_speed_perturbed_copies(tiny, write_audio, caplog):
    write_audio(tiny.audio("train-2"), seconds=0.5)  # the manifest says 0.64
    with caplog.at_level(logging.WARNING):
        run(tiny, "--perturb-speed", "true")
    assert not [name for name in ids(tiny) if name.startswith("train-2")]


def test_text_without_audio_and_audio_without_text(tiny, caplog):
    del tiny.recordings["train"][0]
    del tiny.supervisions["train"][4]
    tiny.supervisions["train"][1] = replace(tiny.supervisions["train"][1], text="  ")
    tiny.save()
    with caplog.at_level(logging.WARNING):
        run(tiny, "--max-bad-fraction", "0.9")
    assert "train: skipped 3 of 6: 2 audio without text, 1 text without audio" in caplog.messages
    assert "train: text without audio: train-0" in caplog.messages
    assert ids(tiny) == ["train-2", "train-3", "train-5"]


def test_duplicate_id(tiny, caplog):
    tiny.supervisions["dev"][1] = replace(tiny.supervisions["dev"][0], text="ELEVEN")
    del tiny.recordings["dev"][1]
    # lhotse's own writer keeps both lines, as do the files of other people.
    tiny.save()
    with caplog.at_level(logging.WARNING):
        run(tiny)
    assert "dev: skipped 1 of 2: 1 duplicate id" in caplog.messages


def test_text_beyond_the_audio(tiny, caplog):
    tiny.supervisions["dev"][1] = replace(tiny.supervisions["dev"][1], duration=60.0)
    tiny.save()
    with caplog.at_level(logging.WARNING):
        run(tiny)
    assert "dev: skipped 1 of 2: 1 text beyond the audio" in caplog.messages


def test_several_texts_of_one_recording(tiny):
    recording = tiny.recordings["train"][5]
    half = recording.duration / 2
    tiny.supervisions["train"][5:] = [
        SupervisionSegment(f"part-{n}", recording.id, n * half, half, text="NINE") for n in (0, 1)
    ]
    tiny.save()
    run(tiny)
    cuts = {cut.id: cut for cut in cuts_of(tiny)}
    assert cuts["part-1"].start == pytest.approx(half)
    assert cuts["part-1"].supervisions[0].start == 0.0
    whole = make_extractor().extract(recording.load_audio()[0], sampling_rate=16000)
    ours = cuts["part-1"].load_features()
    middle = round(half * 100)
    # Frame grids differ by up to half a frame, so only the levels can agree.
    assert abs(ours.mean() - whole[middle:].mean()) < 0.2


def test_too_many_bad_is_an_error_and_leaves_no_manifest(tiny):
    tiny.audio("train-0").write_bytes(b"")
    with pytest.raises(RecipeError, match=r"train: skipped 1 of 6: 1 unreadable; .*0\.1"):
        main(tiny.options("--nj", "1", "--max-bad-fraction", "0.1"))
    assert not tiny.paths("train").cuts.exists()


def test_nothing_left_is_an_error(tiny):
    for n in range(2):
        tiny.audio(f"dev-{n}").write_bytes(b"")
    with pytest.raises(RecipeError, match="the split is empty"):
        main(tiny.options("--nj", "1", "--max-bad-fraction", "1"))


def test_interruption_leaves_no_manifest_and_no_marker_and_the_next_run_goes_on(tiny, monkeypatch):
    monkeypatch.setattr(fbank_shard, "SHARD_CUTS", 1)
    calls = []

    def interrupted(job):
        calls.append(job)
        if len(calls) == 8:  # the second of the two cuts of dev
            raise KeyboardInterrupt
        return fbank_shard_run(job)

    fbank_shard_run = fbank_shard.run_shard
    monkeypatch.setattr(fbank_shard, "run_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tiny)
    assert tiny.paths("train").cuts.exists()
    assert not tiny.paths("dev").cuts.exists()
    assert not (tiny.data_dir / "fbank" / ".tiny.done").exists()
    assert not list((tiny.data_dir / "fbank").glob(".tmp*"))

    kept = tiny.paths("train").cuts.stat().st_mtime_ns
    run(tiny)
    assert tiny.paths("train").cuts.stat().st_mtime_ns == kept
    assert ids(tiny, "dev") == ["dev-0", "dev-1"]
    assert len(calls) == 8 + 4
    assert (tiny.data_dir / "fbank" / ".tiny.done").exists()


def test_second_run_computes_nothing(tiny, monkeypatch):
    run(tiny)
    monkeypatch.setattr(compute_fbank, "run_pool", None)
    run(tiny)


def test_where_all_is_done_nothing_is_touched(tiny):
    run(tiny)
    before = touched(tiny.data_dir)
    run(tiny)
    assert touched(tiny.data_dir) == before


def test_a_moved_and_renamed_folder_is_not_computed_anew(tiny, tmp_path, monkeypatch):
    run(tiny)
    tiny.data_dir = tiny.data_dir.rename(tmp_path / "50% of ä # b?")
    monkeypatch.setattr(compute_fbank, "run_pool", None)
    run(tiny)
    assert all(cut.load_features() is not None for cut in cuts_of(tiny))


def test_the_same_folder_by_another_path_is_not_computed_anew(tiny, monkeypatch):
    run(tiny)
    monkeypatch.setattr(compute_fbank, "run_pool", None)
    monkeypatch.chdir(tiny.data_dir)
    tiny.data_dir = Path("../data")
    run(tiny)


def test_manifests_that_say_the_same_at_another_time_are_not_computed_anew(tiny, monkeypatch):
    run(tiny)
    path = tiny.paths("train").recordings
    with gzip.GzipFile(path, "wb", mtime=1) as f:
        RecordingSet.from_recordings(tiny.recordings["train"]).to_file(tiny.root / "x.jsonl")
        f.write((tiny.root / "x.jsonl").read_bytes())
    monkeypatch.setattr(compute_fbank, "run_pool", None)
    run(tiny)


def test_what_release_0_1_computed_is_not_computed_anew(tiny, monkeypatch):
    run(tiny)
    for split in ("train", "dev", "test"):
        paths = tiny.paths(split)
        facts = json.loads(paths.marker.read_text())
        facts["manifests"] = digest([paths.recordings, paths.supervisions])
        paths.marker.write_text(json.dumps({**facts, "data_dir": "/where/it/was"}))
    monkeypatch.setattr(compute_fbank, "run_pool", None)
    run(tiny)


def test_other_sound_of_the_same_name_is_computed_anew(tiny, write_audio):
    run(tiny)
    before = cuts_of(tiny, "dev")[0].load_features()
    tiny.replace("dev", 0, write_audio("other/dev-0.wav", seconds=0.5 + 0.07 * 6, seed=99))
    tiny.save()
    run(tiny)
    assert np.abs(cuts_of(tiny, "dev")[0].load_features() - before).max() > 0.5


def test_changed_manifests_are_computed_anew(tiny):
    run(tiny)
    del tiny.recordings["dev"][0], tiny.supervisions["dev"][0]
    tiny.save()
    run(tiny)
    assert ids(tiny, "dev") == ["dev-1"]


def test_broken_manifest_is_told_in_one_line(tiny):
    path = tiny.paths("dev").supervisions
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(RecipeError, match="cannot read .*tiny_supervisions_dev") as e:
        run(tiny)
    assert "\n" not in str(e.value)


def test_split_without_manifests(tiny):
    tiny.paths("test").supervisions.unlink()
    with pytest.raises(RecipeError, match="no manifests of test in"):
        run(tiny)
    run(tiny, "--allow-missing", "true")
    assert not tiny.paths("test").cuts.exists()


def test_unknown_split(tiny):
    with pytest.raises(RecipeError, match="has no split tset; it has train, dev, test"):
        run(tiny, "--splits", "tset")


def test_corpus_of_another_sample_rate(tiny):
    tiny.yaml.write_text(tiny.yaml.read_text() + "sample_rate: 8000\n")
    with pytest.raises(RecipeError, match="at 8000 Hz"):
        run(tiny)


def test_statistics_are_printed(tiny, capsys):
    run(tiny)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["split", "hours", "utterances", "words", "speakers", "features"]
    assert rows[1] == ["train", "0.00", "6", "12", "2", "stored"]
    assert [row[0] for row in rows[1:]] == ["train", "dev", "test"]
