# SPDX-License-Identifier: Apache-2.0
"""When an utterance ends by itself; the C library computes the same (omni_runtime/endpoint.c)."""

from __future__ import annotations

from omni_recognizer.endpoint import EndpointRules

_RULES = "rule1", "rule2", "rule3"
#: The rules that end an utterance at a silence.
SILENCES = _RULES[:2]


def ended_by(rules: EndpointRules, length: float, silence: float, is_spoken: bool) -> str | None:
    """``rule1``, ``rule2`` or ``rule3``, the first that ends an utterance now; None if none.

    Args:
      rules: With their limits in seconds.
      length: Of the utterance so far, from the end of the one before.
      silence: Since its last token; all of ``length`` where it has none.
      is_spoken: Whether it has a token.

    >>> ended_by(EndpointRules(), length=3.0, silence=1.2, is_spoken=True)
    'rule2'
    >>> ended_by(EndpointRules(), length=1.2, silence=1.2, is_spoken=False) is None
    True
    """
    if silence >= rules.rule1_min_trailing_silence:
        return _RULES[0]
    if is_spoken and silence >= rules.rule2_min_trailing_silence:
        return _RULES[1]
    return _RULES[2] if length >= rules.rule3_min_utterance_length else None
