# SPDX-License-Identifier: Apache-2.0
"""Which sub-networks an update trains."""

import random

import numpy as np
import pytest
import torch

from omni_plugin.errors import OmniError
from omni_plugin.sampling import (
    SAMPLERS,
    CubicRamp,
    LevelSpace,
    Pass,
    Sampler,
    Schedule,
    make_sampler,
)
from omni_plugin.supernet import SuperNet
from tests.support.torch_models import mixed, tokens

UPDATES = 400
SUPERNET = SuperNet(mixed())
SIZES = SUPERNET.layer_sizes
every_sampler = pytest.mark.parametrize("name", list(SAMPLERS))


def make(
    name: str,
    spread=0.2,
    levels=(),
    ramp=(0.1, 0.5),
    growth=(0.0, 0.0),
    seed=3,
    rank=0,
    **options,
) -> Sampler:
    space, schedule = LevelSpace(0.9, levels, spread), Schedule(0.9, CubicRamp(*ramp), *growth)
    return make_sampler(name, SUPERNET, space, schedule, UPDATES, seed, rank, **options)


def all_passes(sampler: Sampler, updates=range(UPDATES)) -> list[tuple[Pass, ...]]:
    return [sampler.passes(update) for update in updates]


def size_of(one: Pass) -> float:
    total = sum(s * n for s, n in zip(one.subnet.levels, SIZES, strict=True))
    return total / sum(SIZES)


@every_sampler
def test_draws_are_a_function_of_the_seed_and_the_update(name):
    sampler = make(name)
    expected = all_passes(sampler)
    updates = list(range(UPDATES))
    random.Random(0).shuffle(updates)
    again = dict(zip(updates, all_passes(sampler, updates), strict=True))
    assert [again[update] for update in range(UPDATES)] == expected


@every_sampler
def test_a_restored_run_goes_on_with_the_same_draws(name):
    expected = all_passes(make(name))
    assert all_passes(make(name), range(UPDATES // 2, UPDATES)) == expected[UPDATES // 2 :]


@every_sampler
def test_another_seed_gives_other_draws(name):
    one, other = all_passes(make(name)), all_passes(make(name, seed=4))
    ramp = range(UPDATES // 10 + 1, UPDATES)
    assert sum(one[update] != other[update] for update in ramp) > len(ramp) / 2


@every_sampler
def test_updates_have_draws_of_their_own(name):
    after = all_passes(make(name), range(UPDATES // 2, UPDATES))
    sizes = {tuple(size_of(one) for one in update) for update in after}
    assert len(sizes) > len(after) / 3


@every_sampler
def test_no_global_generator_is_touched(name):
    def states() -> list:
        kind, keys, *rest = np.random.get_state()
        return [torch.get_rng_state().tolist(), random.getstate(), kind, keys.tolist(), rest]

    torch.manual_seed(99), random.seed(99), np.random.seed(99)
    before = states()
    expected = all_passes(make(name))
    assert states() == before
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    assert all_passes(make(name)) == expected


@every_sampler
def test_only_the_dense_network_is_trained_before_the_ramp(name):
    for update in range(UPDATES // 10 + 1):
        (one,) = make(name).passes(update)
        assert one == Pass(SUPERNET.subnet("dense"))


@every_sampler
@pytest.mark.parametrize("growth", [(0.0, 0.0), (0.6, 0.9)])
def test_nothing_is_denser_or_sparser_than_the_schedule_allows(name, growth):
    sampler, sizes = make(name, growth=growth), []
    for update in range(UPDATES):
        span = sampler.span(update)
        for one in sampler.passes(update):
            assert span.densest <= min(one.subnet.levels)
            assert max(one.subnet.levels) <= span.sparsest
            sizes.append(size_of(one))
    assert min(sizes) == 0 and max(sizes) == pytest.approx(0.9)


@every_sampler
def test_where_one_sparsity_is_in_play_there_is_one_pass(name):
    sampler = make(name, growth=(0.6, 0.6), ramp=(0.0, 0.0))
    assert sampler.passes(0) == (Pass(SUPERNET.subnet(0.9, "sparsest")),)


@every_sampler
def test_the_name_of_a_draw_in_between_is_its_size(name):
    named = 0
    for passes in all_passes(make(name)):
        for one in passes:
            if one.subnet.name not in ("dense", "sparsest"):
                assert size_of(one) == pytest.approx(float(one.subnet.name), abs=0.005 + 1e-9)
                named += 1
    assert named > 50


@every_sampler
def test_with_given_levels_only_these_and_the_extremes_are_drawn(name):
    found = all_passes(make(name, spread=0.0, levels=(0.5, 0.7)), range(UPDATES // 2, UPDATES))
    assert {one.subnet.levels[0] for passes in found for one in passes} == {0.0, 0.5, 0.7, 0.9}
    assert all(one.subnet.is_uniform for passes in found for one in passes)


@pytest.mark.parametrize("name", ["single", "per-rank"])
@pytest.mark.parametrize("dense, sparsest", [(0.3, 0.2), (0.0, 0.5), (1.0, 0.0), (0.0, 0.0)])
def test_single_draws_have_the_given_shares(name, dense, sparsest):
    sampler = make(name, dense_share=dense, sparsest_share=sparsest, ramp=(0.0, 0.0))
    passes = all_passes(sampler, range(4000))
    assert all(len(update) == 1 for update in passes)
    names = [one.subnet.name for (one,) in passes]
    assert names.count("dense") / 4000 == pytest.approx(dense, abs=0.03)
    assert names.count("sparsest") / 4000 == pytest.approx(sparsest, abs=0.03)
    assert {one.part for (one,) in passes} == {(0, 1)}
    assert {one.weight for (one,) in passes} == {1.0}


def test_per_rank_draws_differ_between_ranks_and_others_do_not():
    for name in SAMPLERS:
        by_rank = [all_passes(make(name, rank=rank)) for rank in range(3)]
        if name == "per-rank":
            for one, other in ((0, 1), (0, 2), (1, 2)):
                differ = sum(a != b for a, b in zip(by_rank[one], by_rank[other], strict=True))
                assert differ > UPDATES / 2
        else:
            assert by_rank[0] == by_rank[1] == by_rank[2]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_sandwich_has_both_extremes_and_random_ones(count):
    sampler = make("sandwich", random=count)
    for update in range(UPDATES // 10 + 1, UPDATES):
        passes = sampler.passes(update)
        first, second, *others = (one.subnet for one in passes)
        assert first.is_dense and first.name == "dense"
        assert set(second.levels) == {sampler.span(update).sparsest} and second.name == "sparsest"
        assert len(others) == count
        assert sum(one.weight for one in passes) == pytest.approx(1)
        assert {one.part for one in passes} == {(0, 1)}


def test_the_sandwich_may_do_without_the_sparsest():
    passes = make("sandwich", sparsest=False, random=2).passes(UPDATES - 1)
    assert [one.subnet.name for one in passes].count("sparsest") == 0
    assert len(passes) == 3 and {one.weight for one in passes} == {1 / 3}


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_sandwich_may_draw_the_sparsest_in_a_share_of_the_updates(share):
    sampler = make("sandwich", sparsest=False, sparsest_share=share)
    updates = [x for x in all_passes(sampler) if len(x) == 2]
    found = [x for x in updates if x[1].subnet.name == "sparsest"]
    assert len(found) / len(updates) == pytest.approx(share, abs=0.06)
    assert all(x[0].subnet.is_dense for x in updates)


@pytest.mark.parametrize("parts", [2, 4])
def test_the_sandwich_may_give_the_others_a_part_of_the_batch_with_its_share_of_the_weight(parts):
    passes = make("sandwich", sparsest=False, random=2, parts=parts).passes(UPDATES - 1)
    assert [one.part for one in passes] == [(0, 1), (1, parts), (2 % parts, parts)]
    assert sum(one.weight for one in passes) == pytest.approx(1)
    for one in passes[1:]:
        assert passes[0].weight / one.weight == pytest.approx(parts)


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_the_split_gives_every_part_of_the_batch_to_one_sub_network(parts):
    sampler = make("split", parts=parts)
    for update in range(UPDATES // 10 + 1, UPDATES):
        passes = sampler.passes(update)
        assert [one.part for one in passes] == [(number, parts) for number in range(parts)]
        assert passes[0].subnet.is_dense
        assert sum(one.weight for one in passes) == pytest.approx(1)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_split_gives_the_densest_whole_batches_in_the_given_share_of_updates(share):
    updates = [x for x in all_passes(make("split", whole_share=share)) if x[0].subnet.is_dense]
    updates = updates[round(0.1 * UPDATES) :]  # from the ramp's start on
    whole = [x for x in updates if x == (Pass(x[0].subnet),)]
    assert len(whole) / len(updates) == pytest.approx(share, abs=0.06)
    assert all(len(x) == 2 for x in updates if x not in whole)


@every_sampler
def test_what_is_drawn_runs(name):
    supernet = SuperNet(mixed())
    for one in make(name).passes(UPDATES - 1):
        supernet.set_active_subnet(one.subnet)
        assert torch.equal(supernet(tokens()), supernet.baked_model()(tokens()))


@every_sampler
def test_an_unknown_option_is_refused_and_shows_the_known_ones(name):
    known = ", ".join(SAMPLERS[name].defaults)
    with pytest.raises(OmniError, match=f"no option 'shares'; known: {known}$"):
        make(name, shares=1)


@pytest.mark.parametrize(
    "name, options",
    [
        ("single", {"dense_share": "0.3"}),
        ("single", {"dense_share": None}),
        ("single", {"sparsest_share": True}),
        ("split", {"parts": 2.5}),
        ("split", {"parts": "2"}),
        ("sandwich", {"random": 1.5}),
        ("sandwich", {"random": True}),
        ("sandwich", {"sparsest": 1}),
    ],
)
def test_an_option_of_another_type_is_refused_by_its_name(name, options):
    ((option, value),) = options.items()
    with pytest.raises(OmniError, match=f"option {option} is {value!r}; it must be"):
        make(name, **options)


@pytest.mark.parametrize(
    "name, options",
    [
        ("single", {"dense_share": 0.6, "sparsest_share": 0.5}),
        ("per-rank", {"dense_share": -0.1}),
        ("split", {"sparsest_share": 1.1}),
        ("sandwich", {"sparsest_share": 1.2}),
    ],
)
def test_impossible_shares_are_refused_with_their_values(name, options):
    with pytest.raises(OmniError, match="dense_share .* must be shares of one whole") as error:
        make(name, **options)
    assert all(str(value) in str(error.value) for value in options.values())


@pytest.mark.parametrize(
    "name, option, value",
    [
        ("split", "parts", 1),
        ("split", "whole_share", 1.5),
        ("sandwich", "random", -1),
        ("sandwich", "parts", 0),
    ],
)
def test_an_impossible_number_is_refused_with_its_value(name, option, value):
    with pytest.raises(OmniError, match=f"{option} is {value}"):
        make(name, **{option: value})


def test_an_unknown_sampler_is_refused():
    with pytest.raises(OmniError, match="'double' is unknown; known: single, per-rank, split, san"):
        make("double")


def test_a_new_sampler_is_its_draw_alone():
    class Alternating(Sampler):
        defaults = {"level": 0.5}

        def draw(self, rng, span):
            return [Pass(self.supernet.subnet(min(span.sparsest, self.options["level"])))]

    schedule = Schedule(0.9, CubicRamp(0.0, 0.0))
    sampler = Alternating(SUPERNET, LevelSpace(), schedule, UPDATES, level=0.7)
    assert sampler.passes(9) == (Pass(SUPERNET.subnet(0.7)),)
