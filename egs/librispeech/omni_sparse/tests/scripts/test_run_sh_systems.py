# SPDX-License-Identifier: Apache-2.0
"""Which systems and seeds run.sh trains, sweeps and reports."""

import re
import shlex

import pytest

from tests.support.run_sh import commands, dry, only_line, run_sh, stage

ALL = "dense omni dsnn pruned small_dense simple_top_k iterative_zero_out random_mask one_shot"


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


def test_what_grows_around_a_chain_is_told_its_core_and_its_blocks():
    found = stage(9, "--systems", "dense chain_long nested", "--seeds", "2")
    found = [command for command in found if "conf/systems/nested.yaml" in command]
    assert folders(found) == [f"nested-{x}-seed2" for x in ("0.50", "0.00")]
    starts, blocks = (
        [re.search(rf"--{option} exp/synthetic/(\S+)", command)[1] for command in found]
        for option in ("start-from", "blocks-from")
    )
    assert starts == ["chain_long-0.70-seed2", "nested-0.50-seed2"]
    assert blocks == ["chain_long-0.50-seed2", "dense-seed2"]


@pytest.mark.parametrize("systems", ["dense nested", "dense nested chain_long"])
def test_what_grows_needs_its_chain_before_it(systems):
    line = only_line(run_sh("--dry-run", "true", "--stage", "9", "--systems", systems), 2)
    assert "nested grows around chain_long; name chain_long, too, before it" in line


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
