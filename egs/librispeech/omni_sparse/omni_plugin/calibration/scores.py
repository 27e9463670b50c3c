# SPDX-License-Identifier: Apache-2.0
"""What a block is worth: magnitude, Wanda, Optimal Brain Surgeon."""

from __future__ import annotations

from torch import Tensor

from omni_plugin.calibration.moments import Moments
from omni_plugin.calibration.obs import obs_scores
from omni_plugin.patterns import Pattern


def wanda_scores(weight: Tensor, gram: Tensor, pattern: Pattern) -> Tensor:
    """Root of the mean square of the weights times their inputs' norms, of shape ``(G, H)``.

    Sun et al., "A Simple and Effective Pruning Approach for Large Language Models" (2024), whose
    score of a single weight is ``|w| |x|``.
    """
    norms = gram.diagonal().clamp_min(0).sqrt()
    return pattern.blocks(weight * norms).square().mean(dim=(1, 3)).sqrt()


def block_scores(score: str, moments: Moments, pattern: Pattern, damping: float, bias: bool):
    """Scores of a layer's blocks, of shape ``(G, H)``, by the inputs it has in the whole model.

    Args:
      score: A name in :data:`SCORES`.
      moments: With the whole model's inputs as the pruned one's.
      pattern: Forms the blocks.
      damping: See :func:`omni_plugin.calibration.least_squares.least_squares`.
      bias: Whether a bias will make good for means.
    """
    if score == "magnitude":
        return pattern.scores(moments.weight)
    if score == "wanda":
        return wanda_scores(moments.weight, moments.gram, pattern)
    gram = moments.centred()[0] if bias else moments.gram
    return obs_scores(moments.weight, gram, pattern, damping)


SCORES = ("obs", "wanda", "magnitude")
