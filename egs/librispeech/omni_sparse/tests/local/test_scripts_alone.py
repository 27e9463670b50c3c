# SPDX-License-Identifier: Apache-2.0
"""Every data script can be run by itself."""

import importlib

import pytest

from tests.support.processes import run_module

SCRIPTS = (
    "compute_fbank",
    "compute_fbank_musan",
    "corpus",
    "display_manifest_statistics",
    "download",
    "prepare_an4",
    "prepare_fsdd",
    "prepare_kaldi",
    "prepare_librispeech",
    "prepare_musan",
    "train_bpe_model",
    "validate_manifest",
)


@pytest.mark.parametrize("name", SCRIPTS)
def test_help(capsys, name):
    module = importlib.import_module(f"local.{name}")
    with pytest.raises(SystemExit) as e:
        module.main(["--help"])
    assert e.value.code == 0
    printed = capsys.readouterr().out
    assert "usage:" in printed
    assert f"python3 -m local.{name}" in printed


@pytest.mark.parametrize("name", SCRIPTS)
def test_missing_options_are_a_usage_error(capsys, name):
    module = importlib.import_module(f"local.{name}")
    with pytest.raises(SystemExit) as e:
        module.main([])
    assert e.value.code == 2


def test_mistake_is_one_line_on_stderr_and_status_1(tmp_path):
    where = ["--corpus", "fsdd", "--data-dir", tmp_path]
    done = run_module("local.compute_fbank", *where, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no manifests of train, dev, test-clean, test-other in")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("option", ["--nj=0", "--nj=two", "--on-the-fly=maybe"])
def test_nonsense_options_are_refused(capsys, option):
    from local.compute_fbank import main

    with pytest.raises(SystemExit) as e:
        main(["--corpus", "fsdd", "--data-dir", "x", option])
    assert e.value.code == 2
    assert "expected" in capsys.readouterr().err
