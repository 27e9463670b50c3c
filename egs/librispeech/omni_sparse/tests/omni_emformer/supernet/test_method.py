# SPDX-License-Identifier: Apache-2.0
"""What an update of a supernet trains, on a tiny model and made-up batches."""

import copy
import logging
import math

import pytest
import torch

from emformer.errors import RecipeError
from emformer.model import make_model
from emformer.training.loss import Batch, loss_scales, run_transducer, transducer_loss, weigh_losses
from omni_emformer.supernet import method as module
from omni_emformer.supernet.method import OmniMethod
from omni_plugin.distillation import (
    DISTILLATIONS,
    ENCODER,
    distillation_loss,
    lattice_labels,
    lattice_mask,
)
from tests.support.made_up_batches import CONFIG, make_batch, pick
from tests.support.supernets import SANDWICH, settings

TOTAL = 100
LATE = 60  # an update with all sparsities in play
SAMPLERS = {
    "single": {"name": "single", "dense_share": 0.0, "sparsest_share": 0.0},
    "sandwich": {"name": "sandwich", "random": 2},
    "split": {"name": "split", "parts": 3},
}


def make(**changes) -> OmniMethod:
    """A method that has wrapped the tiny model, without dropout."""
    torch.manual_seed(0)
    method = OmniMethod(CONFIG.training, TOTAL, settings(**changes), seed=3)
    method.wrap(make_model(CONFIG.model, 20)).train()
    return method


def gradients(model) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def run(method: OmniMethod, batch: Batch, update: int = LATE) -> list[dict[str, float]]:
    """Forward and backward of all passes, as the trainer does it; the infos."""
    method.omni.supernet.zero_grad()
    infos = []
    for which in method.passes(update):
        loss, info = method.loss(method.omni.supernet, batch, which, update)
        loss.backward()
        infos.append(info)
    return infos


class Watched:
    """Notes the batches and prune ranges that passes run on, and what comes out."""

    def __init__(self, monkeypatch) -> None:
        self.batches, self.ranges, self.outs = [], [], []
        monkeypatch.setattr(module, "run_transducer", self)

    def __call__(self, model, batch, config, ranges=None):
        self.batches.append(batch)
        self.ranges.append(ranges)
        self.outs.append(run_transducer(model, batch, config, ranges))
        return self.outs[-1]


@pytest.fixture
def watched(monkeypatch) -> Watched:
    return Watched(monkeypatch)


# Wrapping.


def test_what_is_covered_is_logged(caplog):
    with caplog.at_level(logging.INFO):
        make()
    assert "pattern 8x1 covers 10 weights" in caplog.text


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"include": ["zipformer"]}, "include rule 'zipformer' matches none of the model's"),
        ({"pattern": "64x1"}, r"encoder.emformer.*weight of shape \(32, 16\) has no block"),
    ],
)
def test_impossible_settings_are_the_users_to_mend(changes, said):
    with pytest.raises(RecipeError, match=said) as e:
        make(**changes)
    assert "\n" not in str(e.value)


# Gradients.


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_the_gradient_is_the_sum_over_plain_sub_networks(sampler):
    """Each with baked weights and its part of the batch; pruned entries get nothing from it."""
    method, batch = make(sampler=sampler), make_batch()
    passes = method.passes(LATE)
    supernet = method.omni.supernet
    expected = {name: torch.zeros_like(p) for name, p in supernet.model.named_parameters()}
    for which in passes:
        plain = copy.deepcopy(supernet.model)
        plain.load_state_dict(supernet.bake(which.subnet))
        number, parts = which.part
        part = pick(batch, slice(number, None, parts))
        (which.weight * transducer_loss(plain, part, CONFIG.training, LATE, TOTAL)[0]).backward()
        masks = supernet.mask(which.subnet)
        for name, parameter in plain.named_parameters():
            expected[name] += parameter.grad * masks.get(name, 1.0)
    run(method, batch)
    assert any(not which.subnet.is_dense for which in passes)
    for name, found in gradients(supernet.model).items():
        torch.testing.assert_close(found, expected[name], rtol=1e-4, atol=1e-6)


def test_before_the_ramp_an_update_is_a_dense_one_bit_for_bit():
    batch = make_batch()
    for sampler in SAMPLERS.values():
        method = make(sampler=sampler)
        run(method, batch, update=4)
        found = gradients(method.omni.supernet.model)
        plain = copy.deepcopy(method.omni.supernet.model)
        plain.zero_grad()
        transducer_loss(plain, batch, CONFIG.training, 4, TOTAL)[0].backward()
        for name, value in gradients(plain).items():
            assert torch.equal(found[name], value), name


def test_pruned_entries_get_no_gradient():
    method = make(sampler={"name": "single", "dense_share": 0.0, "sparsest_share": 1.0})
    run(method, make_batch())
    for name, mask in method.omni.supernet.mask("sparsest").items():
        gradient = method.omni.supernet.model.get_parameter(name).grad
        assert int((mask == 0).sum()) > 0.85 * mask.numel()
        assert (gradient[mask == 0] == 0).all() and (gradient != 0).any(), name


# Parts.


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("size", [6, 7])
def test_the_parts_of_a_split_partition_the_batch(watched, parts, size):
    batch = make_batch(size)
    run(make(sampler={"name": "split", "parts": parts}), batch)
    assert len(watched.batches) == parts
    found = []
    for part in watched.batches:
        assert part.features.size(1) == int(part.feature_lens.max())
        assert part.symbols.size(1) == int(part.symbol_lens.max())
        for x, x_len, y, y_len in zip(*vars(part).values(), strict=True):
            found.append((x[:x_len].sum().item(), int(x_len), y[:y_len].tolist()))
    expected = [
        (x[:x_len].sum().item(), int(x_len), y[:y_len].tolist())
        for x, x_len, y, y_len in zip(*vars(batch).values(), strict=True)
    ]
    assert len(found) == size
    assert sorted(found, key=str) == sorted(expected, key=str)


def test_the_first_part_is_the_dense_networks():
    passes = make(sampler=SAMPLERS["split"]).passes(LATE)
    assert [which.part for which in passes] == [(0, 3), (1, 3), (2, 3)]
    assert [which.subnet.is_dense for which in passes] == [True, False, False]


def test_a_batch_with_too_few_utterances_goes_to_every_part(watched):
    batch = make_batch(2)
    run(make(sampler=SAMPLERS["split"]), batch)
    assert all(part is batch for part in watched.batches) and len(watched.batches) == 3


# Distillation.


def sandwich(parts: int = 1, **distillation) -> OmniMethod:
    sampler = {**SANDWICH["sampler"], "parts": parts}
    return make(**{**SANDWICH, "sampler": sampler, "distillation": {"start": 0.2, **distillation}})


def test_all_passes_share_the_dense_networks_prune_ranges(watched):
    run(sandwich(), make_batch())
    dense, *others = watched.outs
    assert watched.ranges[0] is None and len(others) == 2
    for given, out in zip(watched.ranges[1:], others, strict=True):
        assert torch.equal(given, dense.ranges)
        assert torch.equal(out.ranges, dense.ranges)


def test_without_distillation_each_pass_has_ranges_of_its_own(watched):
    run(make(sampler=SAMPLERS["sandwich"]), make_batch())
    assert len(watched.ranges) == 4 and set(watched.ranges) == {None}


@pytest.mark.parametrize("kind", DISTILLATIONS)
def test_the_loss_is_the_sub_networks_own_and_the_divergence_from_a_fixed_teacher(kind):
    """By hand, with the teacher's logits as a constant and plain weights for the student."""
    method, batch = sandwich(kind=kind, weight=0.7), make_batch()
    supernet = method.omni.supernet
    dense, sparse, _ = method.passes(LATE)
    method.loss(supernet, batch, dense, LATE)[0].backward()
    supernet.zero_grad()
    loss, info = method.loss(supernet, batch, sparse, LATE)
    loss.backward()

    with torch.no_grad():
        teacher = run_transducer(supernet.model, batch, CONFIG.training)
    student = copy.deepcopy(supernet.model)
    student.load_state_dict(supernet.bake(sparse.subnet))
    student.zero_grad()
    out = run_transducer(student, batch, CONFIG.training, teacher.ranges)
    own, _ = weigh_losses(out, loss_scales(CONFIG.training, LATE, TOTAL))
    labels = lattice_labels(batch.symbols, out.ranges)
    cells = lattice_mask(out.ranges, out.encoder_lens, batch.symbol_lens)
    each = distillation_loss(kind, out.logits, teacher.logits, labels)
    frames = int(out.encoder_lens.sum())
    divergence = each[cells].sum() / frames
    expected = sparse.weight * (own + 0.7 * divergence)
    expected.backward()

    torch.testing.assert_close(loss, expected)
    assert info["distillation"] / info["frames"] == pytest.approx(float(divergence), rel=1e-4)
    assert float(divergence) > 0
    masks = supernet.mask(sparse.subnet)
    for name, parameter in student.named_parameters():
        found = supernet.model.get_parameter(name).grad
        parameter.grad *= masks.get(name, 1.0)
        torch.testing.assert_close(found, parameter.grad, rtol=1e-4, atol=1e-6)


def test_the_teacher_gets_no_gradient_from_the_distillation():
    """Its own backward is over by then; pruned entries, which it has, get nothing."""
    method, batch = sandwich(), make_batch()
    supernet = method.omni.supernet
    dense, sparsest, _ = method.passes(LATE)
    method.loss(supernet, batch, dense, LATE)[0].backward()
    assert not any(value.requires_grad for value in method._teacher)
    supernet.zero_grad()
    method.loss(supernet, batch, sparsest, LATE)[0].backward()
    for name, mask in supernet.mask(sparsest.subnet).items():
        assert (supernet.model.get_parameter(name).grad[mask == 0] == 0).all(), name


@pytest.mark.parametrize("wanted", [True, False])
def test_the_teacher_has_dropout_or_not(wanted):
    method, batch = sandwich(teacher_dropout=wanted), make_batch()
    supernet = method.omni.supernet
    for layer in supernet.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.3
    losses: list[list[float]] = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        losses.append([info["loss"] for info in run(method, batch)])
    differ = [one != other for one, other in zip(*losses, strict=True)]
    assert differ == [wanted, True, True]


@pytest.mark.parametrize("kind", [ENCODER, "kl"])
def test_on_a_part_of_the_batch_the_teacher_is_what_it_gave_for_that_part(kind, watched):
    """Against a teacher that sees the part alone, but for the ranges, which are the whole's."""
    method = sandwich(kind=kind, weight=1.0, parts=2)
    batch = make_batch()
    dense, sparse, _ = method.passes(LATE)
    supernet = method.omni.supernet
    method.loss(supernet, batch, dense, LATE)
    _, info = method.loss(supernet, batch, sparse, LATE)
    part = watched.batches[1]
    assert len(part.feature_lens) == (len(batch.feature_lens) + 1) // 2
    student = watched.outs[1]
    with torch.no_grad():
        teacher = run_transducer(supernet.model, part, CONFIG.training, student.ranges)
    if kind == ENCODER:
        ends = student.encoder_lens.tolist()
        apart = [
            (own[:end] - other[:end]).square().mean(-1).sum()
            for own, other, end in zip(student.encoder_out, teacher.encoder_out, ends, strict=True)
        ]
        expected = float(sum(apart))
    else:
        cells = lattice_mask(student.ranges, student.encoder_lens, part.symbol_lens)
        labels = lattice_labels(part.symbols, student.ranges)
        each = distillation_loss(kind, student.logits, teacher.logits, labels)
        expected = float(each[cells].sum())
    assert expected > 0
    assert info["distillation"] == pytest.approx(expected, rel=1e-4)


def test_a_part_of_short_utterances_keeps_the_symbols_of_the_teachers_lattice(watched):
    """The teacher's prune range is as wide as the longest utterance of the whole batch allows."""
    batch = make_batch()
    few = batch.symbol_lens.clone()
    few[1::2] = 1
    batch = Batch(batch.features, batch.feature_lens, batch.symbols, few)
    infos = run(sandwich(kind="kl", parts=2), batch)
    assert watched.ranges[1].size(2) > 2 and int(watched.batches[1].symbol_lens.max()) == 1
    assert all(math.isfinite(info["loss"]) for info in infos)


def test_before_its_start_there_is_no_distillation():
    method = sandwich(start=0.8)
    assert all("distillation" not in info for info in run(method, make_batch(), update=79))
    infos = run(method, make_batch(), update=80)
    assert ["distillation" in info for info in infos] == [False, True, True]


def test_the_teacher_is_of_the_same_update(watched):
    method = sandwich()
    for seed in (0, 1):
        run(method, make_batch(seed=seed), LATE + seed)
    assert torch.equal(watched.ranges[4], watched.outs[3].ranges)
    assert not torch.equal(watched.ranges[4], watched.ranges[1])


# Validation.


def test_validation_is_of_fixed_names_with_the_extremes():
    passes = make(valid_levels=[0.7, 0.5]).validation_passes()
    assert list(passes) == [f"_sparsity-{level}" for level in ("0.00", "0.50", "0.70", "0.90")]
    assert [set(which.subnet.levels) for which in passes.values()] == [{0.0}, {0.5}, {0.7}, {0.9}]


def test_validation_is_the_sub_networks_own_loss_alone(watched):
    method, batch = sandwich(start=0.0), make_batch()
    run(method, batch)
    del watched.ranges[:]
    supernet = method.omni.supernet.eval()
    with torch.no_grad():
        for which in method.validation_passes().values():
            loss, info = method.loss(supernet, batch, which, TOTAL)
            plain = copy.deepcopy(supernet.model)
            plain.load_state_dict(supernet.bake(which.subnet))
            expected = transducer_loss(plain, batch, CONFIG.training, TOTAL, TOTAL)
            assert loss == expected[0] and info == expected[1]
    assert set(watched.ranges) == {None}
