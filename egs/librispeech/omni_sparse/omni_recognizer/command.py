# SPDX-License-Identifier: Apache-2.0
"""Prints what is said in SOUND, a line an utterance.

The options, and what is printed, are those of the C program of the same name (make in
omni_runtime); this one also takes a folder for MODEL, reads more than wav where the package
soundfile is installed, and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from omni_recognizer.endpoint import add_endpoint_options, endpoint_rules
from omni_recognizer.errors import RecognizerError
from omni_recognizer.model import Model, load
from omni_recognizer.sound import read_sound
from omni_recognizer.transcript import Segment, Transcript

_NAME = "omni-transcribe"
_NOBODY_READS = 128 + 13  # SIGPIPE, as shells have it
_INTERRUPTED = 128 + 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_NAME,
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help="a packed file, or a folder with one")
    parser.add_argument(
        "sound",
        metavar="SOUND",
        nargs="?",
        help="a file at 16 kHz, of whose channels it is the mean; - for standard input: a wav "
        "file, or 16-bit little-endian PCM of one channel",
    )
    level = parser.add_mutually_exclusive_group()
    level.add_argument(
        "--sparsity",
        metavar="X",
        help="the level with a share X of zeros, such as 0.7 (default: the file's first level)",
    )
    level.add_argument(
        "--subnet", metavar="NAME", help="the level of a name, such as dense or front/3"
    )
    parser.add_argument(
        "--beam-size",
        type=int,
        default=1,
        metavar="N",
        help="modified beam search with N hypotheses, such as 4 (default 1: greedy search)",
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--timestamps",
        action="store_true",
        help="a line a word: seconds of the encoder frame that began it, and the word",
    )
    shown.add_argument(
        "--json", action="store_true", help="one line of JSON: text, utterances, words, times"
    )
    shown.add_argument("--list", action="store_true", help="names and sparsities of the levels")
    add_endpoint_options(parser)
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """The command.

    Args:
      words: Its arguments; by default the process's.

    Returns:
      Its exit status.
    """
    parser = _parser()
    args = parser.parse_args(words)
    if args.sound is None and not args.list:
        parser.error("SOUND is missing")
    try:
        model = load(args.model)
        if args.list:
            for name, sparsity in model.levels.items():
                print(f"{name}\t{sparsity:.4f}")
        else:
            _transcribe(model, args)
        sys.stdout.flush()
    except RecognizerError as e:
        print(f"{_NAME}: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # What is still to be written at the exit goes nowhere, or Python would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _NOBODY_READS
    return 0


def _transcribe(model: Model, args: argparse.Namespace) -> None:
    sparsity = args.subnet if args.sparsity is None else args.sparsity
    options = sparsity, args.beam_size, endpoint_rules(args)
    if args.json:
        transcript: Transcript = model.transcribe(args.sound, *options)
        print(json.dumps(transcript.to_dict(), ensure_ascii=False))
        return
    stream = model.stream(*options)
    for block in read_sound(model.library, args.sound):
        _print(stream.accept(block), args.timestamps)
    _print(stream.finish(), args.timestamps)


def _print(segments: Sequence[Segment], timestamps: bool) -> None:
    for segment in segments:
        if timestamps:
            for word in segment.words:
                print(f"{word.start:.2f} {word.text}")
        else:
            print(segment.text)
        sys.stdout.flush()
