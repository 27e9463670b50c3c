# SPDX-License-Identifier: Apache-2.0
"""Mistakes in what training and decoding are given: one line that says what to do, no traceback."""

import pytest

from tests.support.processes import run_module
from tests.support.training import words, write_config


@pytest.fixture
def config(tmp_path):
    return write_config(tmp_path / "tiny.yaml")


def error_of(*command: str) -> str:
    """The error of a module that refuses its input: the last line on stderr, and the only one."""
    done = run_module(*command, check=False)
    assert done.returncode == 1, done.stderr
    lines = done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    return lines[-1]


def test_training_without_data_names_the_stage_that_makes_it(tmp_path, config, tiny_data):
    options = words(tiny_data, config, tmp_path / "exp", "--data-dir", str(tmp_path / "none"))
    said = error_of("emformer.train", *options)
    assert f"{tmp_path}/none/fbank/synthetic_cuts_train.jsonl.gz: no such manifest" in said
    assert said.endswith("--stage 3")


def test_training_without_a_bpe_model_names_the_stage_that_makes_it(tmp_path, config, tiny_data):
    options = words(tiny_data, config, tmp_path / "exp", "--lang-dir", str(tmp_path / "lang"))
    said = error_of("emformer.train", *options)
    assert f"{tmp_path}/lang/bpe.model: no such BPE model" in said and "--stage 5" in said


def test_training_with_a_damaged_bpe_model_names_it(tmp_path, config, tiny_data):
    (tmp_path / "bpe.model").write_bytes(b"not a model")
    options = words(tiny_data, config, tmp_path / "exp", "--lang-dir", str(tmp_path))
    assert "bpe.model: not a sentencepiece model" in error_of("emformer.train", *options)


def test_a_misspelt_setting_is_named_with_those_that_exist(tmp_path, tiny_data):
    config = write_config(tmp_path / "tiny.yaml", base_rl=0.1)
    said = error_of("emformer.train", *words(tiny_data, config, tmp_path / "exp"))
    assert "tiny.yaml: training: unknown 'base_rl'; known: " in said and "base_lr" in said


def test_a_missing_configuration_is_named(tmp_path, tiny_data):
    said = error_of("emformer.train", *words(tiny_data, tmp_path / "no.yaml", tmp_path / "exp"))
    assert "no.yaml: no such configuration" in said


def test_a_configuration_that_is_no_yaml_is_one_line(tmp_path, tiny_data):
    (tmp_path / "bad.yaml").write_text("model: [\n  a: 1\n")
    said = error_of("emformer.train", *words(tiny_data, tmp_path / "bad.yaml", tmp_path / "exp"))
    assert "bad.yaml: not YAML" in said


def test_an_unknown_corpus_is_named(tmp_path, config, tiny_data):
    options = words(tiny_data, config, tmp_path / "exp", "--corpus", "timit")
    assert "unknown corpus 'timit'" in error_of("emformer.train", *options)


def test_an_experiment_folder_that_cannot_be_made_is_named(tmp_path, config, tiny_data):
    (tmp_path / "file").touch()
    options = words(tiny_data, config, tmp_path / "file" / "exp")
    assert "cannot be written to (Not a directory)" in error_of("emformer.train", *options)


def test_a_damaged_manifest_is_named(tmp_path, config, tiny_data):
    (tmp_path / "fbank").mkdir()
    name = "synthetic_cuts_train.jsonl.gz"
    whole = (tiny_data / "fbank" / name).read_bytes()
    (tmp_path / "fbank" / name).write_bytes(whole[: len(whole) // 2])
    options = words(tiny_data, config, tmp_path / "exp", "--data-dir", str(tmp_path))
    said = error_of("emformer.train", *options)
    assert f"{name}: damaged" in said and said.endswith("--stage 3")


def test_data_of_which_no_cut_can_be_trained_on_is_refused(tmp_path, tiny_data):
    config = write_config(tmp_path / "tiny.yaml", min_duration=50.0, max_cut_duration=60.0)
    said = error_of("emformer.train", *words(tiny_data, config, tmp_path / "exp"))
    assert "no cut is left for training (64 shorter than 50.0 s)" in said


@pytest.mark.parametrize("module", ["emformer.decode", "emformer.streaming_decode"])
def test_decoding_a_missing_experiment_names_the_stage_that_makes_it(tmp_path, tiny_data, module):
    options = ["--exp-dir", str(tmp_path / "none"), "--data-dir", str(tiny_data)]
    said = error_of(module, *options, "--corpus", "synthetic")
    assert f"{tmp_path}/none" in said and "--stage 6" in said


def test_reporting_without_results_says_what_to_do_first(tmp_path):
    said = error_of("emformer.report", "--exp-dir", str(tmp_path))
    assert f"{tmp_path}/results.jsonl" in said and "decode first" in said


def test_a_value_of_the_wrong_kind_is_a_usage_error(tmp_path, config, tiny_data):
    options = words(tiny_data, config, tmp_path / "exp", "--num-epochs", "many")
    done = run_module("emformer.train", *options, check=False)
    assert done.returncode == 2
    assert "--num-epochs: expected a whole number of at least 1, got 'many'" in done.stderr
    assert not (tmp_path / "exp").exists()
