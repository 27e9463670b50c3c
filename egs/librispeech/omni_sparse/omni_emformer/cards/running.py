# SPDX-License-Identifier: Apache-2.0
"""How exported files are run, in a few lines that can be pasted."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence

from emformer.config import FRAME_SHIFT_MS, ModelConfig

_SHERPA = """\
By sherpa-onnx (`pip install sherpa-onnx soundfile`), in this folder. The zeros are silence, which
lets the last chunk run:

```python
import numpy, sherpa_onnx, soundfile

parts = {{part: f"{{part}}.onnx" for part in ("encoder", "decoder", "joiner")}}
recognizer = sherpa_onnx.OnlineRecognizer.from_transducer(tokens="tokens.txt", **parts)
sound, rate = soundfile.read("sound.wav", dtype="float32")
stream = recognizer.create_stream()
stream.accept_waveform(rate, numpy.append(sound, numpy.zeros({seconds} * rate, "float32")))
while recognizer.is_ready(stream):
    recognizer.decode_stream(stream)
print(recognizer.get_result(stream))
```"""

_PYTHON = """\
From Python, without PyTorch, by a package that a clone of omni_sparse has
(`pip install egs/librispeech/omni_sparse/omni_recognizer`):

```python
import omni_recognizer

model = omni_recognizer.load("{path}")
print(model.transcribe("sound.wav"{level}).text)
```"""

_SCRIPT = """\
By PyTorch (or libtorch), without the recipe. `features` are {window} frames of log-mel energies,
of shape `(1, {window}, 80)`; the next call takes those from {chunk} frames later on:

```python
import torch

model = torch.jit.load("torchscript.pt")
out, states = model.encode_chunk(features, model.initial_states(1))
```"""


def how_to_run(files: Collection[str], subnets: Sequence[str], config: ModelConfig) -> str:
    """Paragraphs with code, one for each kind of files.

    Args:
      files: Names of what was written.
      subnets: Which sub-networks they hold, the largest first.
      config: Of the model.
    """
    found = []
    chunk, window = config.chunk_ms, config.chunk_ms + config.right_context_ms
    if "encoder.onnx" in files:
        # sherpa-onnx runs a chunk once there is a frame more than its window.
        seconds = -(-(window + FRAME_SHIFT_MS) // 1000)
        found.append(_SHERPA.format(seconds=seconds))
    packed = sorted(name for name in files if name.endswith(".packed"))
    if packed:
        found.append(_packed(packed[0], subnets))
    elif "epoch-1.pt" in files:
        found.append(_transcribe("FOLDER", [], "where FOLDER is this one"))
    if "torchscript.pt" in files:
        frames = {"window": window // FRAME_SHIFT_MS, "chunk": chunk // FRAME_SHIFT_MS}
        found.append(_SCRIPT.format(**frames))
    return "\n\n".join(found)


def _packed(name: str, subnets: Sequence[str]) -> str:
    choice = ["--subnet", subnets[-1]] if len(subnets) > 1 else []
    path = f"FOLDER/{name}"
    words = shlex.join([path, "sound.wav", *choice])
    without = (
        "Without Python, in `egs/librispeech/omni_sparse/omni_runtime` of omni_sparse:\n\n"
        f"```\nmake\nbuild/omni-transcribe {words}\n```"
    )
    level = f', "{subnets[-1]}"' if choice else ""
    from_python = _PYTHON.format(path=path, level=level)
    live = "`mic` in place of the sound file listens"
    recipe = _transcribe(path, choice, f"where FOLDER is that of this file; {live}")
    return f"{from_python}\n\n{without}\n\n{recipe}"


def _transcribe(path: str, choice: Sequence[str], note: str) -> str:
    words = shlex.join(["--model", path, *choice, "sound.wav"])
    return (
        f"With the recipe, in `egs/librispeech/omni_sparse` of omni_sparse, {note}:\n\n"
        f"```\npython3 -m omni_emformer.transcribe {words}\n```"
    )
