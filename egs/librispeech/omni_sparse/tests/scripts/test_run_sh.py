# SPDX-License-Identifier: Apache-2.0
"""run.sh and parse_options.sh: options, stages and what they say. No stage computes anything."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from emformer.data.corpus import load_corpus
from emformer.decoding.search import METHODS
from emformer.scoring.results import CHUNK_WISE, SIMULATED
from emformer.training.trainer import DTYPES
from omni_emformer.sweep.experiment_sweep import COSTS
from tests.support.processes import RECIPE

BASH = "/bin/bash" if os.path.exists("/bin/bash") else "bash"


def run_sh(*words: str, cwd=RECIPE, **environment) -> subprocess.CompletedProcess:
    """run.sh with this Python, so that nothing is installed."""
    env = {k: v for k, v in os.environ.items() if k not in ("OMNI_SET", "PYTHONPATH")}
    env.update(OMNI_PYTHON=sys.executable, PYTHONDONTWRITEBYTECODE="1")
    env.update(environment)
    script = os.path.relpath(RECIPE / "run.sh", cwd)
    return subprocess.run(
        [BASH, script, *map(str, words)], cwd=cwd, env=env, capture_output=True, text=True,
        check=False, timeout=300,  # what is not refused would train
    )  # fmt: skip


def only_line(done: subprocess.CompletedProcess, status: int) -> str:
    """The one line on stderr of a run that ended with ``status``."""
    assert done.returncode == status, (done.stdout, done.stderr)
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    return lines[0]


def commands(done: subprocess.CompletedProcess) -> list[str]:
    """What a dry run would run."""
    assert done.returncode == 0, done.stderr
    return [line.strip() for line in done.stdout.splitlines() if line.startswith("  ")]


def modules(done) -> list[str]:
    return re.findall(r"-m ((?:local|emformer|omni_emformer)\.\w+)", "\n".join(commands(done)))


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


def test_an_unknown_corpus_is_refused():
    line = only_line(run_sh("--stage", "3", "--stop-stage", "3", "--corpus", "timit"), 1)
    assert "unknown corpus 'timit'" in line and "librispeech" in line


# Dry runs.


def dry(*words, **options):
    return run_sh("--dry-run", "true", *words, **options)


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


# Systems and seeds.

ALL = "dense omni dsnn pruned small_dense simple_top_k iterative_zero_out random_mask one_shot"


def stage(number, *words, **options) -> list[str]:
    """Commands of a stage alone."""
    return commands(dry("--stage", number, "--stop-stage", number, *words, **options))


def folders(found: list[str]) -> list[str]:
    """Experiment folders of commands."""
    return [re.search(r"--exp-dir exp/synthetic/(\S+)", command)[1] for command in found]


def test_every_system_is_trained_once_a_level_and_seed():
    found = folders(stage(9, "--systems", ALL, "--seeds", "0 2"))
    levels = ("0.50", "0.70", "0.80", "0.90")
    names = [
        "omni",
        "dsnn",
        *(f"pruned-{x}" for x in levels),
        *(f"small_dense-{x}" for x in levels),
    ]
    names += ["simple_top_k", "iterative_zero_out", "random_mask"]
    # The dense model of the first seed is stage 6's, and one_shot has no training.
    assert found == names + [f"{name}-seed2" for name in ["dense", *names]]


def test_each_level_of_a_chain_goes_on_from_the_one_before():
    found = stage(9, "--systems", "dense pruned chain", "--seeds", "0 2", "--train-jobs", "2")
    found = [command for command in found if "conf/systems/chain.yaml" in command]
    ends = ["", "-seed2"]
    names = [f"chain-{x}{end}" for end in ends for x in ("0.50", "0.70", "0.80", "0.90")]
    assert folders(found) == names
    starts = [re.search(r"--start-from exp/synthetic/(\S+)", command)[1] for command in found]
    assert starts == ["dense", *names[:3], "dense-seed2", *names[4:7]]


def test_a_chain_needs_the_dense_model():
    line = only_line(run_sh("--dry-run", "true", "--stage", "9", "--systems", "chain"), 2)
    assert "chain prunes the dense model; name dense, too" in line


def test_a_run_is_told_its_system_level_and_seed():
    (first, *_, last) = stage(9, "--systems", "dense pruned", "--seeds", "0 1")
    assert "--system conf/systems/pruned.yaml --level 0.5 " in first and "--seed 0 " in first
    assert "--system conf/systems/pruned.yaml --level 0.9 " in last and "--seed 1 " in last
    assert "--level" not in stage(9)[0]


def test_the_first_seed_is_the_one_of_the_dense_stages():
    (train,) = stage(6, "--seeds", "3 0")
    assert "--exp-dir exp/synthetic/dense-seed3 --seed 3 " in train
    decode = stage(8, "--seeds", "3 0")[0]
    assert "--exp-dir exp/synthetic/dense-seed3 --system-name dense " in decode
    others = stage(9, "--seeds", "3 0", "--systems", "dense")
    assert len(others) == 1 and "--exp-dir exp/synthetic/dense --seed 0 " in others[0]


def test_the_sweep_decodes_every_run():
    found = stage(10, "--systems", ALL, "--seeds", "0 2", "--epoch", "4", "--avg", "2")
    trained = folders(stage(9, "--systems", ALL, "--seeds", "0 2"))
    swept = folders(found)
    assert sorted(set(swept)) == sorted({*trained, "dense"})
    assert len(swept) == len(trained) + 1 + 2  # and one_shot of both dense models
    for command in found:
        for words in ("--methods greedy_search modified_beam_search --modes chunk-wise --corpus",
                      "--epoch 4", "--avg 2", "--beam-size 4"):  # fmt: skip
            assert words in command
        assert "--subnets" not in command  # those of the systems' settings


def test_a_sweep_is_told_the_name_of_its_system():
    dense, omni, one_shot = stage(10, "--seeds", "2", "--systems", "dense omni one_shot")
    where = "python3 -m omni_emformer.sweep --exp-dir exp/synthetic"
    assert dense.startswith(f"{where}/dense-seed2 --system-name dense --methods ")
    assert omni.startswith(f"{where}/omni-seed2 --system-name omni --methods ")
    named = "--system-name dense --system conf/systems/one_shot.yaml --one-shot-name one_shot"
    assert one_shot.startswith(f"{where}/dense-seed2 {named} --methods ")


def test_options_reach_the_sweep():
    words = ["--subnets", "0 0.5", "--sweep-methods", "greedy_search"]
    words += ["--sweep-modes", "simulated chunk-wise", "--systems"]
    dense, omni, one_shot = stage(10, *words, "dense omni one_shot")
    for command in (dense, omni, one_shot):
        assert "--methods greedy_search --modes simulated chunk-wise --corpus" in command
    assert omni.endswith("--subnets 0 0.5") and one_shot.endswith("--subnets 0 0.5")
    # A dense model has no levels, and one pruned to a level no other.
    assert "--subnets" not in dense
    assert not any("--subnets" in command for command in stage(10, *words, "pruned small_dense"))
    assert not any("--subnets" in command for command in stage(10, *words, "combined simple_top_k"))


def test_the_report_begins_with_the_dense_model_of_the_first_seed():
    found = stage(11, "--systems", "omni dense pruned one_shot", "--seeds", "1 0")[0]
    names = re.findall(r"exp/synthetic/(\S+)", found)
    assert names[:2] == ["dense-seed1", "omni-seed1"] and "dense" in names
    assert len(names) == len(set(names)) == 2 * 6
    assert found.endswith("--out exp/synthetic")


def test_a_system_of_the_users_own(tmp_path):
    (tmp_path / "wide.v2.yaml").write_text("like: pruned.yaml\n")
    (tmp_path / "pruned.yaml").write_text("levels: [0.25]  # WIDE\nsparsity: {}\n")
    words = ["--stage", "9", "--systems", "dense wide.v2.yaml"]
    train, dense, wide, report = commands(dry(*words, cwd=tmp_path))[:4]
    assert f"--system {tmp_path}/wide.v2.yaml --level 0.25 " in train
    assert "--exp-dir exp/synthetic/wide.v2-0.25 " in train
    assert "--exp-dir exp/synthetic/wide.v2-0.25 --system-name wide.v2 " in wide
    names = "exp/synthetic/dense exp/synthetic/wide.v2-0.25"
    assert report == f"python3 -m omni_emformer.report --exp-dirs {names} --out exp/synthetic"


def test_an_unknown_system_is_refused_before_anything_runs():
    line = only_line(dry("--stage", "0", "--systems", "dense omny"), 1)
    assert "--systems: there is no conf/systems/omny.yaml; see conf/systems" in line


def test_one_shot_needs_the_dense_model():
    line = only_line(dry("--stage", "9", "--systems", "omni one_shot"), 2)
    assert "--systems: one_shot prunes the dense model; name dense, too" in line


@pytest.mark.parametrize("seeds", ["a", "0.1", "-1", "0 x", '""'])
def test_seeds_are_numbers(seeds):
    assert f"--seeds takes numbers, not '{seeds}'" in only_line(run_sh("--seeds", seeds), 2)


def test_folders_of_the_experiments_and_of_the_report(tmp_path):
    words = ["--exp-root", "a", "--report-dir", "c", "--systems", "dense omni one_shot"]
    found = commands(dry("--stage", "11", *words, cwd=tmp_path))
    assert f"--exp-dirs {tmp_path}/a/dense {tmp_path}/a/omni --out {tmp_path}/c" in found[0]


def test_what_is_missing_is_made_by_a_call_for_the_same_systems(tmp_path):
    (tmp_path / "exp" / "dense").mkdir(parents=True)
    words = ["--systems", "dense my.yaml", "--exp-root", tmp_path / "exp"]
    (tmp_path / "my.yaml").write_text("model: {}\n")
    line = only_line(run_sh("--stage", "11", "--stop-stage", "11", *words, cwd=tmp_path), 1)
    assert re.search(r"exp/dense/results.jsonl is missing; make it with \S*run.sh --stage 10", line)
    assert f"--systems dense\\ my.yaml --exp-root {tmp_path}/exp" in line


def test_a_remedy_repeats_the_call_and_can_be_pasted(tmp_path):
    config = tmp_path / "a config.yaml"
    config.write_text("{}")
    own = ["--config", config, "--num-epochs", "1", "--exp-root", tmp_path / "my exp"]
    line = only_line(run_sh("--stage", "7", "--stop-stage", "7", *own), 1)
    remedy = line.split("make it with ")[1]
    assert shlex.split(remedy) == [
        "./run.sh", "--stage", "6", "--stop-stage", "6", *map(str, own),
    ]  # fmt: skip


def test_what_was_never_trained_is_to_be_trained_and_not_decoded(tmp_path):
    (tmp_path / "dense").mkdir()
    (tmp_path / "dense" / "results.jsonl").touch()
    words = ["--stage", "11", "--systems", "dense dsnn", "--exp-root", tmp_path]
    line = only_line(run_sh(*words), 1)
    assert f"{tmp_path}/dsnn is missing; make it with ./run.sh --stage 9 --stop-stage 9" in line


@pytest.mark.parametrize("separator", [" ", ",", ", "])
def test_lists_take_spaces_and_commas(separator):
    words = ["--stage", "10", "--stop-stage", "10", "--systems", separator.join(["dense", "omni"])]
    words += ["--seeds", separator.join("01"), "--subnets", separator.join(["0", "0.5"])]
    found = commands(dry(*words))
    assert len(found) == 4 and found[1].endswith("--subnets 0 0.5")


CHOICES = {
    "--dtype": "fp16",
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


# --set.


SYSTEMS = ["--systems", "dense omni pruned one_shot"]


def test_settings_go_where_their_section_is():
    words = ["--set", "training.base_lr=0.002, sparsity.valid_levels=[0.5, 0.7]"]
    words += ["--set", "one_shot.pattern=16x1"]
    found = commands(dry("--stage", "6", "--stop-stage", "10", *SYSTEMS, *words))
    given = {}
    for command in found:
        tokens = shlex.split(command)
        name = tokens[tokens.index("--system") + 1] if "--system" in tokens else tokens[2]
        values = [tokens[i + 1] for i, word in enumerate(tokens) if word == "--set"]
        given.setdefault((tokens[2], name), []).append(values)
    everywhere, level = "training.base_lr=0.002", "sparsity.valid_levels=[0.5, 0.7]"
    file = "conf/systems/{}.yaml".format
    assert given.pop(("emformer.train",) * 2) == [[everywhere]]
    assert given.pop(("omni_emformer.train", file("omni"))) == [[everywhere, level]]
    assert given.pop(("omni_emformer.train", file("pruned"))) == [[everywhere, level]] * 4
    assert given.pop(("omni_emformer.sweep", file("one_shot"))) == [["one_shot.pattern=16x1"]]
    assert not any(any(values) for values in given.values())


def test_a_section_that_a_file_has_from_another_is_its_section():
    words = ["--systems", "dense random_mask", "--set", "sparsity.shrink=0.3"]
    (command,) = stage(9, *words)
    assert "random_mask" in command and "--set sparsity.shrink=0.3" in command


def test_a_setting_that_nobody_takes_ends_even_a_dry_run():
    line = only_line(dry("--systems", "dense omni", "--set", "chain.epochs=3"), 1)
    assert "--set chain.epochs=3: no section chain in conf/systems/dense.yaml conf/sy" in line


def test_settings_are_checked_before_the_first_stage(tmp_path):
    words = ["--stage", "0", "--data-dir", tmp_path / "data", "--set", "training.base_lrr=1"]
    line = only_line(run_sh(*words), 1)
    assert "--set training.base_lrr=1: conf/demo.yaml has no such setting; did you mean" in line
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_has_an_option_is_not_given_by_both():
    line = only_line(dry("--num-epochs", "2", "--set", "training.num_epochs=3"), 2)
    assert "--set training.num_epochs=3: --num-epochs says it, too" in line


def test_the_package_set_of_old_is_told_its_new_name():
    assert "the package set is now --package-set k2" in only_line(dry("--set", "k2"), 2)


def test_a_remedy_repeats_the_settings(tmp_path):
    own = ["--set", "training.base_lr=0.1", "--set", "sparsity.levels=[0.5, 0.7]"]
    own += ["--systems", "dense omni", "--exp-root", str(tmp_path / "exp")]
    done = run_sh("--stage", "7", "--stop-stage", "7", *own)
    remedy = done.stderr.split("make it with ")[1]
    assert shlex.split(remedy) == ["./run.sh", "--stage", "6", "--stop-stage", "6", *own]


# Folders.


def test_it_runs_from_another_folder(tmp_path):
    here = dry("--stage", "3", "--stop-stage", "9")
    there = dry("--stage", "3", "--stop-stage", "9", cwd=tmp_path)
    assert commands(here) == commands(there)


def test_paths_are_meant_from_where_the_caller_is(tmp_path):
    (tmp_path / "my.yaml").write_text("model: {}\n")
    words = ["--stage", "6", "--stop-stage", "6", "--config", "my.yaml", "--exp-root", "my/exp"]
    (command,) = commands(dry(*words, cwd=tmp_path))
    assert f"--config {tmp_path}/my.yaml --exp-dir {tmp_path}/my/exp/dense" in command


def test_a_configuration_of_the_recipe_is_found_from_anywhere(tmp_path):
    words = ["--stage", "6", "--stop-stage", "6", "--config", "conf/demo.yaml"]
    assert "--config conf/demo.yaml" in commands(dry(*words, cwd=tmp_path))[0]


def test_a_folder_named_like_the_corpus_does_not_confuse(tmp_path):
    (tmp_path / "synthetic").mkdir()
    (command,) = commands(dry("--stage", "5", "--stop-stage", "5", cwd=tmp_path))
    assert "--corpus synthetic" in command


def test_a_corpus_of_the_users_own(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "prefix: mine\ntrain: [a]\ndev: [b]\ntest: [c]\nvocab_size: 77\n"
    )
    words = ["--stage", "5", "--stop-stage", "6", "--corpus", "mine.yaml"]
    words += ["--config", "conf/small.yaml"]
    found = commands(dry(*words, cwd=tmp_path))
    assert f"--corpus {tmp_path}/mine.yaml --data-dir data/mine" in found[0]
    assert "--lang-dir data/mine/lang_bpe_77" in found[1]


@pytest.mark.parametrize("name", ["synthetic", "fsdd_mine", "multilingual_librispeech_de"])
def test_a_corpus_given_as_a_path_is_ones_own_whatever_its_name(tmp_path, name):
    path = tmp_path / f"{name}.yaml"
    path.write_text("prefix: mine\ntrain: [a]\ndev: [b]\ntest: [c]\nvocab_size: 77\n")
    done = dry("--stage", "0", "--stop-stage", "1", "--corpus", path)
    assert done.returncode == 0 and commands(done) == []
    words = ["--corpus", path, "--data-dir", tmp_path / "data"]
    line = only_line(run_sh("--stage", "1", "--stop-stage", "1", *words), 1)
    assert "has mine_{recordings,supervisions}_{a,b,c}.jsonl.gz there" in line
    assert "goes on with ./run.sh --stage 3" in line


def test_a_corpus_of_ones_own_needs_a_configuration(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("prefix: mine\ntrain: [a]\ndev: [b]\ntest: [c]\nvocab_size: 77\n")
    assert "--config is not given" in only_line(dry("--corpus", path), 2)


def test_a_source_says_how_a_corpus_is_made(tmp_path):
    path = tmp_path / "ours.yaml"
    text = (RECIPE / "conf/corpus/mini_librispeech.yaml").read_text()
    path.write_text(text.replace("vocab_size: 200", "vocab_size: 100"))
    assert "local.download" in modules(dry("--stage", "0", "--stop-stage", "0", "--corpus", path))


# Missing inputs.


@pytest.mark.parametrize(
    "stage, maker",
    [
        (1, 0), (3, 1), (5, 3), (6, 3), (7, 6), (8, 6), (9, 3), (10, 6), (11, 6), (13, 9),
        (14, 13), (15, 13),
    ],
)  # fmt: skip
def test_a_missing_input_names_the_stage_that_makes_it(tmp_path, stage, maker):
    where = ["--data-dir", tmp_path / "data", "--exp-root", tmp_path / "exp"]
    line = only_line(run_sh("--stage", stage, "--stop-stage", stage, *where), 1)
    assert f"is missing; make it with ./run.sh --stage {maker} --stop-stage {maker} " in f"{line} "
    assert f"--data-dir {tmp_path}/data" in line
    assert list(tmp_path.iterdir()) == []


def test_training_without_a_bpe_model_names_stage_5(tmp_path):
    (tmp_path / "fbank").mkdir()
    line = only_line(run_sh("--stage", "6", "--stop-stage", "6", "--data-dir", tmp_path), 1)
    assert re.search(r"lang_bpe_\d+/bpe.model is missing; make it with ./run.sh --stage 5", line)


BROUGHT = {"fsdd": "fsdd", "fsdd_all": "fsdd", "an4": "an4", "kaldi": "kaldi"}


@pytest.mark.parametrize("stage", [0, 1])
@pytest.mark.parametrize("corpus", BROUGHT)
def test_a_corpus_that_the_user_brings_is_asked_for_by_its_option(tmp_path, corpus, stage):
    words = ["--stage", stage, "--stop-stage", stage, "--corpus", corpus, "--data-dir", tmp_path]
    line = only_line(run_sh(*words), 1)
    assert f"--{BROUGHT[corpus]}-dir is not given; " in line


@pytest.mark.parametrize("corpus", BROUGHT)
def test_a_folder_that_is_not_there_is_told_before_the_first_stage(tmp_path, corpus):
    option = f"--{BROUGHT[corpus]}-dir"
    done = run_sh("--stage", "0", "--corpus", corpus, option, tmp_path / "x", "--data-dir", "/y")
    assert f"{option}: there is no folder {tmp_path}/x; " in only_line(done, 1)
    assert done.stdout == ""


INSIDE = {"fsdd": "recordings", "an4": "etc/an4_train.fileids", "kaldi": "train/wav.scp"}


@pytest.mark.parametrize("corpus, inside", INSIDE.items())
def test_a_folder_of_something_else_is_told_before_the_first_stage(tmp_path, corpus, inside):
    option = f"--{corpus}-dir"
    done = run_sh("--stage", "0", "--corpus", corpus, option, tmp_path, "--data-dir", "/y")
    assert f"{option}: {tmp_path} has no {inside}" in only_line(done, 1)
    assert done.stdout == ""


def test_a_corpus_that_the_user_brings_is_prepared_by_one_command(tmp_path):
    for inside in (*INSIDE.values(), "dev/wav.scp", "test/wav.scp"):
        (tmp_path / inside).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / inside).touch()
    for corpus in ("an4", "kaldi", "fsdd"):
        words = ["--stage", "0", "--stop-stage", "6", "--corpus", corpus]
        found = commands(dry(*words, f"--{corpus}-dir", ".", cwd=tmp_path))
        made = f"python3 -m local.prepare_{corpus} --corpus {corpus} --data-dir data/{corpus} "
        assert found[0].startswith(f"{made}--{corpus}-dir {tmp_path}/.")
        assert f"--config {load_corpus(corpus).config} " in found[-1]


# Trainings that go on with others.


def test_word_pieces_of_another_corpus_are_used_and_none_are_made(tmp_path):
    words = ["--stage", "5", "--stop-stage", "6", "--lang-dir", "pieces"]
    (train,) = commands(dry(*words, cwd=tmp_path))
    assert f"--lang-dir {tmp_path}/pieces " in train


def test_word_pieces_that_are_not_there_are_told_before_the_first_stage(tmp_path):
    done = run_sh("--stage", "0", "--lang-dir", tmp_path, "--data-dir", tmp_path / "data")
    assert f"--lang-dir: there is no {tmp_path}/bpe.model; stage 5" in only_line(done, 1)
    assert not (tmp_path / "data").exists()


def test_all_trainings_but_those_of_a_chain_start_from_what_is_given(tmp_path):
    words = ["--systems", "dense omni pruned chain", "--init-from", "exp/first", "--seeds", "0 1"]
    (dense,) = commands(dry("--stage", "6", "--stop-stage", "6", *words, cwd=tmp_path))
    others = commands(dry("--stage", "9", "--stop-stage", "9", *words, cwd=tmp_path))
    assert dense.endswith(f" --init-from {tmp_path}/exp/first")
    for command in others:
        is_chain = "conf/systems/chain.yaml" in command
        assert is_chain != (f" --init-from {tmp_path}/exp/first" in command)
    assert any("conf/systems/chain.yaml" in command for command in others)


def test_an_experiment_to_start_from_that_is_none_is_told_before_the_first_stage(tmp_path):
    words = ["--stage", "0", "--data-dir", tmp_path / "data", "--init-from"]
    line = only_line(run_sh(*words, tmp_path), 1)
    assert f"{tmp_path}: no epoch-N.pt; train first" in line
    line = only_line(run_sh(*words, "x.pt", cwd=tmp_path), 1)
    assert f"{tmp_path}/x.pt: no such checkpoint" in line
    assert not (tmp_path / "data").exists()


def test_a_failing_stage_ends_the_run(tmp_path):
    (tmp_path / "manifests").mkdir()
    done = run_sh("--stage", "3", "--stop-stage", "5", "--data-dir", tmp_path)
    assert "no manifests of" in only_line(done, 1)
    assert "Stage 5" not in done.stdout
