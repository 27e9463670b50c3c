# SPDX-License-Identifier: Apache-2.0
"""A folder with a transcript for each sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emformer.data.store import atomic_path
from emformer.errors import RecipeError
from omni_emformer.live.audio import STDIN
from omni_emformer.live.formats import Format
from omni_emformer.live.transcript import Transcript


class TranscriptFolder:
    """Writes ``<sound's name without its suffix>[.<sub-network>].<format's suffix>``.

    Args:
      folder: Is made if need be.
      form: Of the files.
      force: Whether files that are there may be overwritten.
      subnets: Those that are compared, which then are part of the names; else empty.
    """

    def __init__(
        self, folder: Path, form: Format, force: bool = False, subnets: Sequence[str] = ()
    ) -> None:
        self.folder, self._form, self._force, self._subnets = folder, form, force, subnets

    def path(self, sound: str, subnet: str) -> Path:
        """Where the transcript of a sound is written."""
        stem = "stdin" if sound == STDIN else Path(sound).stem
        tail = f".{subnet.replace('/', '-')}" if self._subnets else ""
        return self.folder / f"{stem}{tail}{self._form.suffix}"

    def check(self, sounds: Sequence[str]) -> None:
        """Look at the names before anything is heard.

        Raises:
          RecipeError: Two sounds have the same file, or one is there; the folder is a file.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise RecipeError(f"{self.folder}: a file is where a folder is meant")
        taken: dict[Path, str] = {}
        for sound in sounds:
            for path in (self.path(sound, subnet) for subnet in self._subnets or [""]):
                if path in taken:
                    raise RecipeError(
                        f"{taken[path]} and {sound} would both be written to {path}; transcribe "
                        "them into different folders"
                    )
                taken[path] = sound
                self._refuse(path)

    def write(self, transcript: Transcript) -> Path:
        """Write a transcript, whole or not at all; returns its path.

        Raises:
          RecipeError: It is there by now.
        """
        path = self.path(transcript.file, transcript.heard.subnet)
        self._refuse(path)
        with atomic_path(path) as part:
            part.write_text(self._form.write(transcript), encoding="utf-8")
        return path

    def _refuse(self, path: Path) -> None:
        if path.is_dir():
            raise RecipeError(f"{path}: a folder is where a file is meant")
        if path.exists() and not self._force:
            raise RecipeError(f"{path} exists; delete it, or give --force to overwrite it")
