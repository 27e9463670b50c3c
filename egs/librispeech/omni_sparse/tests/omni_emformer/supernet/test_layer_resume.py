# SPDX-License-Identifier: Apache-2.0
"""Layer selections through the real trainer: going on, what is saved, memory scan, refusals."""

from types import SimpleNamespace

import pytest
import torch

from emformer.errors import RecipeError
from emformer.experiment.checkpoint import load_checkpoint
from emformer.training.oom_scan import scan_for_out_of_memory
from omni_emformer.supernet.layer_method import LayerMethod
from tests.support import supernets, training
from tests.support.layer_trainings import WAYS, method, trainer
from tests.support.training import Interrupted, difference, interrupt_at, same_state, write_config

pytestmark = pytest.mark.usefixtures("one_thread")
every_way = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    return write_config(path, max_duration=14, save_every_n=3)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, one_thread, config, tiny_data):
    """Runs from end to end by name: their folders and their trainers."""
    runs = {}
    for way in WAYS:
        exp_dir = tmp_path_factory.mktemp(way) / "exp"
        run = trainer(tiny_data, config, exp_dir, way)
        run.fit()
        runs[way] = SimpleNamespace(exp_dir=exp_dir, trainer=run, total=run.total_updates)
    return runs


@every_way
@pytest.mark.parametrize("share", [0.35, 0.85], ids=["selecting", "settled"])
def test_going_on_equals_going_through(undisturbed, config, tiny_data, tmp_path, way, share):
    run = undisturbed[way]
    stopping = method(way, interrupt_at(int(share * run.total), LayerMethod))
    with pytest.raises(Interrupted):
        training.trainer(tiny_data, config, tmp_path, method=stopping).fit()
    trainer(tiny_data, config, tmp_path, way).fit()
    assert same_state(tmp_path / "epoch-2.pt", run.exp_dir / "epoch-2.pt") is None


@every_way
def test_the_state_that_was_compared_has_what_was_selected(undisturbed, way):
    run = undisturbed[way]
    state = load_checkpoint(run.exp_dir / "epoch-2.pt")["method"]["layers"]
    layers = run.trainer.method.layers
    assert difference(state, layers.state_dict()) is None
    assert state["settled_at"] == -(-run.total // 2)  # the first update of the second half
    assert state["order"].dtype == torch.int64
    assert sorted(state["order"].tolist()) == [0, 1, 2, 3]
    assert len(set(state["scores"].tolist())) > 1


@every_way
def test_heads_are_saved_and_averaged_with_the_model_and_scores_are_not(undisturbed, way):
    state = load_checkpoint(undisturbed[way].exp_dir / "epoch-2.pt")
    heads = [name for name in state["model"] if name.startswith("size_heads.units-")]
    assert len(heads) == 2 * 4
    assert list(state["model_avg"]["weights"]) == list(state["model"])
    assert not any("scores" in name for name in state["model"])


@every_way
def test_passes_and_their_cost_are_counted(undisturbed, way):
    run = undisturbed[way]
    state = load_checkpoint(run.exp_dir / "epoch-2.pt")
    start, settled = 0.1 * run.total, state["method"]["layers"]["settled_at"]
    passes = sum(
        1 if update < start else 2 if update < settled else 3 for update in range(state["update"])
    )
    if way == "combined":  # once the ramp has begun, each is made of two halves of the batch
        assert passes < state["train_passes"] <= 2 * passes
    else:
        assert state["train_passes"] == passes
    assert state["update"] < state["train_cost"] < passes


def test_scores_keep_their_own_rate_in_the_schedule(undisturbed):
    run = undisturbed["simple_top_k"].trainer
    *weights, scores = run.optimizer.param_groups
    share = run.scheduler.rate / run.settings.base_lr
    assert [group["lr"] for group in weights] == [run.scheduler.rate] * 2
    assert scores["lr"] == pytest.approx(0.01 * share) and scores["eps"] == 1e-16


@every_way
def test_the_memory_scan_changes_nothing(config, tiny_data, tmp_path, way):
    """Even where the passes that it tries settle what is selected."""
    run = trainer(tiny_data, config, tmp_path, way)
    before = run.state()
    run.update = run.total_updates - 1
    scan_for_out_of_memory(run)
    run.update = 0
    assert difference(before, run.state()) is None


def test_other_methods_checkpoints_are_refused_both_ways(undisturbed, config, tiny_data, tmp_path):
    """In one line, before the optimizer finds other groups."""
    plain = {"heads": []}
    stopped = method("simple_top_k", interrupt_at(5, LayerMethod), **plain)
    with pytest.raises(Interrupted):
        training.trainer(tiny_data, config, tmp_path / "layers", method=stopped).fit()
    with pytest.raises(RecipeError, match="^the checkpoint is of another training method"):
        training.trainer(tiny_data, config, tmp_path / "layers")
    with pytest.raises(RecipeError, match="of no supernet; use another experiment folder"):
        supernets.trainer(tiny_data, config, tmp_path / "layers")
    with pytest.raises(RecipeError, match=r"layers.sizes was \[1, 2\] and is now \[1\]; use"):
        trainer(tiny_data, config, tmp_path / "layers", "simple_top_k", sizes=[1], **plain)
    with pytest.raises(RecipeError, match="lacks weight size_heads.units-1"):
        trainer(tiny_data, config, tmp_path / "layers", "simple_top_k")

    supernets.trainer(tiny_data, config, tmp_path / "omni", "--num-epochs", "1").fit()
    with pytest.raises(RecipeError, match="of no layer selection; use another experiment folder"):
        trainer(tiny_data, config, tmp_path / "omni", "simple_top_k", **plain)
