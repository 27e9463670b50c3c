# SPDX-License-Identifier: Apache-2.0
"""Rules that name weights: regular expressions."""

from __future__ import annotations

import re
from collections.abc import Iterable

from omni_plugin.errors import OmniError


def names_found(rule: str, names: Iterable[str], what: str, none: str) -> list[str]:
    """The names in which a rule is found (``re.search``), in order.

    Args:
      rule: A regular expression.
      names: Of weights.
      what: How errors call the rule, such as ``include rule``.
      none: What errors say where it is found in no name, such as ``finds none of the weights``.

    Raises:
      OmniError: The rule is no regular expression, or is found in no name.
    """
    names = list(names)
    if not isinstance(rule, str):
        raise OmniError(f"{what} {rule!r:.60} is no text; rules are regular expressions")
    try:
        found = [name for name in names if re.search(rule, name)]
    except re.error as e:
        raise OmniError(f"{what} {rule!r} is not a regular expression: {e}") from None
    if not found:
        like = ", ".join(names[:3]) or "(there are none)"
        raise OmniError(f"{what} {rule!r} {none}; their names are like {like}")
    return found
