# SPDX-License-Identifier: Apache-2.0
"""Cuts whose sound or features are where they say."""

from __future__ import annotations

import os
from pathlib import Path

from lhotse import MonoCut
from lhotse.cut import Cut

from emformer.data.places import Places
from emformer.errors import RecipeError


class CutFinder:
    """Gives cuts paths that hold from where we are, and refuses those that lead nowhere.

    Args:
      manifest: Where the cuts are from.
      on_the_fly: Whether sound is read, or features.
      stage: Which stage makes the manifest.
    """

    def __init__(self, manifest: Path, on_the_fly: bool, stage: int) -> None:
        self.manifest, self.on_the_fly, self.stage = manifest, on_the_fly, stage
        self.places = Places(manifest)
        self._seen: set[str] = set()  # asked of the disk once each

    def __call__(self, cut: Cut) -> Cut:
        if not isinstance(cut, MonoCut):
            return cut
        if self.on_the_fly:
            for one in self.places.find(cut).recording.sources:
                # Of files, stage 3 has opened each; here, whether the corpus is where it was.
                self._check(os.path.dirname(one.source) if one.type == "file" else "", "sound")
        elif not cut.has_features:
            raise RecipeError(
                f"{self.manifest}: made with --on-the-fly true, so it has no features; use "
                f"--on-the-fly-feats true, or make them with run.sh --stage {self.stage}"
            )
        else:
            self._check(self.places.find(cut).features.storage_path, "features")
        return cut

    def _check(self, path: str, what: str) -> None:
        if path in self._seen or "://" in path:
            return
        if path and not os.path.exists(path):
            raise RecipeError(
                f"{path}: no such {what}, but {self.manifest} names them; put them there again, or "
                f"make both anew with run.sh --stage {1 if self.on_the_fly else self.stage}"
            )
        self._seen.add(path)
