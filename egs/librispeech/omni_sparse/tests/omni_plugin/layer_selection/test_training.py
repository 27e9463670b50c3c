# SPDX-License-Identifier: Apache-2.0
"""What an update trains, what is learnt, and going on."""

import copy
import json
from collections import Counter

import pytest
import torch

from omni_plugin import OmniError
from omni_plugin.layer_selection import FULL, SELECTORS, LayerTraining
from tests.support.layer_models import stack, training, vectors

NAMES = pytest.mark.parametrize("name", SELECTORS)


def named(layers: LayerTraining, update: int) -> list[tuple[str, float, bool, bool]]:
    return [
        (one.selection.name, one.weight, one.gated, one.layer_drop) for one in layers.passes(update)
    ]


# Passes.


@NAMES
def test_an_update_trains_what_its_share_of_the_run_says(name):
    layers = training(selector={"name": name})
    full = (FULL, 1.0, False, False)
    for update in range(100):
        if update < 20:
            expected = [full]
        elif update < 60:
            expected = [full, ("units-2", 0.3, True, False)]
        else:
            expected = [
                (FULL, 1.0, False, True),
                ("units-2", 0.3, False, False),
                ("units-4", 0.3, False, False),
            ]
        assert named(layers, update) == expected, update
    assert layers.settled_at == 60


@pytest.mark.parametrize("total", [7, 10, 33, 97, 1000])
@NAMES
def test_whatever_the_updates_all_iterations_happen_in_order(name, total):
    layers = training(total, selector={"name": name})
    closed = []
    layers.selector.close = lambda scores, iteration: closed.append(iteration)
    for update in range(total):
        layers.passes(update)
    assert closed == [0, 1, 2, 3]


def test_iterations_are_of_the_same_length():
    layers = training(1000, remove=2)
    found = []
    for update in range(200, 600):
        layers.passes(update)
        with layers.running(layers.passes(update)[1]):
            gates = layers.selector.gates(layers.supernet.scores, layers._iteration)
        found.append(int(gates.sum()))
    assert Counter(found) == {4: 200, 2: 200} and found == sorted(found, reverse=True)


def test_a_run_that_is_prolonged_does_not_select_again():
    layers = training()
    for update in range(61):
        layers.passes(update)
    expected = named(layers, 61)
    layers.total_updates = 1000
    assert named(layers, 61) == named(layers, 100) == expected


def test_gated_passes_compute_all_units():
    layers = training()
    *_, gated = layers.passes(30)
    with layers.running(gated) as net:
        net(vectors())
    assert [layer.branch.calls for layer in net.model.layers] == [1] * 6


def test_layer_drop_is_of_units_outside_the_smallest():
    layers = training()
    full, *_ = layers.passes(70)
    keep = layers.selection("units-2").keep
    torch.manual_seed(0)
    with layers.running(full) as net:
        outputs = [layer.branch(vectors(64)) for layer in net.model.layers]
    dropped = [bool((out == 0).all(dim=1).any()) for out in outputs]
    assert dropped == [not kept for kept in keep]


@pytest.mark.parametrize("sizes, number", [([2, 4], 3), ([1, 2, 3, 4], 3), ([3], 2)])
def test_more_than_three_sizes_take_turns(sizes, number):
    layers = training(1000, sizes=sizes)
    seen = Counter()
    for update in range(600, 1000):
        passes = layers.passes(update)
        assert len(passes) == number and passes == layers.passes(update)
        assert [one.selection.name for one in passes[:2]] == [FULL, f"units-{min(sizes)}"]
        seen.update(one.selection.name for one in passes[2:])
    middle = sorted(sizes)[1:]
    assert seen.keys() == {f"units-{count}" for count in middle}
    assert all(80 < seen[f"units-{count}"] < 190 for count in middle) or len(middle) < 2


def test_turns_are_a_function_of_seed_and_update():
    def drawn(seed: int) -> list[str]:
        layers = training(sizes=[1, 2, 3, 4], seed=seed)
        return [layers.passes(update)[-1].selection.name for update in range(60, 100)]

    assert drawn(0) == drawn(0) != drawn(1)


# Selections.


@NAMES
def test_selections_are_nested(name):
    layers = training(sizes=[1, 2, 4, 5], selector={"name": name})
    torch.manual_seed(3)
    for update in range(100):
        with torch.no_grad():
            layers.supernet.scores.add_(torch.randn(6))
        layers.passes(update)
        keeps = [layers.selection(size).keep for size in layers.sizes]
        assert [sum(keep) for keep in keeps] == [6, 5, 4, 2, 1]
        for larger, smaller in zip(keeps, keeps[1:], strict=False):
            assert all(a >= b for a, b in zip(larger, smaller, strict=True))


@NAMES
def test_what_is_selected_stays_once_it_is_settled(name):
    layers = training(selector={"name": name})
    for update in range(61):
        layers.passes(update)
    before = [layers.selection(size) for size in layers.sizes]
    with torch.no_grad():
        layers.supernet.scores.copy_(torch.randn(6))
    layers.passes(61)
    assert [layers.selection(size) for size in layers.sizes] == before


def test_an_unknown_size_is_named():
    with pytest.raises(OmniError, match="no size is called 'units-3'; known: full, units-4, un"):
        training().selection("units-3")


# Heads.


def test_each_smaller_size_has_a_head_of_its_own():
    layers = training(heads=["^head$"])
    model = layers.supernet.model
    for update in range(61):
        layers.passes(update)
    with torch.no_grad():
        for number, size in enumerate(("units-2", "units-4")):
            model.size_heads[size]["head"].weight.fill_(number)
    for number, size in enumerate(("units-2", "units-4")):
        with layers.running(layers.selection(size)) as net:
            expected = net(vectors())
            assert net.model.head is model.size_heads[size]["head"]
        small = layers.supernet.extract(layers.selection(size))
        assert (small.head.weight == number).all() and torch.equal(small(vectors()), expected)
        assert not hasattr(small, "size_heads")
    whole = layers.supernet.extract(layers.selection(FULL))
    assert torch.equal(whole.head.weight, model.head.weight)
    assert not hasattr(whole, "size_heads")


def test_heads_start_from_the_whole_models_when_they_are_first_trained():
    layers = training(heads=["^head$"])
    model, same = layers.supernet.model, {}
    for update in range(61):
        with torch.no_grad():
            model.head.weight.add_(1.0)
        layers.passes(update)
        heads = model.size_heads.items()
        same[update] = [
            name for name, h in heads if torch.equal(h["head"].weight, model.head.weight)
        ]
    assert {update: names for update, names in same.items() if names} == {
        20: ["units-2"],
        60: ["units-4"],
    }


def test_heads_are_weights_of_the_model_and_scores_are_not():
    layers = training(heads=["^head$"])
    names = [name for name, _ in layers.supernet.model.named_parameters()]
    assert "size_heads.units-2.head.weight" in names and not any("scores" in n for n in names)


# Learning.


def make_optimizer(layers: LayerTraining, lr: float = 0.0) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW(layers.supernet.model.parameters(), lr=lr)
    for group in layers.parameter_groups():
        optimizer.add_param_group(group)
    return optimizer


def learn(layers: LayerTraining, updates: range, optimizer: torch.optim.Optimizer) -> None:
    """Train to copy what units 1 and 4 alone can tell."""
    teacher = stack()
    for update in updates:
        x = vectors(32, seed=update)
        with torch.no_grad():
            target = teacher.head(teacher.layers[4](teacher.layers[1](x)))
        optimizer.zero_grad(set_to_none=True)
        for one in layers.passes(update):
            with layers.running(one) as net:
                loss = (net(x) - target).square().mean()
            (one.weight * loss + layers.penalty(one)).backward()
        optimizer.step()


@NAMES
def test_the_units_that_the_task_needs_are_selected(name):
    """The model's weights are the teacher's, so that only the choice of units is to be learnt."""
    layers = training(400, selector={"name": name}, start=0.0, score_lr=0.1, layer_drop=0.0)
    learn(layers, range(400), make_optimizer(layers))
    assert layers.selection("units-2").keep == (False, True, False, False, True, False)


def test_only_the_gated_pass_moves_the_scores():
    layers = training()
    optimizer = make_optimizer(layers)
    learn(layers, range(20), optimizer)
    assert (layers.supernet.scores == 0.5).all()
    learn(layers, range(20, 60), optimizer)
    assert (layers.supernet.scores != 0.5).all()
    scores = layers.supernet.scores.detach().clone()
    learn(layers, range(60, 80), optimizer)
    assert torch.equal(layers.supernet.scores, scores)


def test_the_scores_group_is_adamws_with_its_own_rate():
    (group,) = training(score_lr=0.02).parameter_groups()
    assert group.pop("params")[0].shape == (6,)
    assert group == {"lr": 0.02, "base_lr": 0.02, "eps": 1e-16, "weight_decay": 0.0}


def test_scores_move_however_small_their_gradients_are():
    """sigmoid'(10) is 4.5e-5, which with AdamW's usual epsilon and small losses stalls."""
    layers = training(selector={"name": "iterative_zero_out", "score_init": 10.0}, start=0.0)
    optimizer = torch.optim.AdamW(layers.parameter_groups())
    *_, gated = layers.passes(1)
    with layers.running(gated) as net:
        (1e-6 * net(vectors()).sum()).backward()
    optimizer.step()
    moved = (layers.supernet.scores.detach() - 10.0).abs()
    torch.testing.assert_close(moved, torch.full((6,), 0.01), rtol=1e-3, atol=1e-5)


# Going on.


@NAMES
@pytest.mark.parametrize("stop", [10, 25, 47, 60, 75])
def test_going_on_equals_going_through(name, stop):
    def make() -> tuple[LayerTraining, torch.optim.Optimizer]:
        layers = training(selector={"name": name}, heads=["^head$"], score_lr=0.05)
        return layers, make_optimizer(layers, lr=0.01)

    def run(layers: LayerTraining, updates: range, optimizer: torch.optim.Optimizer) -> None:
        torch.manual_seed(updates.start)
        learn(layers, updates, optimizer)

    (whole, optimizer), (first, before), (second, after) = make(), make(), make()
    run(whole, range(stop), optimizer)
    run(whole, range(stop, 100), optimizer)

    run(first, range(stop), before)
    saved = first.state_dict()
    text = json.dumps({k: v for k, v in saved.items() if not isinstance(v, torch.Tensor)})
    tensors = {k: v for k, v in saved.items() if isinstance(v, torch.Tensor)}
    second.supernet.model.load_state_dict(first.supernet.model.state_dict())
    second.load_state_dict({**json.loads(text), **tensors})
    after.load_state_dict(before.state_dict())
    run(second, range(stop, 100), after)

    assert torch.equal(second.supernet.scores, whole.supernet.scores)
    assert second.order == whole.order and second.settled_at == whole.settled_at == 60
    expected = whole.supernet.model.state_dict()
    for key, value in second.supernet.model.state_dict().items():
        assert torch.equal(value, expected[key]), key


@NAMES
def test_a_state_that_is_loaded_again_undoes_what_passes_did(name):
    layers = training(selector={"name": name})
    for update in range(59):
        layers.passes(update)
    before = copy.deepcopy(layers.state_dict())
    layers.passes(99)
    layers.load_state_dict(before)
    after = layers.state_dict()
    for key, value in before.items():
        same = torch.equal(value, after[key]) if isinstance(value, torch.Tensor) else None
        assert value == after[key] if same is None else same, key


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"sizes": [2, 3]}, r"layers.sizes was \[2, 4\] and is now \[2, 3\]; use another"),
        ({"selector": {"name": "iterative_zero_out"}}, "layers.selector was .*simple_top_k.* and"),
        ({"model": stack(5)}, "layers.units was .* and is now .*; use another experiment folder"),
    ],
)
def test_another_selections_state_is_refused(changes, said):
    state = training().state_dict()
    with pytest.raises(OmniError, match=said) as e:
        training(**changes).load_state_dict(state)
    assert "\n" not in str(e.value)


def test_settings_must_fit_the_model():
    with pytest.raises(OmniError, match="layers.sizes has 4; a size is a share of the 3 units"):
        training(model=stack(3))
    with pytest.raises(OmniError, match="layers.heads rule 'tail' finds no module"):
        training(heads=["tail"])
    model = stack()
    training(model=model, heads=["^head$"])
    with pytest.raises(OmniError, match="the model has size_heads already"):
        training(model=model, heads=["^head$"])
