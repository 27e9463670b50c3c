# SPDX-License-Identifier: Apache-2.0
import logging
from pathlib import Path

import pytest
import soundfile
from lhotse.kaldi import load_kaldi_data_dir

from emformer.data.manifests import manifest_paths, read_manifest
from emformer.errors import RecipeError
from local.compute_fbank import main as compute_fbank
from local.prepare_kaldi import main
from local.validate_manifest import main as validate
from tests.support.touched import touched
from tests.support.waves import save_wave

SPLITS = ("train", "dev", "test")


def write_lines(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def kaldi(tmp_path) -> Path:
    """Three utterances a split; those of dev are pieces of one recording."""
    root = tmp_path / "s5" / "data"
    for s, split in enumerate(SPLITS):
        names = [f"{speaker}-{split}{n}" for n, speaker in enumerate(("ann", "ann", "bob"))]
        audio = {name: tmp_path / "wav" / f"{name}.wav" for name in names}
        for n, path in enumerate(audio.values()):
            save_wave(path, 1.5 + 0.1 * n, 16000, 1, seed=10 * s + n)
        write_lines(root / split / "text", *(f"{name} HELLO WORLD" for name in names))
        write_lines(root / split / "utt2spk", *(f"{name} {name[:3]}" for name in names))
        if split == "dev":
            path = save_wave(tmp_path / "wav" / "long.wav", 4.0, 16000, 1, seed=99)
            write_lines(root / split / "wav.scp", f"long {path}")
            ends = ("1.25", "2.5", "-1")
            pieces = zip(names, range(3), ends, strict=True)
            lines = (f"{name} long {start} {end}" for name, start, end in pieces)
            write_lines(root / split / "segments", *lines)
        else:
            write_lines(root / split / "wav.scp", *(f"{k} {path}" for k, path in audio.items()))
    return root


def prepare(kaldi: Path, data: Path, *more: str) -> Path:
    assert main(["--kaldi-dir", str(kaldi), "--data-dir", str(data), *more]) == 0
    return data


def load(data: Path, split: str, prefix: str = "kaldi") -> tuple[list, list]:
    paths = manifest_paths(data, prefix, split)
    return read_manifest(paths.recordings), read_manifest(paths.supervisions)


@pytest.mark.parametrize("split", SPLITS)
def test_the_manifests_say_what_lhotses_own_import_says(kaldi, tmp_path, split):
    recordings, supervisions = load(prepare(kaldi, tmp_path / "data"), split)
    theirs, spoken, _ = load_kaldi_data_dir(kaldi / split, sampling_rate=16000)
    assert [(r.id, r.sources[0].source) for r in recordings] == [
        (r.id, r.sources[0].source) for r in theirs
    ]
    assert [r.duration for r in recordings] == pytest.approx([r.duration for r in theirs], abs=1e-3)
    fields = ("id", "recording_id", "start", "text", "speaker")
    assert [[getattr(s, name) for name in fields] for s in supervisions] == [
        [getattr(s, name) for name in fields] for s in spoken
    ]
    durations = [s.duration for s in spoken]
    assert [s.duration for s in supervisions] == pytest.approx(durations, abs=1e-3)


def test_manifests_are_sound(kaldi, tmp_path):
    data = prepare(kaldi, tmp_path / "data")
    assert validate(["--corpus", "kaldi", "--data-dir", str(data)]) == 0


def test_features_are_made_of_all_of_it(kaldi, tmp_path):
    data = prepare(kaldi, tmp_path / "data")
    compute_fbank(["--corpus", "kaldi", "--data-dir", str(data), "--nj", "1"])
    for split in SPLITS:
        cuts = read_manifest(manifest_paths(data, "kaldi", split).cuts)
        assert {cut.id for cut in cuts} == {one.id for one in load(data, split)[1]}
        assert all(cut.has_features for cut in cuts)


def test_a_files_own_rate_and_length_are_recorded(kaldi, tmp_path):
    path = save_wave(tmp_path / "odd.wav", 1.00006, 8000, 1, seed=5)
    write_lines(kaldi / "test" / "wav.scp", f"odd {path}")
    write_lines(kaldi / "test" / "text", "odd YES")
    ((recording,), _) = load(prepare(kaldi, tmp_path / "data"), "test")
    assert recording.sampling_rate == 8000
    assert recording.num_samples == soundfile.info(path).frames


def test_data_directories_of_other_names(kaldi, tmp_path):
    (kaldi / "train").rename(kaldi / "train_clean")
    yaml = tmp_path / "mine.yaml"
    yaml.write_text(
        "prefix: mine\ntrain: [train_clean]\ndev: [dev]\ntest: [test]\nvocab_size: 20\n"
        "source: kaldi\n"
    )
    data = prepare(kaldi, tmp_path / "data", "--corpus", str(yaml))
    assert len(load(data, "train_clean", "mine")[1]) == 3


@pytest.mark.parametrize("base", ["s5", "s5/data", "s5/data/test"])
def test_relative_paths_are_found(kaldi, tmp_path, base):
    save_wave(tmp_path / base / "wav" / "near.wav", 1.0, 16000, 1, seed=3)
    write_lines(kaldi / "test" / "wav.scp", "near wav/near.wav")
    write_lines(kaldi / "test" / "text", "near YES")
    ((recording,), _) = load(prepare(kaldi, tmp_path / "data"), "test")
    assert Path(recording.sources[0].source).samefile(tmp_path / base / "wav" / "near.wav")


def test_no_speakers_are_needed(kaldi, tmp_path):
    (kaldi / "test" / "utt2spk").unlink()
    _, supervisions = load(prepare(kaldi, tmp_path / "data"), "test")
    assert [one.speaker for one in supervisions] == [None] * 3


def test_a_second_run_changes_nothing(kaldi, tmp_path):
    data = prepare(kaldi, tmp_path / "data")
    before = touched(data)
    prepare(kaldi, data)
    assert touched(data) == before


def test_changed_lists_make_it_anew(kaldi, tmp_path):
    data = prepare(kaldi, tmp_path / "data")
    path = kaldi / "test" / "text"
    path.write_text(path.read_text().replace("HELLO", "GOODBYE"))
    assert load(prepare(kaldi, data), "test")[1][0].text == "GOODBYE WORLD"


def test_another_corpus_does_not_overwrite_the_first(kaldi, tmp_path):
    data = prepare(kaldi, tmp_path / "data")
    other = kaldi.rename(tmp_path / "other")
    with pytest.raises(RecipeError, match="holds another corpus, that of .*/s5/data; give each"):
        prepare(other, data)


# What is wrong with a directory.


@pytest.mark.parametrize("command", ["touch {} |", "| touch {}", "sph2pipe -f wav a.sph > {} |"])
def test_a_command_is_refused_and_not_run(kaldi, tmp_path, command):
    ran = tmp_path / "ran"
    write_lines(kaldi / "test" / "wav.scp", f"x {command.format(ran)}")
    with pytest.raises(RecipeError, match=r"test/wav.scp: x is a command, and none is run") as e:
        prepare(kaldi, tmp_path / "data")
    assert "\n" not in str(e.value)
    assert not ran.exists() and not (tmp_path / "data").exists()


def test_a_position_in_an_archive_is_refused(kaldi, tmp_path):
    write_lines(kaldi / "test" / "wav.scp", "x /corpus/wav.3.ark:1234")
    with pytest.raises(RecipeError, match="test/wav.scp: x is a position in an archive"):
        prepare(kaldi, tmp_path / "data")


def test_what_is_missing_is_counted_and_left_out(kaldi, tmp_path, caplog):
    names = ["ann-test0", "ann-test1", "bob-test2"]
    (tmp_path / "wav" / "ann-test0.wav").unlink()
    (tmp_path / "wav" / "bob-test2.wav").write_bytes(b"no sound")
    write_lines(kaldi / "test" / "text", *(f"{name} HI" for name in names), "x9 HI")
    with caplog.at_level(logging.WARNING):
        data = prepare(kaldi, tmp_path / "data", "--max-bad-fraction", "1")
    assert caplog.messages[-1] == (
        "test: skipped 3 of 4: 1 audio file missing, 1 text without audio, 1 unreadable"
    )
    assert [one.id for one in load(data, "test")[1]] == ["ann-test1"]


def test_an_utterance_of_an_unknown_recording_or_without_text_is_counted(kaldi, tmp_path, caplog):
    path = kaldi / "dev" / "segments"
    path.write_text(path.read_text() + "ann-dev8 short 0 1\nann-dev9 long 0 1\n")
    with caplog.at_level(logging.WARNING):
        data = prepare(kaldi, tmp_path / "data", "--max-bad-fraction", "1")
    assert "dev: skipped 2 of 5: 1 audio without text, 1 text without audio" in caplog.messages
    assert len(load(data, "dev")[1]) == 3


@pytest.mark.parametrize("name", ["wav.scp", "text"])
def test_a_folder_that_is_no_data_directory_is_told_by_the_file_it_lacks(kaldi, tmp_path, name):
    (kaldi / "dev" / name).unlink()
    with pytest.raises(RecipeError, match=f"no such file: .*/dev/{name}; --kaldi-dir takes"):
        prepare(kaldi, tmp_path / "data")


@pytest.mark.parametrize("line", ["a long 0", "a long zero 1", "a long 0 1 2"])
def test_a_damaged_segment_is_told_by_its_line(kaldi, tmp_path, line):
    path = kaldi / "dev" / "segments"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(RecipeError, match="segments:4: expected 'utterance recording start end'"):
        prepare(kaldi, tmp_path / "data")


def test_a_damaged_list_is_told(kaldi, tmp_path):
    write_lines(kaldi / "dev" / "wav.scp", "long")
    with pytest.raises(RecipeError, match="dev/wav.scp: expected lines of the form 'name value'"):
        prepare(kaldi, tmp_path / "data")
