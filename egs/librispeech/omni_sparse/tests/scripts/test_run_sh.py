# SPDX-License-Identifier: Apache-2.0
"""run.sh and parse_options.sh: options, stages and what they say. No stage computes anything."""

import re

import pytest

from emformer.data.corpus import load_corpus
from emformer.decoding.search import METHODS
from emformer.scoring.results import CHUNK_WISE, SIMULATED
from emformer.training.trainer import DTYPES
from omni_emformer.sweep.experiment_sweep import COSTS
from tests.support.processes import RECIPE
from tests.support.run_sh import commands, dry, modules, only_line, run_sh

# Help and options.


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_every_stage_and_its_files(option):
    done = run_sh(option)
    assert done.returncode == 0 and done.stderr == ""
    listed = re.findall(r"^ +(-?\d+)  \w+.*->", done.stdout, flags=re.M)
    assert [int(stage) for stage in listed] == list(range(-1, 16))


def test_help_names_every_option():
    text = run_sh("--help").stdout
    script = (RECIPE / "run.sh").read_text()
    defaults = script[: script.index("help_message=")]
    for name in re.findall(r"^([a-z_]+)=", defaults, flags=re.M):
        assert "--" + name.replace("_", "-") in text, name


@pytest.mark.parametrize("option", ["--colour", "--caller-dir", "--_caller_dir", "--Stage", "--a"])
def test_an_unknown_option_is_refused(option):
    assert f"invalid option '{option}'" in only_line(run_sh(option, "1"), 2)


def test_an_option_without_a_value_is_refused():
    assert "option '--stage' needs a value" in only_line(run_sh("--stage"), 2)


def test_an_option_is_no_value():
    assert "option '--python' needs a value" in only_line(run_sh("--python", "--stage", "1"), 2)


def test_an_argument_without_an_option_is_refused():
    assert "unexpected argument 'all'" in only_line(run_sh("all"), 2)


@pytest.mark.parametrize("option", ["--dry-run", "--on-the-fly", "--use-averaged-model"])
@pytest.mark.parametrize("value", ["yes", "True", "1"])
def test_a_switch_takes_only_true_or_false(option, value):
    line = only_line(run_sh(option, value), 2)
    assert f"option '{option}' takes true or false, not '{value}'" in line


def test_an_equals_sign_is_refused_with_a_hint():
    assert "write '--stage 3' for '--stage=3'" in only_line(run_sh("--stage=3"), 2)


@pytest.mark.parametrize("option", ["--stage", "--nj", "--world-size", "--ngpu", "--epoch"])
def test_a_number_is_a_number(option):
    assert "takes a number, not 'three'" in only_line(run_sh(option, "three"), 2)


def test_stages_that_end_before_they_begin_are_refused():
    line = only_line(run_sh("--stage", "5", "--stop-stage", "3"), 2)
    assert "nothing to do: --stage 5 is after --stop-stage 3" in line


def test_a_stage_to_leave_out_is_one_of_them():
    line = only_line(run_sh("--skip-stages", "7 decoding"), 2)
    assert "--skip-stages: 'decoding' is no stage" in line


def test_an_unknown_corpus_is_refused():
    line = only_line(run_sh("--stage", "3", "--stop-stage", "3", "--corpus", "timit"), 1)
    assert "unknown corpus 'timit'" in line and "librispeech" in line


CHOICES = {
    "--dtype": "fp16",
    "--tracker": "tensorboard",
    "--sweep-methods": "greedy",
    "--decoding-methods": "greedy_search viterbi",
    "--sweep-modes": "streaming",
    "--search-cost": "flops",
    "--package-set": "k3",
    "--set": "base_lr=0.1",
    "--subnets": "abc",
    "--export-subnets": "0.5 1.5",
    "--max-duration": "long",
    "--num-epochs": "0",
    "--nj": "0",
    "--world-size": "0",
    "--avg": "0",
    "--train-jobs": "9" * 20,
    "--stage": "9" * 20,
    "--seeds": "1" * 23,
    "--systems": "my/dense dense",
}


@pytest.mark.parametrize("option", CHOICES)
def test_a_value_that_cannot_be_meant_ends_even_a_dry_run(option):
    line = only_line(dry(option, CHOICES[option]), 2)
    assert option in line and CHOICES[option].split()[-1] in line


@pytest.mark.parametrize("option", ["--avg", "--nj", "--dtype", "--systems", "--sweep-modes"])
def test_nothing_is_no_value(option):
    assert option in only_line(dry(option, ""), 2)


@pytest.mark.parametrize(
    "option, value", [("--dtype", "float32 float16"), ("--package-set", "k2,k2")]
)
def test_one_choice_is_one_word(option, value):
    assert f"{option} takes one of " in only_line(dry(option, value), 2)


def test_seeds_and_systems_are_named_once():
    assert "--seeds names 0 twice" in only_line(dry("--seeds", "0 00"), 2)
    assert "--systems names omni twice" in only_line(dry("--systems", "dense,omni,my/omni.yaml"), 2)


@pytest.mark.parametrize("option, stage", [("--search-system", "12"), ("--export-system", "13")])
def test_an_unknown_system_ends_before_the_first_stage(option, stage):
    line = only_line(dry("--stop-stage", stage, option, "nope"), 1)
    assert f"{option}: there is no conf/systems/nope.yaml; see conf/systems" in line


def test_choices_are_those_of_the_commands():
    """What the shell checks, it checks by the same words."""
    script = (RECIPE / "check_options.sh").read_text()
    found = {
        name: words.split() for name, words in re.findall(r"^choices? (\w+) (.*)$", script, re.M)
    }
    assert found["dtype"] == list(DTYPES)
    assert found["decoding_methods"] == found["sweep_methods"] == list(METHODS)
    assert sorted(found["sweep_modes"]) == sorted([SIMULATED, CHUNK_WISE])
    assert found["search_cost"] == list(COSTS)


def test_a_switch_alone_is_on():
    assert commands(run_sh("--stage", "5", "--stop-stage", "5", "--dry-run"))
    assert "--on-the-fly true" in "\n".join(
        commands(run_sh("--stage", "3", "--stop-stage", "3", "--on-the-fly", "--dry-run"))
    )


def test_a_dry_run_never_says_that_a_stage_is_done():
    assert " done" not in dry("--stage", "0").stdout


def test_a_system_with_a_mistake_ends_before_the_first_stage(tmp_path):
    (tmp_path / "my.yaml").write_text("sparsity: {max_sparsity: 2}\n")
    words = ["--stage", "0", "--systems", "dense my.yaml", "--data-dir", tmp_path / "data"]
    line = only_line(run_sh(*words, cwd=tmp_path), 1)
    assert "my.yaml: sparsity: max_sparsity is 2; it must lie in [0, 1)" in line
    assert not (tmp_path / "data").exists()


def test_an_argument_with_a_space_stays_one(tmp_path):
    folder = tmp_path / "my data"
    (command,) = commands(dry("--stage", "5", "--stop-stage", "5", "--data-dir", folder))
    assert str(folder).replace(" ", "\\ ") in command


# Dry runs.


def test_a_dry_run_prints_every_stages_command(tmp_path):
    done = dry("--stage", "0", "--data-dir", tmp_path / "data", "--exp-root", tmp_path / "exp")
    assert modules(done) == [
        "local.prepare_synthetic", "local.prepare_synthetic_manifests", "local.compute_fbank",
        "local.validate_manifest", "local.train_bpe_model", "emformer.train", "emformer.decode",
        "emformer.streaming_decode", "emformer.report", *["omni_emformer.train"] * 5,
        *["omni_emformer.sweep"] * 7, "omni_emformer.report",
    ]  # fmt: skip


def test_a_dry_run_of_stage_minus_1_installs_nothing():
    done = dry("--stop-stage", "-1")
    assert commands(done) == ["./install.sh --set k2", "python3 -m local.check_env"]


def test_a_dry_run_makes_nothing(tmp_path):
    words = ("--data-dir", tmp_path / "data", "--dl-dir", tmp_path / "dl")
    dry(*words, "--exp-root", tmp_path / "exp")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_works_before_anything_is_installed(tmp_path):
    bare = tmp_path / "bin"
    bare.mkdir()
    (bare / "python3").write_text("#!/bin/sh\nexit 1\n")
    (bare / "python3").chmod(0o755)
    words = ("--stage", "5", "--systems", "dense pruned one_shot", "--data-dir", "/data")
    assert commands(dry(*words, OMNI_PYTHON=str(bare / "python3"))) == commands(dry(*words))


@pytest.mark.parametrize("stage", range(16))
def test_one_stage_runs_only_that(stage):
    done = dry("--stage", stage, "--stop-stage", stage)
    said = {int(n) for n in re.findall(r"Stage (-?\d+):", done.stdout)}
    assert said == (set() if stage in (2, 4) else {stage})  # synthetic speech needs no MUSAN


@pytest.mark.parametrize("corpus", ["librispeech", "mini_librispeech"])
def test_musan_is_prepared_for_the_corpora_that_use_it(corpus):
    done = dry("--stage", "1", "--stop-stage", "4", "--corpus", corpus)
    said = {int(n) for n in re.findall(r"Stage (\d+):", done.stdout)}
    expected = {1, 3} | ({2, 4} if load_corpus(corpus).musan else set())
    assert said == expected


def test_options_reach_the_training():
    done = dry(
        "--stage", "6", "--stop-stage", "6", "--seeds", "7", "--num-epochs", "3", "--world-size",
        "2", "--dtype", "bfloat16", "--max-duration", "99", "--on-the-fly", "true",
    )  # fmt: skip
    (command,) = commands(done)
    for words in ("--nproc_per_node 2 -m emformer.train", "--seed 7", "--num-epochs 3",
                  "--dtype bfloat16", "--max-duration 99", "--on-the-fly-feats true",
                  "--config conf/demo.yaml", "--corpus synthetic"):  # fmt: skip
        assert words in command


def test_options_reach_what_is_exported():
    words = ["--export-system", "dsnn", "--export-subnets", "0.5 front/3", "--seeds", "2 3"]
    words += ["--avg", "2", "--epoch", "4", "--use-averaged-model", "false"]
    export, check, benchmark, *_ = commands(dry("--stage", "13", "--stop-stage", "15", *words))
    for command in (export, check, benchmark):
        assert "--exp-dir exp/synthetic/dsnn-seed2 " in command
    for option in ("--subnets 0.5 front/3", "--avg 2", "--epoch 4", "--use-averaged-model false"):
        assert option in export


def test_options_reach_both_decodings():
    done = dry(
        "--stage", "7", "--stop-stage", "8", "--decoding-methods", "greedy_search", "--epoch", "4",
        "--avg", "2", "--use-averaged-model", "false", "--beam-size", "8",
    )  # fmt: skip
    found = [command for command in commands(done) if "decode" in command]
    for command in found:
        for words in ("--methods greedy_search", "--epoch 4", "--avg 2", "--beam-size 8",
                      "--use-averaged-model false"):  # fmt: skip
            assert words in command
    assert len(found) == 2


def test_all_trainings_have_the_same_options():
    words = ["--seeds", "7", "--num-epochs", "3", "--max-duration", "99", "--dtype", "float16"]
    words += ["--systems", "dense omni small_dense", "--world-size", "2"]
    dense, omni, first, *_ = (
        command
        for stage in (6, 9)
        for command in commands(dry("--stage", stage, "--stop-stage", stage, *words))
    )
    omni = omni.replace("omni_emformer.train --system conf/systems/omni.yaml", "emformer.train")
    assert omni.replace("--exp-dir exp/synthetic/omni-", "--exp-dir exp/synthetic/dense-") == dense
    small = "omni_emformer.train --system conf/systems/small_dense.yaml --level 0.5"
    first = first.replace(small, "emformer.train")
    assert first.replace("synthetic/small_dense-0.50-seed7", "synthetic/dense-seed7") == dense
