# SPDX-License-Identifier: Apache-2.0
"""Distillation at the joiner of the stand-in's model."""

import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from omni_plugin import OmniError
from omni_plugin.icefall.distillation import LatticeTap
from omni_plugin.settings import DistillationSettings
from tests.support.icefall.toy import compute, make_model, models, started


def run(model, tap, teaches, seed=0):
    random.seed(1)
    with tap.running(teaches):
        return compute(model, seed)()


def test_a_student_that_is_the_teacher_loses_nothing():
    model = make_model().eval()
    tap = LatticeTap(model, DistillationSettings())
    run(model, tap, True)
    run(model, tap, False)
    assert tap.loss().item() == pytest.approx(0, abs=1e-5)


def test_the_loss_is_the_divergence_on_the_teachers_cells():
    model = make_model().eval()
    tap, logits, ranges = LatticeTap(model, DistillationSettings(weight=0.5)), [], []
    model.joiner.register_forward_hook(lambda module, args, output: logits.append(output))
    run(model, tap, True)
    ranges.append(tap._ranges)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    run(model, tap, False)
    assert tap._ranges is ranges[0]
    # No padding in this batch, and one past the last symbol still counts: all cells are real.
    teacher, student = (x.flatten(0, -2).log_softmax(-1) for x in logits)
    wanted = F.kl_div(student, teacher, reduction="none", log_target=True).sum()
    assert tap.loss().item() == pytest.approx(0.5 * wanted.item() / ranges[0].size(2), rel=1e-5)
    tap.loss().backward()
    assert model.joiner.output_linear.weight.grad.abs().sum() > 0


def test_k2_is_as_it_was_afterwards():
    before = models.k2.get_rnnt_prune_ranges, models.k2.rnnt_loss_pruned
    model = make_model()
    run(model, LatticeTap(model, DistillationSettings()), True)
    assert (models.k2.get_rnnt_prune_ranges, models.k2.rnnt_loss_pruned) == before
    assert not model.joiner._forward_hooks


def test_a_model_without_a_joiner_or_k2_is_refused():
    with pytest.raises(OmniError, match="no module joiner"):
        LatticeTap(nn.Linear(2, 2), DistillationSettings())


def test_a_sandwich_learns_from_its_dense_pass_where_it_is_asked_to():
    words = ("--omni-sampler", "sandwich")
    losses = []
    for more in ((), ("--omni-distillation", "kl")):
        random.seed(0)
        model = make_model()
        session, params = started(model, *words, *more)
        torch.manual_seed(0)
        losses.append(float(session.compute_loss(compute(model), params, True)[0]))
    assert losses[1] > losses[0]
