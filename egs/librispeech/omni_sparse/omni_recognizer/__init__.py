# SPDX-License-Identifier: Apache-2.0
"""Streaming speech recognition at any size of a packed file; numpy and a C library, no torch.

>>> import omni_recognizer
>>> model = omni_recognizer.load("models/commands")  # doctest: +SKIP
>>> model.transcribe("speech.wav", sparsity=0.7).text  # doctest: +SKIP
"""

from omni_recognizer.endpoint import EndpointRules
from omni_recognizer.errors import RecognizerError
from omni_recognizer.model import Model, Stream, load
from omni_recognizer.transcript import Segment, Transcript
from omni_recognizer.words import Word

__version__ = "0.1.0"

__all__ = [
    "EndpointRules",
    "Model",
    "RecognizerError",
    "Segment",
    "Stream",
    "Transcript",
    "Word",
    "load",
]
