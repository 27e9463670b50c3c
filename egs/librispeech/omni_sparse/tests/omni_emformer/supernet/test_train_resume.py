# SPDX-License-Identifier: Apache-2.0
"""Supernet training through the real trainer: going on, refusals, validation, what is saved."""

import logging
from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from emformer.decoding.options import get_parser
from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint
from emformer.experiment.metrics_log import read_records
from omni_emformer.supernet.loader import subnet_loader
from omni_emformer.supernet.method import OmniMethod
from tests.support import training
from tests.support.supernets import SANDWICH, method, trainer
from tests.support.training import Interrupted, difference, interrupt_at, same_state, write_config

#: What is trained, by name: changes to the settings of the tests.
WAYS = {"single": {}, "sandwich": SANDWICH, "grow": {"grow_from": 0.4, "shrink": 0.5}}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    return write_config(path, max_duration=14, save_every_n=4)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, one_thread, config, tiny_data):
    """Runs from end to end by name: their folders and their trainers."""
    runs = {}
    for name, changes in WAYS.items():
        exp_dir = tmp_path_factory.mktemp(name) / "exp"
        run = trainer(tiny_data, config, exp_dir, **changes)
        run.fit()
        runs[name] = SimpleNamespace(exp_dir=exp_dir, trainer=run, total=run.total_updates)
    return runs


def run_until(update: int, data, config, exp_dir, **changes) -> None:
    with pytest.raises(Interrupted):
        how = method(interrupt_at(update, OmniMethod), **changes)
        training.trainer(data, config, exp_dir, method=how).fit()


# Going on.


def test_the_runs_have_what_these_tests_rely_on(undisturbed):
    run = undisturbed["single"].trainer
    assert run.total_updates >= 2 * 8
    passes = [run.method.omni.sampler.passes(update) for update in range(run.total_updates)]
    levels = {one.subnet.levels for (one,) in passes}
    assert len(levels) > 6
    # Sub-networks are trained in both halves, before and after the ranks are frozen.
    half = run.total_updates // 2
    for part in (passes[:half], passes[half:]):
        assert any(not one.subnet.is_dense for (one,) in part)


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("share", [0.3, 0.85], ids=["ranks refreshed", "ranks frozen"])
def test_going_on_equals_going_through(undisturbed, config, tiny_data, tmp_path, name, share):
    run = undisturbed[name]
    run_until(int(share * run.total), tiny_data, config, tmp_path, **WAYS[name])
    trainer(tiny_data, config, tmp_path, **WAYS[name]).fit()
    assert same_state(tmp_path / "epoch-2.pt", run.exp_dir / "epoch-2.pt") is None


def test_the_state_that_was_compared_has_the_ranks_and_the_settings(undisturbed):
    for run in undisturbed.values():
        state = load_checkpoint(run.exp_dir / "epoch-2.pt")
        omni = run.trainer.method.omni
        assert state["method"]["settings"] == omni.settings.to_dict()
        assert difference(state["method"]["ranks"], omni.supernet.ranks()) is None
        # Frozen ranks are not those of the last weights: they cannot be made again.
        assert difference(state["method"]["ranks"], _ranks_of(run.trainer)) is not None


def _ranks_of(run) -> dict:
    pattern = run.method.omni.supernet.pattern
    return {
        name: pattern.rank_weight(run.model.get_parameter(name))
        for name in run.method.omni.supernet.layer_names
    }


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory, one_thread, config, tiny_data):
    exp_dir = tmp_path_factory.mktemp("interrupted") / "exp"
    run_until(5, tiny_data, config, exp_dir)
    return exp_dir


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"pattern": "4x1"}, "sparsity.pattern was 8x1 and is now 4x1; use another experiment"),
        ({"include": ["encoder"]}, "sparsity.include was .* and is now .*; use another"),
        ({"freeze_from": 0.6}, "sparsity.freeze_from was 0.5 and is now 0.6; use another"),
        (SANDWICH, "sparsity.sampler was {'name': 'single'} and is now {'name': 'sandwich'}; use"),
    ],
)
def test_another_supernets_checkpoint_is_refused(interrupted, config, tiny_data, changes, said):
    with pytest.raises(RecipeError, match=said) as e:
        trainer(tiny_data, config, interrupted, **changes)
    assert "\n" not in str(e.value)


def test_other_levels_may_be_validated(interrupted, config, tiny_data):
    run = trainer(tiny_data, config, interrupted, valid_levels=[0.25])
    assert run.update == 4
    assert "_sparsity-0.25" in run.method.validation_passes()


def test_a_dense_runs_checkpoint_is_refused(config, tiny_data, tmp_path):
    with pytest.raises(Interrupted):
        training.trainer(tiny_data, config, tmp_path, method=interrupt_at(5)).fit()
    with pytest.raises(RecipeError, match="of no supernet; use another experiment folder"):
        trainer(tiny_data, config, tmp_path)


# What a run shows.


def logged(run: SimpleNamespace, group: str) -> list[dict]:
    return [r for r in read_records(run.exp_dir / "metrics.jsonl") if r["group"] == group]


def test_validation_has_every_level_under_its_fixed_name(undisturbed):
    losses = ("loss", "simple_loss", "pruned_loss")
    names = {f"{loss}_sparsity-{x}" for loss in losses for x in ("0.00", "0.50", "0.90")}
    for run in undisturbed.values():
        records = logged(run, "valid")
        by_update: dict[int, dict] = {}
        for record in records:
            by_update.setdefault(record["update"], {}).update(record)
        assert len(by_update) == 2
        for record in by_update.values():
            assert names == {name for name in record if "loss" in name}
        events = EventAccumulator(str(run.exp_dir / "tensorboard")).Reload()
        assert {f"valid/{name}" for name in names} <= set(events.Tags()["scalars"])


def test_levels_differ_in_validation(undisturbed):
    records = logged(undisturbed["single"], "valid")
    last = {k: v for r in records[-3:] for k, v in r.items() if k.startswith("loss")}
    assert len(set(last.values())) == 3


def test_the_distillation_is_logged(undisturbed):
    records = logged(undisturbed["sandwich"], "train")
    assert "distillation" not in records[0]
    assert records[-1]["distillation"] > 0


def test_passes_and_updates_are_counted(undisturbed):
    state = load_checkpoint(undisturbed["sandwich"].exp_dir / "epoch-2.pt")
    sampler = undisturbed["sandwich"].trainer.method.omni.sampler
    expected = sum(len(sampler.passes(update)) for update in range(state["update"]))
    assert state["train_updates"] == state["update"]
    assert state["train_passes"] == expected > 2 * state["update"]


# What a run saves.


def test_a_checkpoint_has_the_dense_models_names_only(undisturbed, config, tiny_data, tmp_path):
    dense = training.trainer(tiny_data, config, tmp_path)
    state = load_checkpoint(undisturbed["single"].exp_dir / "epoch-2.pt")
    assert list(state["model"]) == list(dense.model.state_dict())
    assert list(state["model_avg"]["weights"]) == list(dense.average.weights)


def test_a_checkpoint_has_dense_weights(undisturbed):
    state = load_checkpoint(undisturbed["single"].exp_dir / "epoch-2.pt")
    for name in state["method"]["ranks"]:
        assert (state["model"][name] != 0).all(), name


@pytest.mark.parametrize("options", [[], ["--avg", "2"], ["--use-averaged-model", "false"]])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_averaged_weights_have_exactly_their_zeros_when_baked(undisturbed, options, level):
    run = undisturbed["single"]
    args = get_parser(None).parse_args(["--exp-dir", str(run.exp_dir), *options])
    model, info = subnet_loader(level, "_x")(args)
    supernet = run.trainer.method.omni.supernet
    pruned = dict(model.named_parameters())
    for name in supernet.layer_names:
        weight = pruned.pop(name)
        zeros = supernet.pattern.num_zeros(weight.shape, level)
        assert int((weight == 0).sum()) == zeros > 0, name
    for name, weight in pruned.items():
        assert (weight != 0).any() or "bias" in name, name
    total = sum(supernet.layer_sizes)
    assert info.num_params - info.num_nonzero >= supernet.num_zeros(level)
    assert supernet.num_zeros(level) == pytest.approx(level * total, rel=0.05)


def test_a_log_tells_what_is_covered(config, tiny_data, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        trainer(tiny_data, config, tmp_path)
    assert "pattern 8x1 covers 10 weights with" in caplog.text
    assert "encoder.emformer.emformer_layers.0.attention.emb_to_query.weight" in caplog.text
