# SPDX-License-Identifier: Apache-2.0
"""What a person sees: texts on standard output, all else on standard error."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from omni_emformer.live.files import TranscriptFolder
from omni_emformer.live.formats import FORMATS
from omni_emformer.live.transcript import Transcript
from omni_recognizer.transcript import Segment

_BACK = "\r\x1b[K"  # to the start of a terminal's line, which becomes empty


def say(line: str) -> None:
    """A line for a person."""
    print(line, file=sys.stderr, flush=True)


class Growing:
    """Shows the texts of utterances that go on: on a terminal one line that changes, if there is
    one text; else a line whenever one changes.

    Args:
      names: Of the sub-networks.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._in_place = len(names) == 1 and sys.stderr.isatty()
        self._shown = [""] * len(names)

    def show(self, seconds: float, texts: Sequence[str]) -> None:
        """The texts after so many seconds of sound."""
        if list(texts) == self._shown:
            return
        self._shown, at = list(texts), f"{seconds:7.2f} s"
        if self._in_place:
            room = shutil.get_terminal_size().columns - 1
            print(_BACK + texts[0][-room:], end="", file=sys.stderr, flush=True)
            return
        for name, text in zip(self._names, texts, strict=True):
            say(f"{at}  {name:>8}  {text}" if len(texts) > 1 else f"{at}  {text}")
            at = " " * len(at)

    def clear(self) -> None:
        """Make room for a line."""
        if self._in_place:
            print(_BACK, end="", file=sys.stderr, flush=True)
        self._shown = [""] * len(self._names)


class Results:
    """Prints or writes what was heard, utterance by utterance where the format allows it.

    As grep does, lines of text say what they are of where that could be asked: the sound if there
    are several, and the sub-network if several are compared.

    Args:
      form: One of :data:`~omni_emformer.live.formats.FORMATS`.
      folder: Where files are written; None for standard output.
      several_sounds, several_subnets: Whether there are.
    """

    def __init__(
        self,
        form: str,
        folder: TranscriptFolder | None,
        several_sounds: bool,
        several_subnets: bool,
    ) -> None:
        self._form, self._folder = form, folder
        self._several_sounds, self._several_subnets = several_sounds, several_subnets

    def add(self, transcript: Transcript, segment: Segment) -> None:
        """An utterance ended, which the transcript has."""
        if self._form == "text" and self._folder is None:
            self._line(transcript, segment.text)

    def finish(self, transcript: Transcript) -> None:
        """The sound ended."""
        if self._folder is not None:
            path: Path = self._folder.write(transcript)
            self._line(transcript, str(path), named=True)
        elif self._form != "text":
            print(FORMATS[self._form].write(transcript), end="", flush=True)
        elif self._several_sounds and not transcript.segments:
            self._line(transcript, "")  # it was heard, and nothing was said

    def _line(self, transcript: Transcript, text: str, named: bool = False) -> None:
        name = f"{transcript.file}: " if named or self._several_sounds else ""
        subnet = f"{transcript.heard.subnet}: " if self._several_subnets else ""
        print(f"{name}{subnet}{text}".rstrip(), flush=True)
