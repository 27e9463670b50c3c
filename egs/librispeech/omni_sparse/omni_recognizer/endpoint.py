# SPDX-License-Identifier: Apache-2.0
"""When an utterance ends by itself: the three rules of sherpa-onnx, which are Kaldi's."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields

#: What ends the last utterance: the end of the sound.
END = "end"


@dataclass(frozen=True)
class EndpointRules:
    """Names, defaults and meaning as sherpa-onnx's ``--rule1-min-trailing-silence`` and so on.

    Silence is where the search takes blank: nothing is measured in the sound. All in seconds.

    Args:
      rule1_min_trailing_silence: Ends an utterance whether or not anything was decoded.
      rule2_min_trailing_silence: Ends one of which something was decoded.
      rule3_min_utterance_length: Ends one that is so long, in the middle of a word if need be. It
        bounds what the search has to remember.
    """

    rule1_min_trailing_silence: float = 2.4
    rule2_min_trailing_silence: float = 1.2
    rule3_min_utterance_length: float = 20.0


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
        type=_is_true,
        default=True,
        metavar="BOOL",
        help="false: all sound is one utterance, and memory grows with it (default true)",
    )
    for field in fields(EndpointRules):
        group.add_argument(
            "--" + field.name.replace("_", "-"),
            type=_seconds,
            default=field.default,
            metavar="SECONDS",
            help=f"{_HELP[field.name]} (default {field.default:g})",
        )


def endpoint_rules(args: argparse.Namespace) -> EndpointRules | None:
    """What the options say; None where nothing ends an utterance but the sound."""
    if not args.enable_endpoint:
        return None
    return EndpointRules(**{f.name: getattr(args, f.name) for f in fields(EndpointRules)})


# The recipe has such readers of words in emformer/options.py; this package goes without the recipe.
def _is_true(word: str) -> bool:
    try:
        return {"true": True, "false": False}[word.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"expected true or false, got '{word}'") from None


def _seconds(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got '{word}'")
    return value
