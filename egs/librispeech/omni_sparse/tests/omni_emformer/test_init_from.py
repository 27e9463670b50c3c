# SPDX-License-Identifier: Apache-2.0
"""Systems that start from the weights of a dense model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from emformer.config import load_config
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint
from omni_emformer import train
from omni_emformer.check_settings import main as check_settings
from omni_emformer.report.conditions import differences, read_conditions
from omni_emformer.supernet.chain import check_start
from omni_emformer.supernet.system import load_system
from tests.support import training
from tests.support.processes import RECIPE
from tests.support.supernets import SETTINGS, trainer
from tests.support.training import Interrupted, words, write_config

SYSTEMS = RECIPE / "conf" / "systems"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    return write_config(tmp_path_factory.mktemp("config") / "tiny.yaml", num_epochs=1)


@pytest.fixture(scope="module")
def dense(tmp_path_factory, one_thread, tiny_data, config) -> Path:
    exp_dir = tmp_path_factory.mktemp("dense") / "dense"
    training.trainer(tiny_data, config, exp_dir).fit()
    return exp_dir


def train_system(monkeypatch, system: Path, *where, more=()) -> Path:
    """Train by the command line until its first update; ``where`` are data, config, folder."""

    def stop(self, writer):
        self._save("checkpoint-0.pt")
        raise Interrupted

    options = [*words(*where), "--system", str(system), *map(str, more)]
    monkeypatch.setattr("sys.argv", ["train", *options])
    monkeypatch.setattr(training.Trainer, "_train_epoch", stop)
    with pytest.raises(Interrupted):
        train.main()
    return where[-1]


@pytest.mark.parametrize(
    "system", [("omni.yaml",), ("pruned.yaml", "--level", 0.7), ("simple_top_k.yaml",)]
)
def test_a_system_starts_from_a_dense_models_weights(
    tiny_data, config, dense, tmp_path, monkeypatch, system
):
    name, *level = system
    exp_dir = train_system(
        monkeypatch, SYSTEMS / name, tiny_data, config, tmp_path / "exp",
        more=[*level, "--init-from", dense],
    )  # fmt: skip
    ours, theirs = (
        load_checkpoint(path) for path in (exp_dir / "checkpoint-0.pt", dense / "epoch-1.pt")
    )
    for key, weight in theirs["model"].items():
        assert torch.equal(ours["model"][key], weight), key
    assert ours["config"]["training"]["init_from"] == str(dense / "epoch-1.pt")


def test_a_supernets_ranks_are_those_of_the_weights_it_starts_from(
    tiny_data, config, dense, tmp_path
):
    run = trainer(tiny_data, config, tmp_path / "exp", "--init-from", str(dense))
    masks = run.method.omni.supernet.mask(0.5)
    fresh = trainer(tiny_data, config, tmp_path / "fresh").method.omni.supernet.mask(0.5)
    assert any(not torch.equal(masks[name], fresh[name]) for name in masks)
    weights = load_checkpoint(dense / "epoch-1.pt")["model"]
    for name, mask in masks.items():
        kept, left = (weights[name].abs()[mask == value].mean() for value in (1, 0))
        assert kept > left, name


def test_a_chain_starts_from_the_level_before_and_nothing_else():
    chain = load_system(SYSTEMS / "chain.yaml").at(0.5)
    with pytest.raises(RecipeError, match="--init-from: system chain is a chain, which goes on"):
        check_start(chain, Path("exp/dense"), init_from=Path("exp/other"))


def test_what_the_dense_training_started_from_is_not_where_a_chain_starts(config):
    given = load_config(config).with_training(init_from="exp/other")
    found = load_system(SYSTEMS / "chain.yaml").at(0.5).configure(given, 64)
    assert found.training.init_from == ""


# Before the first stage.


def check(config: Path, *systems: str, init_from: Path) -> None:
    named = ["--systems", *(str(SYSTEMS / f"{name}.yaml") for name in systems)] if systems else []
    check_settings(
        ["--corpus", "synthetic", "--config", str(config), "--init-from", str(init_from), *named]
    )


def test_systems_whose_encoder_fits_may_start(config, dense):
    check(config, init_from=dense)
    check(config, "dense", "omni", "pruned", "one_shot", init_from=dense)


def test_a_chain_is_not_held_against_what_others_start_from(dense, tmp_path):
    config = write_config(tmp_path / "own.yaml", num_layers=3)
    check(config, "chain", init_from=dense)


def test_a_system_of_another_size_is_told(config, dense):
    with pytest.raises(RecipeError, match=r"small_dense.yaml: --init-from .*does not fit: encoder"):
        check(config, "dense", "small_dense", init_from=dense)


def test_a_configuration_of_another_size_is_told(dense, tmp_path):
    config = write_config(tmp_path / "wide.yaml", encoder_dim=32)
    with pytest.raises(RecipeError, match="the encoder does not fit: encoder.frontend"):
        check(config, init_from=dense)


# The report.


def conditions(folder: Path, init_from: str, system: dict | None = None) -> dict:
    folder.mkdir()
    text = {"training": {"init_from": init_from}}
    (folder / "config.yaml").write_text(yaml.safe_dump(text))
    if system is not None:
        (folder / "system.yaml").write_text(yaml.safe_dump({"name": "mine", **system}))
    return read_conditions(folder)


def test_another_start_is_another_condition(tmp_path):
    one, other = conditions(tmp_path / "a", ""), conditions(tmp_path / "b", "exp/x/epoch-7.pt")
    assert differences(one, other) == ["training.init_from none in place of exp/x/epoch-7.pt"]


def test_a_chain_that_goes_on_from_such_a_training_is_none(tmp_path):
    chain = {"chain": {"shares": [0.5]}, "sparsity": SETTINGS}
    one = conditions(tmp_path / "a", "", chain)
    assert differences(one, conditions(tmp_path / "b", "exp/x/epoch-7.pt")) == []
