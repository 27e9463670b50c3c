# SPDX-License-Identifier: Apache-2.0
"""Small dense models to compare sub-networks with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from emformer.config import ModelConfig
from emformer.errors import RecipeError
from emformer.model import make_model, num_deployed_parameters
from omni_emformer.supernet.loader import make_supernet
from omni_plugin import SparsitySettings


def narrower(
    model: ModelConfig, vocab_size: int, sparsity: SparsitySettings, level: float
) -> ModelConfig:
    """A dense model with as many parameters as a sub-network has that are not zero.

    ``encoder_dim`` and ``ffn_dim`` shrink in proportion, ``num_heads`` and all else stay. Since
    ``encoder_dim`` goes in steps of the heads, ``ffn_dim`` makes up for the last difference.

    Args:
      model: The model that the sub-network is one of.
      vocab_size: Symbols.
      sparsity: Its pattern, and which weights it covers.
      level: Of the sub-network.

    Raises:
      RecipeError: The settings do not fit the model, or no model is so small.
    """
    supernet = make_supernet(make_model(model, vocab_size), sparsity)
    wanted = num_deployed_parameters(supernet.model) - supernet.num_zeros(level)
    share = model.ffn_dim / model.encoder_dim

    def at(heads: int, more: int = 0) -> ModelConfig:
        """The model with heads of that width."""
        dim = heads * model.num_heads
        return replace(model, encoder_dim=dim, ffn_dim=round(share * dim) + more)

    def size(found: ModelConfig) -> int:
        return num_deployed_parameters(make_model(found, vocab_size))

    widest = model.encoder_dim // model.num_heads
    width = _last(lambda heads: size(at(heads)) <= wanted, widest)
    if width == 0:
        raise RecipeError(
            f"level {level} leaves {wanted} parameters; the narrowest dense model with "
            f"{model.num_heads} heads has {size(at(1))}"
        )
    width = min(width, width + 1, key=lambda heads: abs(size(at(heads)) - wanted))
    rest = wanted - size(at(width))
    return at(width, more=round(rest / (size(at(width, 1)) - size(at(width)))))


def _last(fits: Callable[[int], bool], most: int) -> int:
    """The largest number up to ``most`` that fits, where all smaller ones do; 0 if none does."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def shallower(model: ModelConfig, level: float) -> ModelConfig:
    """The model without a share of its encoder's layers, in whole layers."""
    return replace(model, num_layers=max(1, round((1 - level) * model.num_layers)))
