# SPDX-License-Identifier: Apache-2.0
"""A sub-network: one sparsity for each covered weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Union

from omni_plugin.errors import OmniError
from omni_plugin.patterns import check_sparsity
from omni_plugin.supernet.rules import names_found


@dataclass(frozen=True)
class SubNet:
    """What to prune.

    Args:
      levels: Sparsity of each covered weight, in the supernet's order.
      name: How reports call it.
    """

    levels: tuple[float, ...]
    name: str = ""

    @property
    def is_dense(self) -> bool:
        return not any(self.levels)

    @property
    def is_uniform(self) -> bool:
        return len(set(self.levels)) <= 1


# What names a sub-network: itself, "dense", "sparsest", one level, one level a weight, or levels by
# regular expressions on the weights' names.
Choice = Union[SubNet, str, float, Sequence[float], Mapping[str, float]]  # noqa: UP007


def parse_choice(choice: Choice, names: Sequence[str], max_sparsity: float) -> SubNet:
    """The sub-network that a choice means; levels are not yet checked against pattern and number.

    Args:
      choice: See :meth:`omni_plugin.supernet.SuperNet.subnet`.
      names: Of the covered weights.
      max_sparsity: Level of ``sparsest``.

    Raises:
      OmniError: A word or rule means nothing, or a global level is outside [0, 1).
    """
    if isinstance(choice, SubNet):
        return choice
    if isinstance(choice, str):
        return _by_word(choice, len(names), max_sparsity)
    if isinstance(choice, Mapping):
        return SubNet(_by_rules(choice, names), "by-name")
    if isinstance(choice, Sequence):
        return SubNet(tuple(choice), "layer-wise")
    level = check_sparsity(choice)
    return SubNet((level,) * len(names), f"{level:.2f}")


def _by_word(word: str, number: int, max_sparsity: float) -> SubNet:
    named = {"dense": 0.0, "sparsest": max_sparsity}
    try:
        level = named[word] if word in named else float(word)
    except ValueError:
        raise OmniError(
            f"no sub-network is called {word!r}; say dense, sparsest, or a sparsity"
        ) from None
    return SubNet((check_sparsity(level),) * number, word if word in named else f"{level:.2f}")


def _by_rules(rules: Mapping[str, float], names: Sequence[str]) -> tuple[float, ...]:
    levels = dict.fromkeys(names, 0.0)
    for rule, level in rules.items():
        found = names_found(rule, names, "rule", f"finds none of the {len(names)} covered weights")
        levels.update(dict.fromkeys(found, level))
    return tuple(levels.values())
