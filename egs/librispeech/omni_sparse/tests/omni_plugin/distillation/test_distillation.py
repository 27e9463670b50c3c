# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from emformer.config import ModelConfig
from emformer.model import make_model
from omni_plugin.distillation import (
    BLANK,
    DISTILLATIONS,
    distillation_loss,
    lattice_labels,
    lattice_mask,
)
from omni_plugin.errors import OmniError

N, T, P, V = 2, 5, 3, 7
KINDS = pytest.mark.parametrize("kind", DISTILLATIONS)


def _logits(seed: int, scale: float = 2.0, shape=(N, T, P, V)) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64) * scale


def _labels() -> torch.Tensor:
    """Some of them blank."""
    torch.manual_seed(2)
    labels = torch.randint(0, V, (N, T, P))
    labels[0, 0] = BLANK
    return labels


def _cells(student, teacher, labels=None):
    """Probabilities, as lists, of each cell and its label: for explicit loops."""
    q, p = student.double().softmax(-1).flatten(0, -2), teacher.double().softmax(-1).flatten(0, -2)
    labels = torch.zeros(len(q)) if labels is None else labels.flatten()
    return [(q[i].tolist(), p[i].tolist(), int(labels[i])) for i in range(len(q))]


def _gradient(kind, student, teacher, labels=None):
    student = student.detach().clone().requires_grad_()
    distillation_loss(kind, student, teacher, labels).sum().backward()
    return student.grad


# Every kind.


@KINDS
def test_a_cell_has_one_value(kind):
    loss = distillation_loss(kind, _logits(0), _logits(1), _labels())
    assert loss.shape == (N, T, P)


@KINDS
def test_the_loss_is_positive_where_distributions_differ(kind):
    assert (distillation_loss(kind, _logits(0), _logits(1), _labels()) > 0).all()


@KINDS
def test_the_loss_is_zero_where_distributions_are_equal(kind):
    teacher = _logits(1)
    student = teacher + _logits(2)[..., :1]  # the softmax does not see a shift of all logits
    loss = distillation_loss(kind, student, teacher, _labels())
    torch.testing.assert_close(loss, torch.zeros_like(loss), atol=1e-12, rtol=0)


@KINDS
def test_the_gradient_is_zero_at_the_teacher(kind):
    gradient = _gradient(kind, _logits(1), _logits(1), _labels())
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)


@KINDS
def test_the_gradient_is_that_of_finite_differences(kind):
    teacher, labels = _logits(1), _labels()
    student = _logits(0).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: distillation_loss(kind, x, teacher, labels), (student,), atol=1e-6
    )


@KINDS
def test_the_teacher_gets_no_gradient(kind):
    student, teacher = _logits(0).requires_grad_(), _logits(1).requires_grad_()
    distillation_loss(kind, student, teacher, _labels()).sum().backward()
    assert teacher.grad is None
    assert student.grad.any()


@KINDS
@pytest.mark.parametrize("scale", [1e2, 1e4, 1e30])
def test_extreme_logits_give_finite_values_and_gradients(kind, scale):
    student, teacher = (_logits(seed, scale).float() for seed in (0, 1))
    loss = distillation_loss(kind, student, teacher, _labels())
    assert loss.isfinite().all()
    assert _gradient(kind, student, teacher, _labels()).isfinite().all()


@KINDS
def test_a_vocabulary_of_blank_and_one_symbol_gives_finite_gradients(kind):
    student, teacher = _logits(0)[..., :2], _logits(1)[..., :2]
    labels = _labels().clamp(max=1)
    loss = distillation_loss(kind, student, teacher, labels)
    assert (loss[labels == 1] > 0).all()
    assert _gradient(kind, student, teacher, labels).isfinite().all()


@KINDS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(kind, dtype):
    student, teacher = _logits(0).to(dtype), _logits(1).to(dtype)
    loss = distillation_loss(kind, student, teacher, _labels())
    assert loss.dtype == torch.float32
    expected = distillation_loss(kind, student.double(), teacher.double(), _labels())
    torch.testing.assert_close(loss.double(), expected, atol=1e-5, rtol=1e-5)
    assert _gradient(kind, student, teacher, _labels()).dtype == dtype


@KINDS
def test_float64_stays_float64(kind):
    assert distillation_loss(kind, _logits(0), _logits(1), _labels()).dtype == torch.float64


@KINDS
def test_autocast_changes_nothing(kind):
    student, teacher = _logits(0).float(), _logits(1).float()
    expected = distillation_loss(kind, student, teacher, _labels())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = distillation_loss(kind, student, teacher, _labels())
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_a_form_of_ones_own_is_computed_in_float32_under_autocast(monkeypatch):
    def squares(student, teacher, labels):
        difference = (student - teacher).unsqueeze(-1)
        # Autocast takes products of matrices to bfloat16.
        return (difference.transpose(-1, -2) @ difference).flatten(-3)

    monkeypatch.setitem(DISTILLATIONS, "squares", squares)
    student, teacher = _logits(0).bfloat16(), _logits(1).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = distillation_loss("squares", student, teacher)
    expected = (student.float() - teacher.float()).square().sum(-1)
    torch.testing.assert_close(found, expected)


@KINDS
def test_cells_may_be_picked_before_or_after(kind):
    student, teacher, labels = _logits(0), _logits(1), _labels()
    mask = torch.rand(N, T, P) < 0.5
    after = distillation_loss(kind, student, teacher, labels)[mask]
    before = distillation_loss(kind, student[mask], teacher[mask], labels[mask])
    torch.testing.assert_close(before, after)


# One by one.


def test_kl_equals_that_of_torch():
    student, teacher = _logits(0), _logits(1)
    expected = kl_divergence(Categorical(logits=teacher), Categorical(logits=student))
    torch.testing.assert_close(distillation_loss("kl", student, teacher), expected)


def test_label_blank_equals_an_explicit_sum_over_three_classes():
    student, teacher, labels = _logits(0), _logits(1), _labels()
    expected = []
    for q, p, label in _cells(student, teacher, labels):
        own = {BLANK} if label == BLANK else {BLANK, label}
        classes = [{symbol} for symbol in own] + [set(range(V)) - own]
        masses = [(sum(p[v] for v in c), sum(q[v] for v in c)) for c in classes]
        expected.append(sum(a * math.log(a / b) for a, b in masses))
    expected = torch.tensor(expected, dtype=torch.float64).view(N, T, P)
    found = distillation_loss("label-blank", student, teacher, labels)
    torch.testing.assert_close(found, expected)


def test_label_blank_does_not_see_how_the_rest_is_shared():
    student, teacher = _logits(0), _logits(1)
    labels = torch.full((N, T, P), 3)
    expected = distillation_loss("label-blank", student, teacher, labels)
    order = [0, 2, 1, 3, 6, 4, 5]  # blank and label stay where they are
    found = distillation_loss("label-blank", student[..., order], teacher, labels)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(
        distillation_loss("kl", student[..., order], teacher),
        distillation_loss("kl", student, teacher),
    )


def test_label_blank_is_at_most_kl():
    """Merging classes loses information, never adds any."""
    student, teacher = _logits(0), _logits(1)
    coarse = distillation_loss("label-blank", student, teacher, _labels())
    assert (coarse <= distillation_loss("kl", student, teacher) + 1e-12).all()


def test_label_blank_tells_a_tiny_rest_from_a_tinier_one():
    """Where 1 - label - blank is 0 in float32, and a gradient is still there to learn from."""
    teacher = torch.tensor([[[[40.0, 40.0, 0.0, 0.0]]]])
    student = torch.tensor([[[[40.0, 40.0, 30.0, 0.0]]]])
    gradient = _gradient("label-blank", student, teacher, torch.ones(1, 1, 1, dtype=torch.long))
    rest = 1 / (2 * math.exp(10) + 1)
    torch.testing.assert_close(gradient[0, 0, 0, 2], torch.tensor(rest), atol=0, rtol=1e-3)


def _alpha_minus_one(q, p, c=5.0):
    """Half of ``sum q^2 / p - 1``, with the gradient ``min(q / p, c)`` summed up in small steps."""
    total = -0.5
    for a, b in zip(q, p, strict=True):
        steps = 20_000
        width = a / steps
        total += sum(min((k + 0.5) * width / b, c) for k in range(steps)) * width
    return total


def test_alpha_equals_the_larger_of_both_divergences():
    student, teacher = (_logits(s, scale, (6, V)) for s, scale in ((0, 2.0), (1, 1.0)))
    expected, chosen = [], set()
    for q, p, _ in _cells(student, teacher):
        plus = sum(b * math.log(b / a) for a, b in zip(q, p, strict=True))
        minus = _alpha_minus_one(q, p)
        expected.append(max(plus, minus))
        chosen.add(plus > minus)
    assert chosen == {True, False}, "both should occur"
    found = distillation_loss("alpha", student, teacher)
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


# The teacher's first symbol and the student's: near enough for no ratio to be clipped, and the
# student deems the second more likely than the teacher does, so that alpha = -1 is the larger.
NEAR = torch.tensor([0.9, 0.1]).double(), torch.tensor([0.6, 0.4]).double()


def test_alpha_without_a_clipped_ratio_is_half_of_pearsons_chi_square():
    p, q = NEAR
    expected = float(((q - p) ** 2 / p).sum() / 2)
    torch.testing.assert_close(expected, float(((q**2 / p).sum() - 1) / 2))
    found = distillation_loss("alpha", q.log(), p.log())
    assert float(found) == pytest.approx(expected)
    assert float(found) > float(distillation_loss("kl", q.log(), p.log()))


def test_alpha_without_a_clipped_ratio_has_the_textbook_gradient():
    p, q = NEAR
    logits = q.log().requires_grad_()
    student = logits.softmax(-1)
    (student**2 / p).sum().div(2).backward()
    torch.testing.assert_close(_gradient("alpha", q.log(), p.log()), logits.grad)


def test_alpha_clips_the_ratio_in_the_gradient_at_five():
    p = torch.tensor([0.5, 0.499, 0.001]).double()
    q = torch.tensor([0.1, 0.1, 0.8]).double()
    assert q[2] / p[2] > 5
    assert distillation_loss("alpha", q.log(), p.log()) > distillation_loss("kl", q.log(), p.log())
    ratio = (q / p).clamp(max=5)
    expected = q * (ratio - (q * ratio).sum())  # through the softmax
    torch.testing.assert_close(_gradient("alpha", q.log(), p.log()), expected)


def test_alpha_is_kl_where_the_student_misses_what_the_teacher_deems_likely():
    p, q = torch.tensor([0.5, 0.5]).double().log(), torch.tensor([0.999, 0.001]).double().log()
    kl = distillation_loss("kl", q, p)
    torch.testing.assert_close(distillation_loss("alpha", q, p), kl)
    torch.testing.assert_close(_gradient("alpha", q, p), _gradient("kl", q, p))


# Bad input.


def test_an_unknown_kind_is_refused_with_those_known():
    with pytest.raises(OmniError, match="'l2' is unknown; known: kl, label-blank, alpha"):
        distillation_loss("l2", _logits(0), _logits(1))


@KINDS
def test_lattices_of_different_shapes_are_refused_with_both(kind):
    with pytest.raises(OmniError, match=r"\(2, 5, 2, 7\).*\(2, 5, 3, 7\)"):
        distillation_loss(kind, _logits(0)[:, :, :2], _logits(1), _labels())


def test_label_blank_without_labels_is_refused():
    with pytest.raises(OmniError, match="needs labels"):
        distillation_loss("label-blank", _logits(0), _logits(1))


def test_labels_of_another_shape_are_refused_with_both():
    with pytest.raises(OmniError, match=r"\(2, 5, 2\).*\(2, 5, 3, 7\)"):
        distillation_loss("label-blank", _logits(0), _logits(1), _labels()[:, :, :2])


# The lattice.


def _ranges(max_symbols: int) -> torch.Tensor:
    """``(N, T, P)``: first positions that never go back."""
    torch.manual_seed(3)
    first = torch.randint(0, max_symbols - P + 2, (N, T)).sort(dim=1).values
    return first.unsqueeze(2) + torch.arange(P)


def test_labels_and_mask_equal_explicit_loops():
    symbols = torch.tensor([[5, 1, 4, 6], [2, 3, 0, 0]])
    frame_lens, symbol_lens = torch.tensor([4, 5]), torch.tensor([4, 2])
    ranges = _ranges(4)
    labels = lattice_labels(symbols, ranges)
    mask = lattice_mask(ranges, frame_lens, symbol_lens)
    assert labels.shape == mask.shape == ranges.shape
    count = 0
    for n in range(N):
        text = symbols[n, : symbol_lens[n]].tolist()
        for t in range(T):
            for p in range(P):
                position = int(ranges[n, t, p])
                label = text[position] if position < len(text) else BLANK
                valid = t < frame_lens[n] and position <= len(text)
                assert int(labels[n, t, p]) == label
                assert bool(mask[n, t, p]) == valid
                count += valid
    assert 0 < count < mask.numel()
    assert int(mask.sum()) == count


def test_labels_and_ranges_of_different_batches_are_refused():
    with pytest.raises(OmniError, match=r"symbols of shape \(3, 4\).*\(2, 5, 3\)"):
        lattice_labels(torch.ones(3, 4, dtype=torch.long), _ranges(4))


def test_lengths_and_ranges_of_different_batches_are_refused():
    with pytest.raises(OmniError, match=r"symbol_lens of shape \(1,\).*\(2, 5, 3\)"):
        lattice_mask(_ranges(4), torch.tensor([5, 5]), torch.tensor([4]))


VOCAB = 12
CONFIG = ModelConfig(
    encoder_dim=16, num_heads=2, ffn_dim=32, num_layers=2, dropout=0.0, segment=4,
    right_context=1, left_context=8, decoder_dim=16, joiner_dim=16,
)  # fmt: skip


@pytest.fixture(scope="module")
def lattice():
    """What a tiny recogniser gives k2's pruned loss, and what was said."""
    torch.manual_seed(0)
    x, x_lens = torch.randn(2, 160, 80) * 4 - 7, torch.tensor([160, 90])
    y, y_lens = torch.randint(1, VOCAB, (2, 8)), torch.tensor([8, 3])
    y[1, 3:] = BLANK
    with torch.no_grad():
        out = make_model(CONFIG, VOCAB)(x, x_lens, y, y_lens, prune_range=5, rnnt_type="regular")
    return out, y, y_lens


def test_labels_within_the_mask_are_the_symbols_at_the_models_ranges(lattice):
    out, y, y_lens = lattice
    labels = lattice_labels(y, out.ranges)
    mask = lattice_mask(out.ranges, out.encoder_lens, y_lens)
    assert mask.shape == out.logits.shape[:3]
    n = mask.nonzero()[:, 0]
    positions = out.ranges[mask]
    left = positions < y_lens[n]
    assert torch.equal(labels[mask][left], y[n[left], positions[left]])
    assert (labels[mask][left] != BLANK).all()
    assert (labels[mask][~left] == BLANK).all()
    assert left.any() and not left.all()


def test_labels_and_mask_give_the_models_pruned_loss(lattice):
    """A plain sum over all paths through the masked cells is what k2 computes."""
    out, y, y_lens = lattice
    labels = lattice_labels(y, out.ranges)
    mask = lattice_mask(out.ranges, out.encoder_lens, y_lens)
    log_probs = out.logits.double().log_softmax(-1)
    emit = log_probs.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    blank = log_probs[..., BLANK]
    for n in range(2):
        frames, symbols = int(out.encoder_lens[n]), int(y_lens[n])
        cells = {
            (t, int(out.ranges[n, t, p])): p
            for t in range(frames)
            for p in range(5)
            if mask[n, t, p]
        }
        reach = {(0, 0): torch.zeros((), dtype=torch.float64)}
        for cell in sorted(cells):
            t, s = cell
            if cell == (0, 0):
                continue
            ways = []
            if (t, s - 1) in cells:
                ways.append(reach[t, s - 1] + emit[n, t, cells[t, s - 1]])
            if (t - 1, s) in cells:
                ways.append(reach[t - 1, s] + blank[n, t - 1, cells[t - 1, s]])
            reach[cell] = torch.stack(ways).logsumexp(0) if ways else torch.tensor(-math.inf)
        last = frames - 1, symbols
        loss = -(reach[last] + blank[n, frames - 1, cells[last]])
        torch.testing.assert_close(loss.float(), out.pruned_loss[n], atol=1e-3, rtol=1e-5)
