# SPDX-License-Identifier: Apache-2.0
"""Manifests whose data folder is moved, copied, renamed and reached by other paths."""

import gzip
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, MonoCut, NumpyFilesWriter, Recording, RecordingSet

from emformer.data.features import make_extractor
from emformer.data.manifests import content_digest, read_manifest, write_if_other, write_manifest
from emformer.data.places import relative


def write_sound(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(4000), 16000)
    return Recording.from_file(path, recording_id="one")


def write_data(data):
    """A data folder: sound, a manifest of it, and a cut with features; its two manifests."""
    recording = write_sound(data / "audio" / "dev" / "one.wav")
    with NumpyFilesWriter(data / "fbank" / "x_feats_dev" / "feats-0000") as writer:
        cut = recording.to_cut().compute_and_store_features(make_extractor(), writer)
    paths = data / "manifests" / "x_recordings_dev.jsonl.gz", data / "fbank" / "x_cuts_dev.jsonl.gz"
    write_manifest([recording], paths[0])
    write_manifest([cut], paths[1])
    return paths


def lines(path) -> list[dict]:
    with gzip.open(path, "rt") as f:
        return list(map(json.loads, f))


def read(data) -> tuple[np.ndarray, np.ndarray]:
    """What the manifests of a data folder lead to: samples and features."""
    (recording,) = read_manifest(data / "manifests" / "x_recordings_dev.jsonl.gz")
    (cut,) = read_manifest(data / "fbank" / "x_cuts_dev.jsonl.gz")
    assert isinstance(cut, MonoCut)
    np.testing.assert_array_equal(recording.load_audio(), cut.load_audio())
    return recording.load_audio(), cut.load_features()


NAMES = ["moved", "with a space", "50% of it?", "a#b", "Übung mit ß", "it's", "[x]*"]


@pytest.mark.parametrize("name", NAMES)
def test_a_moved_folder_leads_to_the_same_sound_and_features(tmp_path, name):
    write_data(tmp_path / "data")
    before = read(tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / name)
    for one, other in zip(read(tmp_path / name), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_copy_leads_to_its_own_files_and_not_to_the_originals(tmp_path):
    write_data(tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    (recording,) = read_manifest(tmp_path / "copy" / "manifests" / "x_recordings_dev.jsonl.gz")
    (cut,) = read_manifest(tmp_path / "copy" / "fbank" / "x_cuts_dev.jsonl.gz")
    for path in (recording.sources[0].source, cut.features.storage_path):
        assert path.startswith(f"{tmp_path}/copy/")


def test_a_folder_can_be_written_and_read_by_relative_paths(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a")
    write_data(Path("../data"))
    before = read(Path("../data"))
    monkeypatch.chdir(tmp_path / "a" / "b")
    for one, other in zip(read(Path("../../data")), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("what", ["folder", "files"])
def test_a_folder_can_be_reached_by_links(tmp_path, what):
    write_data(tmp_path / "data")
    before = read(tmp_path / "data")
    for folder in ("manifests", "fbank"):
        link = tmp_path / "links" / folder
        if what == "folder":
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(tmp_path / "data" / folder)
        else:
            link.mkdir(parents=True)
            for path in (tmp_path / "data" / folder).glob("*.gz"):
                (link / path.name).symlink_to(path)
    for one, other in zip(read(tmp_path / "links"), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_manifests_name_files_of_the_folder_seen_from_themselves(tmp_path):
    recordings, cuts = write_data(tmp_path / "data")
    assert lines(recordings)[0]["sources"][0]["source"] == "../audio/dev/one.wav"
    cut = lines(cuts)[0]
    assert cut["features"]["storage_path"] == "x_feats_dev/feats-0000"
    assert cut["recording"]["sources"][0]["source"] == "../audio/dev/one.wav"


def test_files_elsewhere_keep_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "data" / "manifests" / "x_recordings_dev.jsonl.gz"
    write_manifest([write_sound(Path("download/dev/one.wav"))], path)
    assert lines(path)[0]["sources"][0]["source"] == f"{tmp_path}/download/dev/one.wav"
    (tmp_path / "data").rename(tmp_path / "moved")
    (found,) = read_manifest(tmp_path / "moved" / "manifests" / path.name)
    assert found.load_audio().shape == (1, 4000)


@pytest.mark.parametrize("path", ["s3://bucket/one.lca", ""])
def test_what_is_no_path_stays(tmp_path, path):
    assert relative(path, tmp_path) == path


# Manifests of release 0.1, and of other programs: as lhotse itself writes them.


def rewrite(data, base) -> None:
    """The manifests again, with the data folder's path in them."""
    (recording,) = read_manifest(data / "manifests" / "x_recordings_dev.jsonl.gz")
    (cut,) = read_manifest(data / "fbank" / "x_cuts_dev.jsonl.gz")
    for sources in (recording.sources, cut.recording.sources):
        sources[0].source = f"{base}/audio/dev/one.wav"
    cut.features.storage_path = f"{base}/fbank/x_feats_dev/feats-0000"
    RecordingSet.from_recordings([recording]).to_file(
        data / "manifests" / "x_recordings_dev.jsonl.gz"
    )
    CutSet.from_cuts([cut]).to_file(data / "fbank" / "x_cuts_dev.jsonl.gz")


def test_absolute_paths_hold(tmp_path):
    write_data(tmp_path / "data")
    before = read(tmp_path / "data")
    rewrite(tmp_path / "data", tmp_path / "data")
    for one, other in zip(read(tmp_path / "data"), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_absolute_paths_that_are_gone_lead_to_what_ends_alike(tmp_path):
    write_data(tmp_path / "data")
    before = read(tmp_path / "data")
    rewrite(tmp_path / "data", tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "moved")
    for one, other in zip(read(tmp_path / "moved"), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_paths_relative_to_where_we_are_hold(tmp_path, monkeypatch):
    write_data(tmp_path / "data")
    before = read(tmp_path / "data")
    rewrite(tmp_path / "data", "data")
    monkeypatch.chdir(tmp_path)
    for one, other in zip(read(tmp_path / "data"), before, strict=True):
        np.testing.assert_array_equal(one, other)


# What manifests say, whenever and wherever they were written.


def test_the_digest_knows_neither_times_nor_the_folders_place(tmp_path):
    recordings, _ = write_data(tmp_path / "data")
    before, as_bytes = content_digest([recordings]), recordings.read_bytes()
    rewrite(tmp_path / "data", tmp_path / "data")
    assert content_digest([recordings]) == before
    assert recordings.read_bytes() != as_bytes
    (tmp_path / "data").rename(tmp_path / "moved")
    assert content_digest([tmp_path / "moved" / "manifests" / recordings.name]) == before


def test_the_digest_sees_content_order_and_other_sound(tmp_path):
    path = tmp_path / "data" / "manifests" / "x_recordings_dev.jsonl.gz"
    one, other = write_sound(tmp_path / "a/one.wav"), write_sound(tmp_path / "b/one.wav")
    found = set()
    for items in ([one], [other], [one, other], [other, one]):
        write_manifest(items, path)
        found.add(content_digest([path]))
    assert len(found) == 4


def test_nothing_is_written_where_the_same_is_there(tmp_path):
    recordings, _ = write_data(tmp_path / "data")
    items, before = read_manifest(recordings), os.stat(recordings)
    write_if_other(items, recordings)
    assert os.stat(recordings).st_ino == before.st_ino
    write_if_other([write_sound(tmp_path / "b/one.wav")], recordings)
    assert os.stat(recordings).st_ino != before.st_ino
