# SPDX-License-Identifier: Apache-2.0
"""What must hold for every recipe: the stand-in here, real ones where ICEFALL_ROOT is set."""

import json
import re

import pytest
import torch

from tests.support.icefall.runner import Runner
from tests.support.processes import free_port

BAKE = ("--exp-dir", "exp", "--epoch", 2, "--use-averaged-model", 0)


def same(one: dict, other: dict) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_a_supernet_that_stays_dense_is_trained_as_by_the_recipe_itself_bit_for_bit(runner: Runner):
    own = [*runner.case.train, "--num-epochs", 1, "--exp-dir"]
    runner(runner.case.recipe / "train.py", *own, "plain")
    runner.train(
        "dense", "--num-epochs", 1, omni=("--omni-ramp-start", 1.0, "--omni-ramp-end", 1.0)
    )
    plain, dense = runner.load("plain/epoch-1.pt"), runner.load("dense/epoch-1.pt")
    assert plain["batch_idx_train"] == dense["batch_idx_train"] > 2
    assert same(plain["model"], dense["model"])


def test_options_and_rankings_are_in_the_checkpoint_and_the_weights_are_the_recipes(
    trained: Runner,
):
    checkpoint = trained.load("exp/epoch-2.pt")
    assert checkpoint["omni_sampler"] == "sandwich" and checkpoint["omni_pattern"] == "8x1"
    state = checkpoint["omni"]
    assert state["total_updates"] == checkpoint["batch_idx_train"]
    assert set(state["ranks"]) < set(checkpoint["model"])
    plain = trained.load("exp/epoch-1.pt")["model"]
    assert list(plain) == list(checkpoint["model"])
    # Dense: masks are no part of them.
    assert all((checkpoint["model"][name] != 0).float().mean() > 0.9 for name in state["ranks"])


def test_a_run_that_goes_on_from_an_epoch_ends_as_if_it_had_not_been_interrupted(trained: Runner):
    total = trained.load("exp/epoch-2.pt")["omni"]["total_updates"]
    first = (*trained.case.omni, "--omni-total-updates", total)
    said = trained.train("resumed", "--num-epochs", 1, omni=first).stderr
    said += trained.train("resumed", "--num-epochs", 2, "--start-epoch", 2).stderr
    drawn = [re.findall(r"omni_plugin: (update .*)", text) for text in (trained.said, said)]
    assert len(drawn[0]) > 1 and drawn[0] == drawn[1]
    for epoch in (1, 2):
        one, other = (trained.load(f"{exp}/epoch-{epoch}.pt") for exp in ("exp", "resumed"))
        assert one["batch_idx_train"] == other["batch_idx_train"]
        assert one["omni"]["total_updates"] == other["omni"]["total_updates"]
        assert epoch == 2 or same(one["model"], other["model"])
    if trained.case.resumes_exactly:
        assert same(one["model"], other["model"])
        assert same(one["omni"]["ranks"], other["omni"]["ranks"])


def test_other_settings_than_the_checkpoints_are_refused(trained: Runner):
    omni = (*trained.case.omni, "--omni-max-sparsity", 0.5)
    done = trained.train("exp", "--num-epochs", 3, "--start-epoch", 3, omni=omni, check=False)
    assert done.returncode and "sparsity.max_sparsity was 0.9 and is now 0.5" in done.stderr
    assert not (trained.folder / "exp/epoch-3.pt").exists()


@pytest.mark.parametrize("averaged", [0, 1])
def test_the_masked_model_gives_bit_for_bit_what_its_baked_checkpoint_gives(
    trained: Runner, averaged: int
):
    options = ("--exp-dir", "exp", "--epoch", 2, "--avg", 1, "--use-averaged-model", averaged)
    out = f"baked-{averaged}"
    trained.omni("bake", *options, "--subnet", 0.7, "--out-dir", out)
    words = [trained.case.recipe, "exp", 2, averaged, f"{out}/0.70/epoch-99.pt", 0.7]
    done = trained("-m", "tests.omni_plugin.icefall.compare", *words)
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["equal"] and not said["equals_dense"]
    assert said["zeros"] == pytest.approx(0.7, abs=0.01)


def test_a_sweep_decodes_by_the_recipes_own_script_each_level_once(trained: Runner):
    words = [*BAKE, "--subnets", "dense", 0.9, "--", *trained.case.decode]
    said = trained.omni("sweep", *words).stdout
    assert "2 cells: 0 done before" in said
    results = trained.folder / "exp/omni/epoch-2-avg-1/results.jsonl"
    records = [json.loads(line) for line in results.read_text().splitlines()]
    found = [(record["subnet"], record["split"]) for record in records]
    levels = ("dense", "0.90")
    assert found == [(level, f"test-{kind}") for level in levels for kind in ("clean", "other")]
    assert all(0 <= record["wer"] for record in records)
    nonzero = [record["num_nonzero"] for record in records[::2]]
    assert nonzero[1] < 0.6 * nonzero[0]
    assert "2 cells: 2 done before, 0 to decode" in trained.omni("sweep", *words).stdout
    assert len(results.read_text().splitlines()) == len(records)


def test_two_processes_train_with_the_same_sub_networks(runner: Runner):
    omni = (*runner.case.omni[:-1], "single", "--omni-refresh-every", 1)
    words = ["--num-epochs", 2, "--world-size", 2, "--master-port", free_port()]
    omni += ("--omni-workaround", "cpu-ddp")
    said = runner.train("two", *words, omni=omni).stderr
    drawn = re.findall(r"\((\d)/2\) omni_plugin: (update .*)", said)
    one, other = ([text for rank, text in drawn if rank == wanted] for wanted in "01")
    assert len(one) > 1 and one == other
    assert len({text.split()[-1] for text in one}) > 1
