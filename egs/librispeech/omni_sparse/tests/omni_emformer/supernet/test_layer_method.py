# SPDX-License-Identifier: Apache-2.0
"""What an update of a layer selection trains, on a tiny model and made-up batches."""

import logging
from dataclasses import replace

import pytest
import torch

from emformer.errors import RecipeError
from emformer.model import make_model
from emformer.training.loss import transducer_loss
from omni_emformer.supernet.layer_method import LayerMethod, MethodPass
from tests.support import supernets
from tests.support.layer_trainings import WAYS, settings
from tests.support.made_up_batches import CONFIG, make_batch, pick

TOTAL = 100
FIRST, SELECTING, JOINT = 5, 30, 60  # updates of the three parts of a run
every_way = pytest.mark.parametrize("way", WAYS)


def make(way: str = "simple_top_k", **changes) -> LayerMethod:
    """A method that has wrapped the tiny model, without dropout and layer drop."""
    torch.manual_seed(0)
    layers, sparsity = WAYS[way]
    method = LayerMethod(
        CONFIG.training,
        TOTAL,
        settings(**{**layers, "layer_drop": 0.0, **changes}),
        None if sparsity is None else supernets.settings(**sparsity),
        seed=3,
    )
    method.net = method.wrap(make_model(CONFIG.model, 20)).train()
    return method


def at(method: LayerMethod, update: int) -> list[MethodPass]:
    """Passes of an update, after all before it."""
    for earlier in range(update):
        method.passes(earlier)
    return method.passes(update)


def plain(method: LayerMethod, which: MethodPass) -> torch.nn.Module:
    """The sub-network of a pass as a model of its own."""
    supernet = method.layers.supernet
    if not hasattr(method.inner, "omni"):
        return supernet.extract(which.layers.selection)
    sparse = method.inner.omni.supernet.baked_model(which.inner.subnet)
    return supernet.extract(which.layers.selection, sparse)


@every_way
@pytest.mark.parametrize("update", [FIRST, JOINT])
def test_the_gradient_is_the_sum_over_plain_sub_networks(way, update):
    method, batch = make(way), make_batch()
    passes = at(method, update)
    model = method.layers.supernet.model
    expected = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for which in passes:
        small = plain(method, which)
        number, parts = getattr(which.inner, "part", (0, 1))
        weight = which.layers.weight * getattr(which.inner, "weight", 1.0)
        part = pick(batch, slice(number, None, parts))
        (weight * transducer_loss(small, part, CONFIG.training, update, TOTAL)[0]).backward()
        size = which.layers.selection.name
        masks = way == "combined" and method.inner.omni.supernet.mask(which.inner.subnet)
        for name, parameter in small.named_parameters():
            module, _, kind = name.rpartition(".")
            own = f"size_heads.{size}.{module.replace('.', '/')}.{kind}"
            gradient = parameter.grad * masks[name] if masks and name in masks else parameter.grad
            expected[own if own in expected else name] += gradient
    for which in passes:
        method.loss(method.net, batch, which, update)[0].backward()
    for name, parameter in model.named_parameters():
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("way", ["simple_top_k", "iterative_zero_out"])
def test_the_scores_gradient_is_the_gated_losss(way):
    """By central differences of the loss with gates that are set by hand."""
    method, batch = make(way), make_batch()
    *_, which = at(method, SELECTING)
    layers = method.layers
    method.loss(method.net, batch, which, SELECTING)[0].backward()
    found = layers.supernet.scores.grad.clone()

    scores = layers.supernet.scores.detach().clone().requires_grad_()
    gates = layers.selector.gates(scores, layers._iteration)
    by_gate = torch.zeros(4)
    with torch.no_grad(), layers.supernet.running(which.layers.selection):
        for i in range(4):
            losses = []
            for step in (0.02, -0.02):
                moved = gates + step * (torch.arange(4) == i)
                with layers.supernet.gated(moved):
                    losses.append(method.inner.loss(method.net, batch, None, SELECTING)[0])
            by_gate[i] = (losses[0] - losses[1]) / 0.04
    (0.3 * (gates * by_gate).sum() + layers.selector.penalty(scores, layers._iteration)).backward()
    torch.testing.assert_close(found, scores.grad, rtol=0.03, atol=2e-4)
    assert (found != 0).any()


def test_gated_by_ones_the_pass_is_the_smallest_sizes_with_all_units():
    method, batch = make(), make_batch()
    *_, which = at(method, SELECTING)
    method.layers.selector.gates = lambda scores, iteration: torch.ones(4)
    found, _ = method.loss(method.net, batch, which, SELECTING)
    whole = plain(method, which)
    expected = transducer_loss(whole, batch, CONFIG.training, SELECTING, TOTAL)[0]
    torch.testing.assert_close(found, 0.3 * expected)


def test_layer_drop_leaves_out_units_for_whole_utterances():
    method, batch = make(layer_drop=0.5), make_batch()
    full, *_ = at(method, JOINT)
    supernet, outputs = method.layers.supernet, []
    with method.layers.running(full.layers):
        for modules in supernet.units.values():  # after the hooks that drop
            last = supernet.model.get_submodule(modules[-1])
            last.register_forward_hook(lambda _, __, out: outputs.append(out))
        torch.manual_seed(0)
        method.inner.loss(method.net, batch, None, JOINT)
    dropped = [(out == 0).all(dim=2) for out in outputs]  # (T, N)
    assert all((found == found[0]).all() for found in dropped)
    smallest = method.layers.selection("units-1").keep
    assert [bool(found.any()) for found in dropped] == [not kept for kept in smallest]


def test_validation_is_of_every_size():
    method = make()
    at(method, JOINT)
    passes = method.validation_passes()
    assert list(passes) == ["_full", "_units-2", "_units-1"]
    for name, which in passes.items():
        assert which.layers.selection == method.layers.selection(name[1:])
        assert not which.layers.layer_drop and not which.layers.gated


def test_validation_of_both_is_of_every_size_at_every_level():
    sizes, levels = ("full", "units-2", "units-1"), ("0.00", "0.50", "0.90")
    expected = [f"_{size}_sparsity-{level}" for size in sizes for level in levels]
    method = make("combined")
    at(method, JOINT)
    assert list(method.validation_passes()) == expected


def test_sizes_that_were_never_trained_are_not_validated():
    method = make()
    found = []
    for update in (FIRST, SELECTING, JOINT):
        at(method, update)
        found.append(list(method.validation_passes()))
    assert found == [["_full"], ["_full", "_units-1"], ["_full", "_units-2", "_units-1"]]


def test_both_together_are_the_product_of_their_passes():
    method = make("combined")
    passes = at(method, JOINT)
    sizes = [which.layers.selection.name for which in passes]
    assert sizes == ["full"] * 2 + ["units-1"] * 2 + ["units-2"] * 2
    assert [which.inner.part for which in passes] == [(0, 2), (1, 2)] * 3


def test_the_penalty_is_added_once_an_update():
    method = make("combined", selector={"name": "iterative_zero_out"})
    gated = [which for which in at(method, SELECTING) if which.layers.gated]
    added = []
    for which in gated:
        loss, _ = method.loss(method.net, make_batch(), which, SELECTING)
        own, _ = method.loss(method.net, make_batch(), replace(which, first=False), SELECTING)
        added.append(float((loss - own).detach()))
    penalty = float(method.layers.penalty(gated[0].layers))
    assert penalty > 0 and added == pytest.approx([penalty, 0.0], rel=1e-4)


def test_a_pass_costs_its_share_of_the_parameters():
    method = make()
    passes = at(method, JOINT)
    total = sum(p.numel() for p in plain(method, passes[0]).parameters())
    for which in passes:
        share = sum(p.numel() for p in plain(method, which).parameters()) / total
        assert method.cost(which) == pytest.approx(share)
    assert method.cost(passes[0]) == 1.0 > method.cost(passes[1])
    combined = make("combined")
    assert [combined.cost(which) for which in at(combined, JOINT)][:2] == [0.5, 0.5]


def test_only_the_scores_are_a_group_of_their_own():
    method = make()
    (group,) = method.parameter_groups()
    assert group["params"] == [method.layers.supernet.scores]
    assert not any(p is group["params"][0] for p in method.layers.supernet.model.parameters())


def test_what_is_selected_is_logged(caplog):
    with caplog.at_level(logging.INFO):
        method = make()
        at(method, JOINT)
    assert "4 units with" in caplog.text
    assert "full: 0.attention 0.ffn 1.attention 1.ffn" in caplog.text
    for size in method.layers.sizes[1:]:
        keep = method.layers.selection(size).keep
        names = zip(method.layers.supernet.unit_names, keep, strict=True)
        assert f"{size}: {' '.join(name for name, kept in names if kept)}" in caplog.text


def test_another_methods_state_is_refused():
    with pytest.raises(RecipeError, match="of no layer selection; use another experiment folder"):
        make().load_state_dict({"settings": {}, "ranks": {}})


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"sizes": [4]}, "layers.sizes has 4; a size is a share of the 4 units"),
        ({"heads": ["tail"]}, "layers.heads rule 'tail' finds no module"),
    ],
)
def test_impossible_settings_are_the_users_to_mend(changes, said):
    with pytest.raises(RecipeError, match=said) as e:
        make(**changes)
    assert "\n" not in str(e.value)
