# SPDX-License-Identifier: Apache-2.0
"""Decodes by sherpa-onnx, in a process of its own: it ends a process whose files it cannot use.

The child, ``python3 -m omni_emformer.export.sherpa``, gets utterances on its standard input: a line
with the number of samples and the name, and the samples as float32. It writes a line of JSON for
each text to a file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from emformer.errors import RecipeError
from emformer.options import Parser

#: Files of an export: one of each of :data:`KINDS` for each part, and the symbols.
PARTS = ("encoder", "decoder", "joiner")
KINDS = {"float32": ".onnx", "int8": ".int8.onnx"}
TOKENS = "tokens.txt"
#: Methods of ours that sherpa-onnx has, too.
METHODS = ("greedy_search", "modified_beam_search")
_RATE = 16000


@dataclass(frozen=True)
class Text:
    """What sherpa-onnx said to an utterance.

    Args:
      id: Of the utterance.
      kind: Of the files, one of :data:`KINDS`.
      method: One of :data:`METHODS`.
      words: The text.
      seconds: Processor time of its thread.
    """

    id: str
    kind: str
    method: str
    words: list[str]
    seconds: float


def decode_by_sherpa(
    folder: Path,
    sounds: Iterable[tuple[str, np.ndarray]],
    kinds: Sequence[str] = ("float32",),
    methods: Sequence[str] = ("greedy_search",),
    beam_size: int = 4,
) -> list[Text]:
    """Decode utterances one by one, on one thread, by every kind and method in turn.

    Args:
      folder: Of an export.
      sounds: Names and samples in [-1, 1] at 16 kHz, of shape ``(num_samples,)``, float32. What
        comes after the last whole window is not heard: see
        :func:`omni_emformer.live.features.with_silence`.
      kinds, methods: Which files, and how to search.
      beam_size: Of the beam search.

    Raises:
      RecipeError: The process failed; says how.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out, log = Path(scratch) / "texts.jsonl", Path(scratch) / "log"
        command = [sys.executable, "-m", "omni_emformer.export.sherpa", str(folder), str(out)]
        command += ["--kinds", *kinds, "--methods", *methods, "--beam-size", str(beam_size)]
        with open(log, "wb") as said:
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stderr=said, env=child_environment()
            )
            try:
                for name, samples in sounds:
                    child.stdin.write(f"{len(samples)} {name}\n".encode())
                    child.stdin.write(np.ascontiguousarray(samples, dtype="<f4").tobytes())
                child.stdin.close()
            except BrokenPipeError:
                pass  # it has ended; its status tells
            finally:
                status = child.wait()
        if status:
            words = " ".join(log.read_text(errors="replace").split())
            raise RecipeError(f"sherpa-onnx ended with {status} on {folder}: {words[-300:]}")
        return [Text(**json.loads(line)) for line in out.read_text().splitlines()]


def child_environment() -> dict[str, str]:
    """Of a process that shall find the modules that this one finds."""
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return {**os.environ, "PYTHONPATH": paths}


def make_recognizer(folder: Path, kind: str, method: str, beam_size: int):
    """sherpa-onnx's streaming recogniser of an export."""
    import sherpa_onnx

    return sherpa_onnx.OnlineRecognizer.from_transducer(
        tokens=str(folder / TOKENS),
        **{part: str(folder / f"{part}{KINDS[kind]}") for part in PARTS},
        decoding_method=method,
        max_active_paths=beam_size,
        num_threads=1,
    )


def decode(recognizer, samples: np.ndarray) -> list[str]:
    """The words of an utterance."""
    stream = recognizer.create_stream()
    stream.accept_waveform(_RATE, samples)
    stream.input_finished()
    while recognizer.is_ready(stream):
        recognizer.decode_stream(stream)
    return recognizer.get_result(stream).split()


def _read(file: BinaryIO) -> Iterable[tuple[str, np.ndarray]]:
    while head := file.readline():
        number, name = head.decode().rstrip("\n").split(" ", 1)
        yield name, np.frombuffer(file.read(4 * int(number)), dtype="<f4")


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("folder", type=Path, help="of the export")
    parser.add_argument("out", type=Path, help="file of the texts")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, required=True, help="of its weights")
    parser.add_argument("--methods", nargs="+", choices=METHODS, required=True, help="of decoding")
    parser.add_argument("--beam-size", type=int, required=True, help="of modified_beam_search")
    args = parser.parse_args(argv)
    recognizers = {
        (kind, method): make_recognizer(args.folder, kind, method, args.beam_size)
        for kind in args.kinds
        for method in args.methods
    }
    with open(args.out, "w") as out:
        for name, samples in _read(sys.stdin.buffer):
            for (kind, method), recognizer in recognizers.items():
                start = time.thread_time()
                words = decode(recognizer, samples)
                seconds = time.thread_time() - start
                print(json.dumps(asdict(Text(name, kind, method, words, seconds))), file=out)


if __name__ == "__main__":
    sys.exit(main())
