# SPDX-License-Identifier: Apache-2.0
"""The four calls of a training loop, on a small model."""

import copy
import io
import random

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from omni_plugin import OmniError, OmniTraining, SparsitySettings
from omni_plugin.sampling import Pass
from tests.support.torch_models import mixed, tokens

UPDATES = 24
SAMPLERS = ("single", "per-rank", "split", "sandwich")


def settings(**changes) -> SparsitySettings:
    """Ranked every 4 updates up to the 12th; sparse from the 2nd on."""
    given = {"refresh_every": 4, "freeze_from": 0.5, "ramp": {"name": "cubic", "end": 0.3}}
    return SparsitySettings.from_dict({**given, **changes})


def model() -> nn.Sequential:
    return nn.Sequential(mixed(), nn.Dropout(0.2), nn.Linear(24, 8))


def make(own: nn.Module | None = None, updates: int = UPDATES, **changes) -> OmniTraining:
    return OmniTraining(own or model(), settings(**changes), updates, seed=5)


def loop(omni: OmniTraining, optimizer, start: int, end: int, seen: list | None = None) -> None:
    """The loop of the example in short."""
    for update in range(start, end):
        torch.manual_seed(update)
        optimizer.zero_grad()
        for one in omni.passes(update):
            with omni.running(one) as net:
                (one.weight * net(tokens(update)).square().mean()).backward()
            if seen is not None:
                seen.append((update, one.subnet))
        optimizer.step()


def adam(omni: OmniTraining) -> torch.optim.Optimizer:
    return torch.optim.AdamW(omni.supernet.model.parameters(), lr=0.01)


# 1. Wrap.


def test_the_model_stays_as_it_is():
    own = model()
    before = {name: (id(value), value.clone()) for name, value in own.named_parameters()}
    omni = make(own)
    loop(omni, torch.optim.SGD(own.parameters(), lr=0.0), 0, UPDATES)
    assert {n: id(p) for n, p in own.named_parameters()} == {n: i for n, (i, _) in before.items()}
    assert all(torch.equal(own.get_parameter(n), value) for n, (_, value) in before.items())
    assert list(own.state_dict()) == list(model().state_dict())


def test_a_supernet_that_is_always_dense_trains_as_the_model_alone_bit_for_bit():
    plain, own = model(), model()
    own.load_state_dict(plain.state_dict())
    omni = make(own, ramp={"name": "cubic", "start": 1.0, "end": 1.0})
    loop(omni, adam(omni), 0, 6)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=0.01)
    for update in range(6):
        torch.manual_seed(update)
        optimizer.zero_grad()
        plain(tokens(update)).square().mean().backward()
        optimizer.step()
    for name, value in plain.state_dict().items():
        assert torch.equal(own.state_dict()[name], value), name


#: What settings alone cannot tell.
WRONG = {
    "a pattern too large": ({"pattern": "64x1"}, r"0.linear.weight: .*\(16, 16\) has no block"),
    "no layer": ({"include": ["encoder"]}, "include rule 'encoder' matches none of the model's"),
    "no layer left": ({"exclude": [".*"]}, "leave none of the model's 9 matrices"),
}


@pytest.mark.parametrize("changes, said", WRONG.values(), ids=WRONG)
def test_what_is_impossible_is_said_in_one_line(changes, said):
    with pytest.raises(OmniError, match=said) as e:
        make(**changes)
    assert "\n" not in str(e.value)


# 2. Passes.


def test_blocks_are_ranked_every_so_many_updates_until_they_are_frozen(monkeypatch):
    omni, ranked = make(), []
    refresh = omni.supernet.refresh_ranks
    for update in range(UPDATES):
        monkeypatch.setattr(
            omni.supernet, "refresh_ranks", lambda at=update: (ranked.append(at), refresh())
        )
        omni.passes(update)
    assert ranked == [0, 4, 8]


def test_ranks_follow_the_weights_until_they_are_frozen():
    omni = make()
    weight = omni.supernet.model[2].weight

    def ranks() -> torch.Tensor:
        return omni.supernet.ranks()["2.weight"].clone()

    seen = []
    for update in (0, 3, 4, 8, 16):
        with torch.no_grad():
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(update)))
        omni.passes(update)
        seen.append(ranks())
    changed = [not torch.equal(a, b) for a, b in zip(seen, seen[1:], strict=False)]
    assert changed == [False, True, True, False]


def test_all_sizes_grow_from_the_sparsest_where_that_is_wanted():
    omni = make(grow_from=0.6, ramp={"name": "linear", "start": 0.2, "end": 0.4})
    passes = [omni.passes(update) for update in range(UPDATES)]
    sizes = [[set(one.subnet.levels) for one in update] for update in passes[:15]]
    assert sizes[:5] == [[{0.0}]] * 5
    assert sizes[10:] == [[{0.9}]] * 5
    assert all(len(update) == 1 for update in sizes)
    growing = [update[0].subnet.levels[0] for update in passes[5:10]]
    assert growing == sorted(growing) and 0 < growing[0] < growing[-1] < 0.9
    assert passes[15:] == [omni.sampler.passes(update) for update in range(15, UPDATES)]


def test_the_densest_grows_step_by_step_where_that_is_wanted():
    ramp = {"name": "linear", "start": 0.0, "end": 0.0}
    omni = make(grow_from=0.25, grow_until=0.5, ramp=ramp, sampler={"name": "sandwich"})
    densest = [max(omni.passes(update)[0].subnet.levels) for update in range(UPDATES)]
    assert densest == pytest.approx([0.9] * 6 + [0.9 * (6 - i) / 6 for i in range(6)] + [0.0] * 12)


def test_what_is_pruned_shrinks_at_each_ranking_before_growth():
    omni = make(grow_from=0.4, shrink=0.5, ramp={"name": "linear", "start": 0.1, "end": 0.1})
    weight = omni.supernet.model[2].weight
    omni.supernet.refresh_ranks()
    before, mask = weight.detach().clone(), omni.supernet.mask("sparsest")["2.weight"]
    scales = []
    for update in range(UPDATES):
        omni.passes(update)
        assert torch.equal(weight * mask, before * mask)
        scales.append(float((weight.detach()[mask == 0] / before[mask == 0]).mean()))
    # Ranked, and not yet growing, at 4 and 8; the ramp has not started at 0.
    assert scales == pytest.approx([1.0] * 4 + [0.5] * 4 + [0.25] * 16)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_passes_leave_all_other_random_numbers_alone(sampler):
    omni = make(sampler={"name": sampler})
    before = random.getstate(), torch.get_rng_state()
    for update in range(UPDATES):
        omni.passes(update)
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_the_extremes_are_always_validated():
    for levels in ([], [0.5], [0.0, 0.5, 0.9]):
        omni = make(valid_levels=levels)
        assert list(omni.valid_subnets) == sorted({0.0, 0.9, *levels})
        assert omni.valid_subnets[0.0].is_dense
        assert set(omni.valid_subnets[0.9].levels) == {0.9}


# 3. Running.


@pytest.mark.parametrize("wrap", [Pass, lambda subnet: subnet], ids=["pass", "sub-network"])
def test_running_is_the_sub_network_with_plain_weights(wrap):
    omni = make()
    subnet = omni.supernet.subnet(0.5)
    plain = model().eval()
    plain.load_state_dict(omni.supernet.bake(subnet))
    omni.supernet.eval()
    with omni.running(wrap(subnet)) as net:
        assert torch.equal(net(tokens()), plain(tokens()))


def test_dropout_is_scaled_by_the_density_and_put_back():
    omni = make()
    dropout = omni.supernet.model[1]
    with omni.running(omni.supernet.subnet(0.75)):
        assert dropout.p == pytest.approx(0.05)
    assert dropout.p == 0.2
    with pytest.raises(ZeroDivisionError), omni.running(omni.supernet.subnet(0.75)):
        raise ZeroDivisionError
    assert dropout.p == 0.2


def test_dropout_stays_as_it_is_where_that_is_wanted():
    omni = make(adaptive_dropout=False)
    with omni.running(omni.supernet.subnet(0.75)):
        assert omni.supernet.model[1].p == 0.2


@pytest.mark.parametrize("within", [True, False], ids=["within", "afterwards"])
def test_backward_may_run_within_or_afterwards(within):
    found = []
    for inside in (True, within):
        omni = make()
        torch.manual_seed(0)
        with omni.running(omni.supernet.subnet(0.5)) as net:
            loss = net(tokens()).square().mean()
            if inside:
                loss.backward()
        if not inside:
            loss.backward()
        found.append({n: p.grad for n, p in omni.supernet.model.named_parameters()})
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


def test_the_model_itself_can_be_called_where_masked_is_opened(tmp_path):
    """What the page says of icefall: the loop keeps its model, under DDP, and masks in place."""
    omni = make()
    own = omni.supernet.model
    store = f"file://{tmp_path / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        parallel = DistributedDataParallel(own)
        found = []
        for net, opened in ((parallel, omni.supernet.masked), (omni.supernet, None)):
            omni.supernet.zero_grad()
            for level in (0.0, 0.5, 0.9):
                torch.manual_seed(0)
                with omni.running(omni.supernet.subnet(level)):
                    if opened is None:
                        net(tokens()).square().mean().backward()
                        continue
                    with opened():
                        loss = net(tokens()).square().mean()
                    loss.backward()
            found.append({n: p.grad.clone() for n, p in own.named_parameters()})
    finally:
        dist.destroy_process_group()
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


def test_distillation_starts_when_it_is_said_to():
    assert not make().distils(UPDATES - 1)
    omni = make(distillation={"start": 0.5}, sampler={"name": "sandwich"})
    assert [update for update in range(UPDATES) if omni.distils(update)] == list(range(12, 24))


# 4. State.


GROWING = {"grow_from": 0.4, "grow_until": 0.6, "shrink": 0.5}
RUNS = {**{name: {"sampler": {"name": name}} for name in SAMPLERS}, "growing": GROWING}


@pytest.mark.parametrize("at", [1, 6, 12, 15], ids="stop after {}".format)
@pytest.mark.parametrize("changes", RUNS.values(), ids=RUNS)
def test_an_interrupted_run_ends_as_an_undisturbed_one(changes, at):
    undisturbed, undisturbed_seen = make(**changes), []
    loop(undisturbed, adam(undisturbed), 0, UPDATES, undisturbed_seen)

    one, seen, file = make(**changes), [], io.BytesIO()
    optimizer = adam(one)
    loop(one, optimizer, 0, at, seen)
    weights = one.supernet.model.state_dict()
    torch.save((weights, optimizer.state_dict(), one.state_dict()), file)
    other = make(**changes)
    optimizer = adam(other)
    file.seek(0)
    weights, moments, state = torch.load(file)
    other.supernet.model.load_state_dict(weights)
    optimizer.load_state_dict(moments)
    other.load_state_dict(state)
    loop(other, optimizer, at, UPDATES, seen)

    assert seen == undisturbed_seen
    for name, value in undisturbed.supernet.model.state_dict().items():
        assert torch.equal(other.supernet.model.state_dict()[name], value), name
    for name, ranks in undisturbed.supernet.ranks().items():
        assert torch.equal(other.supernet.ranks()[name], ranks), name


def test_frozen_ranks_are_part_of_the_state():
    """What the test above would not see if ranking anew gave the same."""
    omni = make()
    loop(omni, adam(omni), 0, UPDATES)
    before = copy.deepcopy(omni.supernet.ranks())
    omni.supernet.refresh_ranks()
    assert any(not torch.equal(before[n], ranks) for n, ranks in omni.supernet.ranks().items())


@pytest.mark.parametrize(
    "name, value",
    [
        ("pattern", "4x1"),
        ("exclude", ["last"]),
        ("levels", [0.5]),
        ("sampler", {"name": "single", "dense_share": 0.5}),
        ("ramp", {"name": "linear", "end": 0.3}),
        ("freeze_from", 0.7),
        ("distillation", {}),
        ("adaptive_dropout", False),
    ],
)
def test_other_settings_are_refused_by_name(name, value):
    before = {"sampler": {"name": "sandwich"}}
    said = f"sparsity.{name} was .* and is now .*; use another experiment folder"
    with pytest.raises(OmniError, match=said):
        make(**{**before, name: value}).load_state_dict(make(**before).state_dict())


def test_a_state_from_before_a_setting_existed_has_its_default():
    state = make().state_dict()
    del state["settings"]["grow_until"]
    make().load_state_dict(state)


def test_other_levels_may_be_validated():
    make(valid_levels=[0.3]).load_state_dict(make().state_dict())


def test_ranks_of_another_model_are_refused_by_name():
    state = make(nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))).state_dict()
    with pytest.raises(OmniError, match="they lack weight 2.weight"):
        make(nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))).load_state_dict(state)


def test_the_state_of_a_dense_run_is_refused():
    with pytest.raises(OmniError, match="of no supernet; use another experiment folder"):
        make().load_state_dict({})
