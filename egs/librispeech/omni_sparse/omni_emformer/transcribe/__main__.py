# SPDX-License-Identifier: Apache-2.0
"""Transcribes sound files, a microphone or what is piped in, with a sub-network of your choice.

Usage:
  python3 -m omni_emformer.transcribe --model small.packed speech.wav
  python3 -m omni_emformer.transcribe --model small.packed *.flac
  python3 -m omni_emformer.transcribe --model small.packed --format srt --output-dir subtitles *.wav
  python3 -m omni_emformer.transcribe --model exp/synthetic/omni --compare 0,0.5,0.9 speech.wav
  python3 -m omni_emformer.transcribe --model exp/synthetic/omni --subnet front/3 mic
  sox speech.ogg -t s16 -r 16000 -c 1 - | python3 -m omni_emformer.transcribe --model small.packed -

Texts go to standard output: a line an utterance, as soon as it ends, after the file's name where
there are several. To standard error go what the model is, what is still being said (of a microphone
or a pipe) and at the end the real-time factor: processor time of one thread for a second of sound.
Only --runtime packed gains speed from zeros: torch and onnx multiply by them.

A file that cannot be read is told in a line, the others go on, and the exit status is 1.

--format srt: a subtitle an utterance. --format json: an object a file, with text, seconds, model
(name, subnet, num_params, num_nonzero, sparsity, file_bytes, ...), real_time_factor and segments;
each segment has text, start, end, ended_by and words; each word text, start, end, tokens and their
timestamps. Times are seconds from the start of the sound. omni_emformer/live/formats.py has it all.

An utterance ends by itself at silence, by the three rules of sherpa-onnx. How long the sound is
makes no difference to time and memory that a second of it takes.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from emformer.data.asr_datamodule import AsrDataModule
from emformer.data.features import SAMPLE_RATE
from emformer.decoding.options import add_weights_options
from emformer.decoding.search import METHODS
from emformer.errors import RecipeError, run_main
from emformer.options import Parser, positive_int, str2bool
from omni_emformer.export.sherpa import KINDS
from omni_emformer.live.audio import MICROPHONE, STDIN
from omni_emformer.live.files import TranscriptFolder
from omni_emformer.live.formats import FORMATS
from omni_emformer.live.microphone import sounddevice_or_say
from omni_emformer.supernet.options import add_system_option, parse_subnet, parse_subnets
from omni_emformer.transcribe.models import RUNTIMES, open_models
from omni_emformer.transcribe.printing import Results, say
from omni_emformer.transcribe.session import LIVE, Session
from omni_recognizer.endpoint import add_endpoint_options, endpoint_rules

_STOPPED = 130  # exit status of what Ctrl-C ended


def get_parser() -> argparse.ArgumentParser:
    parser = Parser(__doc__, "omni_emformer.transcribe")
    parser.add_argument(
        "audio",
        nargs="+",
        metavar="FILE",
        help=f"sound files; {STDIN} for standard input (any of these, or 16-bit mono PCM); "
        f"{MICROPHONE} for a microphone, which Ctrl-C ends",
    )
    _add_model_options(parser)
    out = parser.add_argument_group("what is written")
    out.add_argument("--format", choices=list(FORMATS), default="text", help="default text")
    out.add_argument(
        "--output-dir", type=Path, metavar="DIR", help="a file of each sound, in place of printing"
    )
    out.add_argument("--force", action="store_true", help="overwrite files in --output-dir")
    out.add_argument(
        "--partial",
        type=str2bool,
        metavar="BOOL",
        help=f"show texts while they are said (default: of {STDIN} and {MICROPHONE})",
    )
    parser.add_argument(
        "--rate", type=positive_int, default=SAMPLE_RATE, help="of PCM, in Hz (default 16000)"
    )
    add_endpoint_options(parser)
    add_weights_options(parser.add_argument_group("which weights of an experiment"))
    AsrDataModule.add_arguments(parser)  # what --system calibrates on
    parser.set_defaults(corpus=None)  # the checkpoint knows it
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--model",
        type=Path,
        help="a packed file, a folder with one, or an experiment's folder, where training wrote",
    )
    where.add_argument("--exp-dir", type=Path, help="an experiment's folder")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--subnet",
        type=parse_subnet,
        help="its sparsity, or name such as units-4 or front/3 (default: the largest)",
    )
    which.add_argument(
        "--compare", type=parse_subnets, metavar="0,0.5,0.9", help="several, side by side"
    )
    parser.add_argument("--runtime", choices=RUNTIMES, help="default packed")
    parser.add_argument(
        "--values", choices=list(KINDS), help="default float32, or what a packed file has"
    )
    parser.add_argument(
        "--method", choices=list(METHODS)[:2], default="greedy_search", help="default greedy_search"
    )
    add_system_option(parser)


def main(argv: Sequence[str] | None = None) -> int:
    parser = get_parser()
    args = parser.parse_args(argv)
    if sum(name in LIVE for name in args.audio) > 1:
        parser.error("one of FILE at the most may be - or mic")
    if args.format == "srt" and args.output_dir is None and len(args.audio) + _more(args) > 1:
        parser.error("--format srt of several files or sub-networks needs --output-dir")
    if args.force and args.output_dir is None:
        parser.error("--force is about files in --output-dir")
    if MICROPHONE in args.audio:
        sounddevice_or_say()
    torch.set_num_threads(1)
    loaded = open_models(args)
    several = [one.heard.subnet for one in loaded] if len(loaded) > 1 else []
    folder = None
    if args.output_dir is not None:
        folder = TranscriptFolder(args.output_dir, FORMATS[args.format], args.force, several)
        folder.check(args.audio)
    for one in loaded:
        say(str(one.heard))
    rules = endpoint_rules(args)
    session = Session(
        [functools.partial(one.start, args.method, rules) for one in loaded],
        [one.heard for one in loaded],
        Results(args.format, folder, len(args.audio) > 1, bool(several)),
    )
    failed = False
    try:
        for name in args.audio:
            try:
                session.hear(name, args.rate, args.partial)
            except RecipeError as e:
                say(f"error: {e}")
                failed = True
    except KeyboardInterrupt:
        say("stopped")
        return _STOPPED
    session.report()
    return int(failed)


def _more(args: argparse.Namespace) -> int:
    """Sub-networks beside the first."""
    return len(args.compare or [0]) - 1


if __name__ == "__main__":
    sys.exit(run_main(main))
