# SPDX-License-Identifier: Apache-2.0
"""Chains: what a step starts from, how long it trains, and what is said of impossible ones."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import pytest
import torch
import yaml

from emformer.config import load_config
from emformer.decoding import options as decode_options
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint
from emformer.model import make_model
from emformer.training.loss import loss_scales, run_transducer, weigh_losses
from omni_emformer import train
from omni_emformer.supernet import chain
from omni_emformer.supernet.calibrated_subnets import calls
from omni_emformer.supernet.subnets import Subnets
from omni_emformer.supernet.system import System, load_system
from omni_plugin import SparsitySettings
from omni_plugin.calibration import CalibrationSettings, calibrate
from tests.support import training
from tests.support.chains import CHAIN as SYSTEM
from tests.support.made_up_batches import CONFIG, make_batch
from tests.support.training import Interrupted, words, write_config

pytestmark = pytest.mark.usefixtures("one_thread")


def write(path: Path, **changes) -> Path:
    path.write_text(yaml.safe_dump({**SYSTEM, **changes}))
    return path


@pytest.fixture(scope="module")
def system(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("system") / "steps.yaml")


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    return write_config(path, max_duration=14, dropout=0.0)


@pytest.fixture(scope="module")
def dense(tmp_path_factory, one_thread, tiny_data, config) -> Path:
    exp_dir = tmp_path_factory.mktemp("dense") / "dense"
    training.trainer(tiny_data, config, exp_dir).fit()
    return exp_dir


def step(data: Path, config: Path, system: Path, level: float, start_from: Path, exp_dir: Path):
    """A trainer of a level, as train.py makes it, and the configuration it has."""
    parser = train.get_parser("")
    parser.add_argument("--start-from", type=Path)
    options = [*words(data, config, exp_dir), "--start-from", str(start_from)]
    args = parser.parse_args(options)
    one = load_system(system).at(level)
    inputs = train.read_inputs(args, one.configure)
    start = chain.Start(one, args, inputs.data)
    method = train.method_of(one, args.seed, 0)
    return train.make_trainer(args, train.start_processes(), method, inputs, start), inputs, start


def train_step(monkeypatch, *where, more=()) -> Path:
    """Train a level by the command line; ``where`` as of :func:`step`."""
    data, config, system, level, start_from, exp_dir = where
    options = ["--system", str(system), "--level", str(level), "--start-from", str(start_from)]
    options += more
    monkeypatch.setattr("sys.argv", ["train", *words(data, config, exp_dir), *options])
    train.main()
    return exp_dir


def subnets(exp_dir: Path) -> Subnets:
    return Subnets(decode_options.get_parser(None).parse_args(["--exp-dir", str(exp_dir)]))


def encoder_matrices(state: dict) -> dict[str, torch.Tensor]:
    return {n: w for n, w in state.items() if n.startswith("encoder.emformer.") and w.dim() == 2}


def test_a_step_starts_from_the_model_before_in_closed_form(
    tiny_data, config, system, dense, tmp_path
):
    run, inputs, _ = step(tiny_data, config, system, 0.5, dense, tmp_path / "half")
    whole, _ = subnets(dense).make(0)
    settings = CalibrationSettings(include=tuple(SYSTEM["sparsity"]["include"]))
    expected = calibrate(whole, calls(inputs.data, 20.0), 0.5, settings).state_dict()
    assert training.difference(dict(run.model.state_dict()), dict(expected)) is None
    masks = run.method.omni.supernet.mask(0.5)
    for name, weight in encoder_matrices(expected).items():
        assert torch.equal(masks[name].bool(), weight != 0), name


def test_each_step_takes_its_share_of_the_configurations_training(
    tiny_data, config, system, dense, tmp_path
):
    updates = training.trainer(tiny_data, config, tmp_path / "whole").total_updates
    for level, share in ((0.5, 0.5), (0.75, 1.0)):
        run, *_ = step(tiny_data, config, system, level, dense, tmp_path / f"{level}")
        assert run.total_updates == pytest.approx(share * updates, abs=1)


def test_the_next_step_goes_on_from_what_the_one_before_has_left(
    tiny_data, config, system, dense, tmp_path, monkeypatch
):
    where = tiny_data, config, system
    half = train_step(monkeypatch, *where, 0.5, dense, tmp_path / "steps-0.50")
    kept = encoder_matrices(subnets(half).make(0.5)[0].state_dict())
    quarter = train_step(monkeypatch, *where, 0.75, half, tmp_path / "steps-0.75")
    less = encoder_matrices(subnets(quarter).make(0.75)[0].state_dict())
    for name, weight in less.items():
        assert float((kept[name] == 0).float().mean()) == 0.5
        assert float((weight == 0).float().mean()) == 0.75
        assert not (weight[kept[name] == 0] != 0).any()
        assert not torch.equal(weight, kept[name] * (weight != 0))  # it was trained, too
    assert subnets(quarter).levels() == [0.75]
    assert subnets(quarter).info.seed == 0


def test_an_interrupted_step_goes_on_from_its_own_weights(
    tiny_data, config, system, dense, tmp_path, monkeypatch
):
    where = tiny_data, config, system, 0.75, dense
    one = train_step(monkeypatch, *where, tmp_path / "one")

    real = train.OmniMethod.loss

    def interrupted(self, model, batch, which, at):
        if at == 9 and model.training:
            raise Interrupted
        return real(self, model, batch, which, at)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(train.OmniMethod, "loss", interrupted)
        train_step(monkeypatch, *where, tmp_path / "two")
    with monkeypatch.context() as patch:
        patch.setattr(chain, "calibrate", None)  # which would be an error to call
        two = train_step(monkeypatch, *where, tmp_path / "two")
    assert training.same_state(one / "epoch-2.pt", two / "epoch-2.pt") is None
    assert load_checkpoint(one / "epoch-2.pt")["train_updates"] > 9


# The teacher.


def test_the_loss_has_the_weighed_squared_error_to_the_dense_encoders_outputs():
    torch.manual_seed(0)
    settings = SparsitySettings.from_dict(SYSTEM["sparsity"])
    models = [make_model(CONFIG.model, 20) for _ in range(2)]
    student, teacher = models
    how = {"sparsity": settings, "teacher": copy.deepcopy(teacher), "weight": 0.7}
    method, batch = chain.ChainMethod(CONFIG.training, 100, **how), make_batch()
    supernet = method.wrap(student)
    (which,) = method.passes(50)
    loss, info = method.loss(supernet, batch, which, 50)
    loss.backward()

    plain = copy.deepcopy(student)
    plain.load_state_dict(supernet.bake(which.subnet))
    with torch.no_grad():
        wanted = run_transducer(teacher, batch, CONFIG.training)
    out = run_transducer(plain, batch, CONFIG.training)
    own, _ = weigh_losses(out, loss_scales(CONFIG.training, 50, 100))
    lens = out.encoder_lens.tolist()
    apart = torch.cat([wanted.encoder_out[n, :end] for n, end in enumerate(lens)])
    apart = apart - torch.cat([out.encoder_out[n, :end] for n, end in enumerate(lens)])
    distance = apart.square().mean()
    torch.testing.assert_close(loss, own + 0.7 * distance)
    assert info["distillation"] / info["frames"] == pytest.approx(float(distance), rel=1e-4)
    assert method.cost(which) > 1


def test_a_step_is_taught_by_the_model_that_is_named(
    tiny_data, config, dense, tmp_path, monkeypatch
):
    """The command line, to the end; without a teacher the same step comes to other weights."""
    taught = write(tmp_path / "taught.yaml", chain={**SYSTEM["chain"], "teacher_weight": 5.0})
    alone = write(tmp_path / "alone.yaml")
    states = []
    for path in (taught, alone):
        where = tiny_data, config, path, 0.5, dense, tmp_path / path.stem
        train_step(monkeypatch, *where, more=["--teacher", str(dense)])
        states.append(load_checkpoint(tmp_path / path.stem / "epoch-2.pt")["model"])
        metrics = (tmp_path / path.stem / "metrics.jsonl").read_text()
        assert ("distillation" in metrics) == (path is taught)
    assert training.difference(*states) is not None


# What cannot be.


def test_a_chain_needs_something_to_start_from(system):
    one = load_system(system).at(0.5)
    with pytest.raises(RecipeError, match="system steps is a chain; give the experiment"):
        chain.check_start(one, None)
    with pytest.raises(RecipeError, match="--start-from: system mine is no chain"):
        chain.check_start(System("mine"), Path("exp"))


def test_a_chain_with_a_teacher_needs_one(tmp_path):
    taught = write(tmp_path / "taught.yaml", chain={**SYSTEM["chain"], "teacher_weight": 5.0})
    with pytest.raises(RecipeError, match="system taught is a chain with a teacher .* --teacher"):
        chain.check_start(load_system(taught).at(0.5), Path("exp"))


def test_nothing_but_a_chain_has_such_a_teacher():
    with pytest.raises(RecipeError, match="--teacher: system mine is no chain"):
        chain.check_start(System("mine"), None, Path("exp"))


def test_a_teacher_must_be_dense(tiny_data, config, system, dense, tmp_path, monkeypatch):
    half = train_step(monkeypatch, tiny_data, config, system, 0.5, dense, tmp_path / "steps-0.50")
    with pytest.raises(RecipeError, match="--teacher .*steps-0.50: not a dense model"):
        chain.load_teacher(half, load_config(config))


def test_a_teacher_must_be_of_the_same_model(dense, tmp_path):
    other = load_config(write_config(tmp_path / "other.yaml", ffn_dim=48))
    with pytest.raises(RecipeError, match="--teacher .*dense: of another model"):
        chain.load_teacher(dense, other)


def test_what_it_starts_from_must_be_denser(
    tiny_data, config, system, dense, tmp_path, monkeypatch
):
    half = train_step(monkeypatch, tiny_data, config, system, 0.5, dense, tmp_path / "steps-0.50")
    with pytest.raises(RecipeError, match="steps-0.50: its level, 0.5, is not below 0.5"):
        step(tiny_data, config, system, 0.5, half, tmp_path / "again")


def test_what_it_starts_from_must_be_of_the_same_model(tiny_data, config, system, dense, tmp_path):
    other = write_config(tmp_path / "other.yaml", ffn_dim=48)
    with pytest.raises(RecipeError, match="dense: of another model or vocabulary"):
        step(tiny_data, other, system, 0.5, dense, tmp_path / "exp")


def test_an_experiment_that_is_none_is_named(config, system, tmp_path):
    one = load_system(system).at(0.5)
    model = make_model(load_config(config).model, 64)
    args = argparse.Namespace(exp_dir=tmp_path / "new", start_from=tmp_path / "nothing")
    with pytest.raises(RecipeError, match="nothing: no epoch-N.pt"):
        chain.Start(one, args, None)(model)


BAD = {
    "no shares": ({"chain": {"epochs": 2}}, "chain: shares is missing"),
    "shares that are none": ({"chain": {"shares": [0.5, 0]}}, "each must be above 0"),
    "too few shares": ({"chain": {"shares": [0.5]}}, "chain.shares has 1 numbers for 2 levels"),
    "levels that descend": ({"levels": [0.75, 0.5]}, "a chain's levels ascend"),
    "no levels": ({"levels": None}, "a chain's levels ascend"),
    "no sparsity": ({"sparsity": None}, "levels need sparsity"),
    "its own length": (
        {"chain": {"shares": [0.5, 0.5], "training": {"num_epochs": 3}}},
        "chain.training has num_epochs, which the shares decide",
    ),
    "levels of its own": (
        {"chain": {"shares": [0.5, 0.5], "calibration": {"allocation": "curves"}}},
        "chain.calibration.allocation: all weights of a step have its level",
    ),
    "a teacher that pushes away": (
        {"chain": {"shares": [0.5, 0.5], "teacher_weight": -1.0}},
        "chain.teacher_weight is -1.0; it must be >= 0",
    ),
    "a list": ({"chain": [0.5]}, "chain: expected settings"),
    "training that is a list": (
        {"chain": {"shares": [0.5, 0.5], "training": [1]}},
        "chain.training: expected settings",
    ),
}


@pytest.mark.parametrize("changes, said", BAD.values(), ids=BAD)
def test_an_impossible_chain_is_told_in_one_line(tmp_path, changes, said):
    given = {name: v for name, v in {**SYSTEM, **changes}.items() if v is not None}
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(given))
    with pytest.raises(RecipeError, match=said) as e:
        load_system(path)
    assert str(path) in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize("share, epochs, part", [(0.5, 2, 0.5), (1.5, 3, 1.0), (1.2, 3, 0.8)])
def test_a_step_has_more_parts_rather_than_parts_longer_than_an_epoch(
    config, tmp_path, share, epochs, part
):
    path = write(tmp_path / "long.yaml", chain={"shares": [0.5, share], "epochs": 2})
    found = load_system(path).at(0.75).configure(load_config(config), 64).training
    assert found.num_epochs == epochs
    assert found.epoch_share == pytest.approx(part)


def test_training_settings_are_checked(config, tmp_path):
    changed = {**SYSTEM["chain"], "training": {"batch": 3}}
    path = write(tmp_path / "other.yaml", chain=changed)
    with pytest.raises(RecipeError, match="system other: chain: training: unknown 'batch'"):
        load_system(path).at(0.75).configure(load_config(config), 64)
