# SPDX-License-Identifier: Apache-2.0
import logging

import pytest

from emformer.data.manifests import manifest_paths, read_manifest
from emformer.errors import RecipeError
from local.compute_fbank_musan import main as compute_fbank
from local.prepare_musan import main as prepare
from tests.support.touched import touched


@pytest.fixture
def musan(tmp_path, write_audio):
    """Recordings of 6, 16 and 24 seconds in MUSAN's layout."""
    write_audio("musan/music/label/music-0000.wav", seconds=24)
    write_audio("musan/noise/free/noise-0001.wav", seconds=6)
    write_audio("musan/noise/free/noise-0000.wav", seconds=4)
    write_audio("musan/speech/label/speech-0000.wav", seconds=16)
    return tmp_path / "musan"


def make(musan, data_dir, *more):
    prepare(["--corpus-dir", str(musan), "--data-dir", str(data_dir)])
    compute_fbank(["--data-dir", str(data_dir), "--nj", "1", *more])
    return read_manifest(data_dir / "fbank" / "musan_cuts.jsonl.gz")


def test_manifests_are_sorted(musan, tmp_path):
    prepare(["--corpus-dir", str(musan.parent), "--data-dir", str(tmp_path / "data")])
    recordings = read_manifest(manifest_paths(tmp_path / "data", "musan", "noise").recordings)
    assert [r.id for r in recordings] == ["noise-0000", "noise-0001"]


def test_cuts_are_windows_of_ten_seconds_and_at_least_five(musan, tmp_path):
    cuts = make(musan, tmp_path / "data")
    # music 10 + 10 (+ 4 dropped), speech 10 + 6, noise 6 (4 dropped)
    assert sorted(cut.duration for cut in cuts) == [6.0, 6.0, 10.0, 10.0, 10.0]
    assert len({cut.id for cut in cuts}) == 5


def test_features_are_stored(musan, tmp_path):
    for cut in make(musan, tmp_path / "data"):
        assert cut.load_features().shape == (round(cut.duration * 100), 80)


def test_on_the_fly_stores_none(musan, tmp_path):
    cuts = make(musan, tmp_path / "data", "--on-the-fly", "true")
    assert len(cuts) == 5
    assert not any(cut.has_features for cut in cuts)
    assert not (tmp_path / "data" / "fbank" / "musan_feats").exists()


def test_where_all_is_done_nothing_is_touched_though_the_folder_was_moved(musan, tmp_path):
    make(musan, tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "moved")
    before = touched(tmp_path / "moved")
    for cut in make(musan, tmp_path / "moved"):
        assert cut.load_features().shape == (round(cut.duration * 100), 80)
    assert touched(tmp_path / "moved") == before


def test_noise_that_was_moved_is_found_again(musan, tmp_path):
    make(musan, tmp_path / "data", "--on-the-fly", "true")
    musan = musan.rename(tmp_path / "elsewhere")
    cuts = make(musan, tmp_path / "data", "--on-the-fly", "true")
    assert all(cut.load_audio().size for cut in cuts)


def test_missing_part_is_named(musan, tmp_path):
    (musan / "speech").rename(tmp_path / "elsewhere")
    with pytest.raises(RecipeError, match="has no speech; download MUSAN"):
        make(musan, tmp_path / "data")


def test_bad_recordings_are_left_out(musan, tmp_path, write_audio, caplog):
    for n in range(2, 30):
        write_audio(f"musan/noise/free/noise-{n:04d}.wav", seconds=0.1)
    (musan / "noise" / "free" / "noise-0030.wav").write_bytes(b"")
    write_audio("musan/noise/free/noise-0031.wav", rate=8000, seconds=6)
    with caplog.at_level(logging.WARNING):
        cuts = make(musan, tmp_path / "data", "--max-bad-fraction", "0.2")
    assert "musan noise: skipped 1 of 32: 1 unreadable" in caplog.messages
    assert "musan: skipped 1 of 6: 1 sample rate 8000 (want 16000)" in caplog.messages
    assert len(cuts) == 5


def test_without_manifests(tmp_path):
    with pytest.raises(RecipeError, match=r"no such file: .*run stage 2"):
        compute_fbank(["--data-dir", str(tmp_path)])
