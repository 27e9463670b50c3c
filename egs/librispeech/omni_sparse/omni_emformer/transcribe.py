# SPDX-License-Identifier: Apache-2.0
"""Live demo: transcribes audio as it comes, with a sub-network of your choice, or with several.

Usage:
  python3 -m omni_emformer.transcribe --exp-dir exp/synthetic/omni --subnet 0.9 speech.wav
  python3 -m omni_emformer.transcribe --exp-dir exp/synthetic/omni --compare 0,0.5,0.9 speech.wav
  sox speech.flac -t s16 -r 16000 -c 1 - | \\
    python3 -m omni_emformer.transcribe --exp-dir exp/synthetic/omni --subnet front/3 -

Prints a line whenever a text changes, and at the end each sub-network's text and real-time factor:
processor time of one thread (features, encoder and search) for one second of audio. Only --runtime
packed gains speed from zeros: torch and onnx multiply by them.

--epoch, --avg and the other options of emformer.decode that say which weights may follow.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from emformer.data.features import SAMPLE_RATE
from emformer.decoding import options as decode_options
from emformer.decoding.model import DecodingInfo
from emformer.decoding.search import METHODS, make_search
from emformer.errors import RecipeError, run_main
from emformer.model import Transducer
from emformer.options import Parser, positive_int
from omni_emformer.export.info import INFO, read_info, write_info
from omni_emformer.export.onnx_export import write_onnx
from omni_emformer.export.onnx_model import OnnxTransducer, load_onnx
from omni_emformer.export.sherpa import KINDS
from omni_emformer.live.audio import MICROPHONE, STDIN, read_audio
from omni_emformer.live.features import LiveFeatures, silence_after
from omni_emformer.runtime.model import load_packed, pack_transducers
from omni_emformer.supernet.options import (
    add_system_option,
    open_subnets,
    parse_subnet,
    parse_subnets,
)

_TIMED = 0.1  # seconds of sound from which on a factor says something
RUNTIMES = ("packed", "torch", "onnx")
Model = Transducer | OnnxTransducer


class Transcriber:
    """One sub-network at one stream.

    Args:
      model: What streaming decoding asks of a transducer.
      info: Of the model.
      method: Of search.

    Attributes:
      seconds: Processor time of this thread, in all.
    """

    @torch.no_grad()
    def __init__(self, model: Model, info: DecodingInfo, method: str = "greedy_search") -> None:
        self.model, self.info = model, info
        self._search = make_search(method, model)
        # The first call of a runtime prepares what all later ones need.
        window = torch.zeros(1, model.window_frames, info.config.model.feature_dim)
        out, _ = model.encode_chunk(window, None)
        self._search.start(1)
        self._search.accept(out, torch.tensor([out.size(1)]))
        self.start()

    def start(self) -> None:
        """Begin another stream."""
        self.seconds, self._states = 0.0, None
        self._frames = torch.zeros(0, self.info.config.model.feature_dim)
        self._search.start(1)

    @torch.no_grad()
    def accept(self, frames: Tensor) -> None:
        """Take new feature frames of shape ``(T, F)``, and run the chunks that they complete."""
        start = time.thread_time()
        self._frames = torch.cat([self._frames, frames])
        step, window = self.model.chunk_frames, self.model.window_frames
        while len(self._frames) >= window:
            x = self._frames[None, :window]
            out, self._states = self.model.encode_chunk(x, self._states)
            self._search.accept(out, torch.tensor([out.size(1)]))
            self._frames = self._frames[step:]
        self.seconds += time.thread_time() - start

    @property
    def text(self) -> str:
        return " ".join(self.info.words(self._search.hypotheses()[0]))


class Stream:
    """One stream of audio to one or several transcribers, and what it prints.

    Args:
      transcribers: Of models with the same chunks.
    """

    def __init__(self, transcribers: Sequence[Transcriber]) -> None:
        self.transcribers = transcribers
        self._features, self._samples, self._feature_seconds = LiveFeatures(), 0, 0.0
        self._shown = [""] * len(transcribers)
        for one in transcribers:
            one.start()

    def accept(self, samples: np.ndarray) -> None:
        """Take samples at 16 kHz of shape ``(num_samples,)``; prints what is new in the texts."""
        self._samples += len(samples)
        self._run(samples)

    def finish(self) -> None:
        """Run the last chunks, and print the results."""
        self._run(silence_after(self._samples, self.transcribers[0].info.config.model))
        seconds = self._samples / SAMPLE_RATE
        print(f"\n{seconds:.2f} s of audio, {torch.get_num_threads()} thread")
        for one in self.transcribers:
            spent, info = self._feature_seconds + one.seconds, one.info
            factor = f"{spent / seconds:.4f}" if seconds >= _TIMED else "-"
            print(
                f"{info.subnet:>8}  {info.num_nonzero:,} of {info.num_params:,} parameters, "
                f"real-time factor {factor}: {one.text}"
            )

    def _run(self, samples: np.ndarray) -> None:
        start = time.thread_time()
        frames = self._features.accept(samples)
        self._feature_seconds += time.thread_time() - start
        for one in self.transcribers:
            one.accept(frames)
        texts = [one.text for one in self.transcribers]
        if texts != self._shown:
            self._shown, at = texts, f"{self._samples / SAMPLE_RATE:7.2f} s"
            for one, text in zip(self.transcribers, texts, strict=True):
                name = f"{one.info.subnet:>8}  " if len(texts) > 1 else ""
                print(f"{at}  {name}{text}", flush=True)
                at = " " * len(at)


def load(
    model: Transducer, info: DecodingInfo, runtime: str, values: str, folder: Path
) -> tuple[Model, DecodingInfo]:
    """A sub-network in the runtime that is asked for.

    Args:
      model, info: With plain weights.
      runtime: One of :data:`RUNTIMES`.
      values: ``float32`` or ``int8``.
      folder: Empty, for the runtime's files.

    Raises:
      RecipeError: PyTorch has no int8.
    """
    if runtime == "packed":
        pack_transducers(folder / "packed", [lambda: (model, info)], values)
        return load_packed(folder / "packed", info.subnet)
    if runtime == "onnx":
        write_onnx(model, info, folder, int8=values == "int8")
        write_info(folder, info)
        return load_onnx(folder, values)
    if values != "float32":
        raise RecipeError(f"--values {values}: --runtime torch has float32 only")
    return model, info


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(__doc__, "omni_emformer.transcribe")
    parser.add_argument(
        "audio",
        nargs="+",
        metavar="FILE",
        help=f"sound files; {STDIN} for standard input (any of these, or 16-bit mono PCM); "
        f"{MICROPHONE} for a microphone",
    )
    parser.add_argument("--exp-dir", required=True, help="where training wrote")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--subnet",
        type=parse_subnet,
        default=0.0,
        help="its sparsity, or name such as units-4 or front/3 (default 0)",
    )
    which.add_argument(
        "--compare", type=parse_subnets, metavar="0,0.5,0.9", help="several, side by side"
    )
    parser.add_argument("--runtime", choices=RUNTIMES, default="packed", help="default packed")
    parser.add_argument("--values", choices=list(KINDS), default="float32", help="default float32")
    parser.add_argument("--method", choices=list(METHODS)[:2], default="greedy_search")
    parser.add_argument(
        "--rate", type=positive_int, default=SAMPLE_RATE, help="of PCM, in Hz (default 16000)"
    )
    add_system_option(parser)
    args, rest = parser.parse_known_args(argv)
    options = decode_options.get_parser(None).parse_args(["--exp-dir", args.exp_dir, *rest])
    if sum(name in (STDIN, MICROPHONE) for name in args.audio) > 1:
        parser.error("one of FILE at the most may be - or mic")
    for name in args.audio:
        if name not in (STDIN, MICROPHONE) and not Path(name).is_file():
            raise RecipeError(f"{name}: no audio that can be read (no such file)")
    torch.set_num_threads(1)
    subnets = open_subnets(options, args.system)
    if (options.exp_dir / INFO).exists():  # an export, which is one sub-network of another's
        subnets.info.subnet = read_info(options.exp_dir).subnet
    transcribers = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, name in enumerate(args.compare or [args.subnet]):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            made = subnets.make(name)
            loaded = load(*made, args.runtime, args.values, folder)
            transcribers.append(Transcriber(*loaded, args.method))
    for name in args.audio:
        if len(args.audio) > 1:
            print(f"\n{name}")
        stream = Stream(transcribers)
        try:
            for samples in read_audio(name, args.rate):
                stream.accept(samples)
        except KeyboardInterrupt:  # ends a microphone's stream
            pass
        stream.finish()


if __name__ == "__main__":
    sys.exit(run_main(main))
