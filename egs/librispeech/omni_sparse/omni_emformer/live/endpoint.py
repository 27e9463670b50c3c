# SPDX-License-Identifier: Apache-2.0
"""When an utterance ends by itself: the three rules of sherpa-onnx, which are Kaldi's."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields

from emformer.options import positive_float, str2bool

#: What ends the last utterance: the end of the sound.
END = "end"
_RULES = "rule1", "rule2", "rule3"
#: The rules that end an utterance at a silence.
SILENCES = _RULES[:2]


@dataclass(frozen=True)
class EndpointRules:
    """Names, defaults and meaning as sherpa-onnx's ``--rule1-min-trailing-silence`` and so on.

    Silence is where the search takes blank: nothing is measured in the sound. All in seconds.

    Args:
      rule1_min_trailing_silence: Ends an utterance whether or not anything was decoded.
      rule2_min_trailing_silence: Ends one of which something was decoded.
      rule3_min_utterance_length: Ends one that is so long, in the middle of a word if need be. It
        bounds what the search has to remember.

    >>> EndpointRules().ended_by(length=3.0, silence=1.2, is_spoken=True)
    'rule2'
    >>> EndpointRules().ended_by(length=1.2, silence=1.2, is_spoken=False) is None
    True
    """

    rule1_min_trailing_silence: float = 2.4
    rule2_min_trailing_silence: float = 1.2
    rule3_min_utterance_length: float = 20.0

    def ended_by(self, length: float, silence: float, is_spoken: bool) -> str | None:
        """``rule1``, ``rule2`` or ``rule3``, the first that ends an utterance now; None if none.

        Args:
          length: Of the utterance so far, from the end of the one before.
          silence: Since its last token; all of ``length`` where it has none.
          is_spoken: Whether it has a token.
        """
        if silence >= self.rule1_min_trailing_silence:
            return _RULES[0]
        if is_spoken and silence >= self.rule2_min_trailing_silence:
            return _RULES[1]
        return _RULES[2] if length >= self.rule3_min_utterance_length else None


_HELP = {
    "rule1_min_trailing_silence": "seconds of silence that end an utterance, said or not",
    "rule2_min_trailing_silence": "the same once something was said",
    "rule3_min_utterance_length": "seconds after which an utterance ends whatever is said",
}


def add_endpoint_options(parser: argparse.ArgumentParser) -> None:
    """The options that :func:`endpoint_rules` reads, named as sherpa-onnx's."""
    group = parser.add_argument_group("where utterances end")
    group.add_argument(
        "--enable-endpoint",
        type=str2bool,
        default=True,
        metavar="BOOL",
        help="false: all sound is one utterance, and memory grows with it (default true)",
    )
    for field in fields(EndpointRules):
        group.add_argument(
            "--" + field.name.replace("_", "-"),
            type=positive_float,
            default=field.default,
            metavar="SECONDS",
            help=f"{_HELP[field.name]} (default {field.default:g})",
        )


def endpoint_rules(args: argparse.Namespace) -> EndpointRules | None:
    """What the options say; None where nothing ends an utterance but the sound."""
    if not args.enable_endpoint:
        return None
    return EndpointRules(**{f.name: getattr(args, f.name) for f in fields(EndpointRules)})
