# SPDX-License-Identifier: Apache-2.0
"""Paths within manifests.

What lies in the data folder is written relative to the manifest, as in ``../audio/dev/1.wav``, so
that the folder can be moved, copied, renamed, and reached by any path. What lies elsewhere keeps an
absolute path. Manifests that other programs (or this one, once) wrote have paths of all kinds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lhotse import AudioSource, MonoCut, Recording
from lhotse.utils import fastcopy


def relative(path: str, folder: Path) -> str:
    """How a manifest in ``folder``, which is in the data folder, names a file."""
    if not _is_path(path):
        return path
    full, base = os.path.abspath(path), os.path.abspath(folder)
    inside = Path(full).is_relative_to(Path(base).parent)
    return os.path.relpath(full, base) if inside else full


def with_relative_paths(item: Any, folder: Path) -> Any:
    """A recording or cut as it is written into a manifest in ``folder``; others as they are."""
    if isinstance(item, Recording):
        sources = [
            fastcopy(one, source=relative(one.source, folder)) if _is_file(one) else one
            for one in item.sources
        ]
        return fastcopy(item, sources=sources)
    if not isinstance(item, MonoCut):
        return item
    changes: dict[str, Any] = {}
    if item.recording is not None:
        changes["recording"] = with_relative_paths(item.recording, folder)
    if item.has_features:
        path = relative(item.features.storage_path, folder)
        changes["features"] = fastcopy(item.features, storage_path=path)
    return fastcopy(item, **changes)


class Places:
    """Finds what a manifest names.

    Args:
      manifest: Its path, perhaps by way of links.
    """

    def __init__(self, manifest: Path) -> None:
        self._bases = list(dict.fromkeys([manifest.parent, manifest.resolve().parent]))
        self._folders: dict[tuple[str, bool], str] = {}

    def audio(self, path: str) -> str:
        """The present path of sound.

        It is what is written, seen from the manifest or from where we are; of an absolute path that
        is gone, what in the data folder ends alike.
        """
        return self._file(path, near=False)

    def features(self, path: str) -> str:
        """The present path of features, which stage 3 puts beside the manifest.

        There they are looked for first: a manifest of release 0.1 names them by the path that the
        data folder had when they were made.
        """
        return self._file(path, near=True)

    def find(self, item: Any) -> Any:
        """A recording or cut that was read just now, with its paths as they are at present."""
        if isinstance(item, Recording):
            for one in filter(_is_file, item.sources):
                one.source = self.audio(one.source)
        elif isinstance(item, MonoCut):
            if item.recording is not None:
                self.find(item.recording)
            if item.has_features:
                item.features.storage_path = self.features(item.features.storage_path)
        return item

    def _file(self, path: str, near: bool) -> str:
        if not _is_path(path):
            return path
        folder, name = os.path.split(path)
        found = self._folders.get((folder, near))
        if found is None:  # asked of the disk once for all files of a folder
            found = self._folders[folder, near] = self._folder(folder, near)
        return os.path.join(found, name)

    def _folder(self, folder: str, near: bool) -> str:
        beside = [os.path.normpath(base / folder) for base in self._bases]
        found = [*beside, folder]
        if near:
            found = [str(base / os.path.basename(folder)) for base in self._bases] + found
        names = Path(folder).parts[1:] if os.path.isabs(folder) else ()
        for n in range(len(names)):
            found += [str(base.parent.joinpath(*names[n:])) for base in self._bases]
        return next((one for one in found if os.path.isdir(one)), beside[0])


def _is_path(text: str) -> bool:
    """Not an address, nor the empty name that features in memory have."""
    return bool(text) and "://" not in text


def _is_file(source: AudioSource) -> bool:
    return source.type == "file"
