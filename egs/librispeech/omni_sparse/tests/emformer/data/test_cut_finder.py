# SPDX-License-Identifier: Apache-2.0
"""Cuts that lead nowhere are one line before the work."""

import shutil
from pathlib import Path

import pytest

from emformer.data.asr_datamodule import AsrDataModule
from emformer.data.corpus import load_corpus
from emformer.errors import RecipeError
from tests.support.processes import run_module
from tests.support.training import words


@pytest.fixture
def copy(tiny_data, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_data, tmp_path / "copy"))


def data_of(folder, **options) -> AsrDataModule:
    return AsrDataModule(load_corpus("synthetic"), folder, **options)


@pytest.mark.parametrize("split", ["train", "dev"])
def test_features_that_are_gone_are_told_before_training(copy, tiny_config, tmp_path, split):
    shutil.rmtree(copy / "fbank" / f"synthetic_feats_{split}")
    options = words(copy, tiny_config, tmp_path / "exp")
    done = run_module("emformer.train", *options, check=False)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "update" not in done.stderr
    assert last.startswith(f"error: {copy}/fbank/synthetic_feats_{split}/feats-0000")
    assert f"but {copy}/fbank/synthetic_cuts_{split}.jsonl.gz names them" in last
    assert last.endswith("--stage 3")


def test_features_that_are_gone_are_told_before_decoding(copy):
    shutil.rmtree(copy / "fbank" / "synthetic_feats_test-clean")
    with pytest.raises(RecipeError, match="no such features"):
        next(iter(data_of(copy).test_dataloader("test-clean")))


def test_sound_that_is_gone_is_told_where_features_are_computed_from_it(copy):
    shutil.rmtree(copy / "audio" / "dev")
    with pytest.raises(RecipeError, match=r"audio/dev/.*: no such sound.*--stage 1$"):
        data_of(copy, on_the_fly=True).valid_cuts()


def test_stored_features_do_without_the_sound(copy, tiny_data):
    shutil.rmtree(copy / "audio")
    (one,), (other,) = (
        [batch["inputs"] for batch in data_of(folder).test_dataloader("test-clean")]
        for folder in (copy, tiny_data)
    )
    assert one.equal(other)


def test_a_corpus_without_features_says_how_to_use_it(copy):
    options = ["--corpus", "synthetic", "--data-dir", str(copy), "--nj", "1"]
    run_module("local.compute_fbank", *options, "--on-the-fly", "true")
    with pytest.raises(RecipeError, match="so it has no features; use --on-the-fly-feats true"):
        data_of(copy).valid_cuts()
    assert data_of(copy, on_the_fly=True).valid_cuts()
