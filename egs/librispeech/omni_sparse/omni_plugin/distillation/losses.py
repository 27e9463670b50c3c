# SPDX-License-Identifier: Apache-2.0
"""How far a sub-network's outputs are from the full network's, cell by cell of the lattice.

N: batch size; T: frames; P: prune range; V: vocabulary. In formulas, p is the teacher's and q the
student's distribution over V in one cell.

A new form is a function of ``(student, teacher, labels)`` and a name in :data:`DISTILLATIONS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from omni_plugin.distillation.lattice import BLANK
from omni_plugin.errors import OmniError
from omni_plugin.options import named

#: Name of :func:`encoder_distance`, which needs no lattice.
ENCODER = "encoder"

# Largest q / p that counts in the gradient of the divergence with alpha = -1.
MAX_RATIO = 5.0


def distillation_loss(
    kind: str, student: Tensor, teacher: Tensor, labels: Tensor | None = None
) -> Tensor:
    """Divergence of the student from the teacher in each cell.

    Computed in float32 whatever the logits and autocast are (float64 stays float64). Only the
    student gets a gradient.

    Padding has values too: multiply by :func:`lattice_mask`, or pick cells by it beforehand, which
    saves their computation (any number of leading dimensions will do).

    Args:
      kind: A name in :data:`DISTILLATIONS`.
      student, teacher: Logits of shape ``(N, T, P, V)`` on lattices of the same prune ranges.
      labels: The symbol each cell would emit, of shape ``(N, T, P)``; ``label-blank`` needs it. See
        :func:`lattice_labels`.

    Returns:
      Of shape ``(N, T, P)``, in nats: 0 where the distributions (for ``label-blank``, those over
      its classes) are equal, else positive, up to rounding.

    Raises:
      OmniError: The kind is unknown, shapes do not fit, or labels are missing.

    >>> import torch
    >>> teacher = torch.tensor([[[[0.5, 0.5]]]]).log()
    >>> student = torch.tensor([[[[0.75, 0.25]]]]).log()
    >>> distillation_loss("kl", student, teacher)
    tensor([[[0.1438]]])
    """
    loss = named(DISTILLATIONS, "distillation", kind)
    if student.shape != teacher.shape:
        raise OmniError(
            f"distillation {kind}: student logits of shape {tuple(student.shape)} and teacher "
            f"logits of shape {tuple(teacher.shape)}; run both with the teacher's prune ranges"
        )
    dtype = torch.float64 if student.dtype == torch.float64 else torch.float32
    with torch.autocast(device_type=student.device.type, enabled=False):
        return loss(student.to(dtype), teacher.detach().to(dtype), labels)


def encoder_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of each frame, the teacher's values being as they are.

    Computed in float32 whatever the outputs and autocast are (float64 stays float64). Only the
    student gets a gradient.

    Args:
      student, teacher: What the encoders gave, of shape ``(N, T, D)``.

    Returns:
      Of shape ``(N, T)``.

    Raises:
      OmniError: Shapes do not fit.

    >>> import torch
    >>> encoder_distance(torch.zeros(1, 2, 4), torch.tensor([[[2.0] * 4, [0.0] * 4]]))
    tensor([[4., 0.]])
    """
    if student.shape != teacher.shape:
        raise OmniError(
            f"distillation {ENCODER}: the student's outputs are of shape {tuple(student.shape)}, "
            f"the teacher's of shape {tuple(teacher.shape)}; run both on the same utterances"
        )
    dtype = torch.float64 if student.dtype == torch.float64 else torch.float32
    with torch.autocast(device_type=student.device.type, enabled=False):
        return (student.to(dtype) - teacher.detach().to(dtype)).square().mean(-1)


def kl(student: Tensor, teacher: Tensor, labels: Tensor | None = None) -> Tensor:
    """``KL(p || q) = sum p log(p / q)`` over the vocabulary."""
    return _kl(student.log_softmax(-1), teacher.log_softmax(-1))


def label_blank(student: Tensor, teacher: Tensor, labels: Tensor | None = None) -> Tensor:
    """``KL(p || q)`` over three classes: the label, blank, and all the rest.

    From Panchapagesan et al., "Efficient knowledge distillation for RNN-transducer models", 2021.
    Where no label is left there are only two classes, blank and the rest.
    """
    if labels is None:
        raise OmniError("distillation label-blank needs labels; make them with lattice_labels")
    if labels.shape != student.shape[:-1]:
        raise OmniError(
            f"distillation label-blank: labels of shape {tuple(labels.shape)} for logits of shape "
            f"{tuple(student.shape)}; there must be one for each cell"
        )
    labels = labels.long()
    return _kl(*(_three_classes(logits, labels).log_softmax(-1) for logits in (student, teacher)))


def alpha(student: Tensor, teacher: Tensor, labels: Tensor | None = None) -> Tensor:
    """The larger of the alpha-divergences with alpha = -1 and +1, in each cell by itself.

    From Wang et al., "AlphaNet: improved training of supernets with alpha-divergence", 2021:
    +1 punishes a student that misses what the teacher deems likely, -1 one that deems likely
    what the teacher does not. Only the larger one has a gradient, the other none.

    The divergence is ``1 / (alpha (alpha - 1)) * sum q ((p / q)^alpha - 1)``. For alpha to +1 its
    limit is ``KL(p || q)``. For alpha = -1 it is ``(sum q^2 / p - 1) / 2``, which is the same as
    ``sum (q - p)^2 / (2 p)``, whose gradient in q is the ratio ``q / p`` (less 1, which changes
    nothing, q having the sum 1). The ratio is clipped at c = :data:`MAX_RATIO` in that gradient;
    the term whose gradient is ``min(q / p, c) - 1`` goes on as a straight line from ``q = c p``
    on::

        (q - p)^2 / (2 p)                if q <= c p
        (c - 1) q - (c^2 - 1) / 2 * p    else
    """
    log_q, log_p = student.log_softmax(-1), teacher.log_softmax(-1)
    return torch.maximum(_kl(log_q, log_p), _clipped_alpha_minus_one(log_q, log_p))


DISTILLATIONS: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "kl": kl,
    "label-blank": label_blank,
    "alpha": alpha,
}


def _kl(log_q: Tensor, log_p: Tensor) -> Tensor:
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)


def _three_classes(logits: Tensor, labels: Tensor) -> Tensor:
    """Logits ``(..., 3)`` of the label, blank, and the rest, which is added up as logarithms."""
    # Not -inf, from which a gradient would be NaN: probability 0, but a difference of two is 0.
    nothing = torch.finfo(logits.dtype).min / 2
    label = logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    taken = torch.stack([labels, torch.full_like(labels, BLANK)], dim=-1)
    rest = logits.scatter(-1, taken, nothing).logsumexp(-1)
    return torch.stack([label.masked_fill(labels == BLANK, nothing), logits[..., BLANK], rest], -1)


def _clipped_alpha_minus_one(log_q: Tensor, log_p: Tensor) -> Tensor:
    """See :func:`alpha`; every term is at least 0 and finite, however small p is."""
    c = MAX_RATIO
    log_ratio = log_q - log_p
    # Clipped before exp: where() hands a gradient of 0 to what it does not choose, and 0 times
    # infinity is NaN.
    below = log_p.exp() * log_ratio.clamp(max=math.log(c)).expm1().square() / 2
    beyond = (c - 1) * log_q.exp() - (c * c - 1) / 2 * log_p.exp()
    return torch.where(log_ratio <= math.log(c), below, beyond).sum(-1)
