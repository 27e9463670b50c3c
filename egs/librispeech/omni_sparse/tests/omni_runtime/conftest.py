# SPDX-License-Identifier: Apache-2.0
"""The C library, built once a session, and packed files for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.runtime.c_library import CLibrary, make
from tests.support.runtime.transducers import KINDS, Made, pack_kind, pack_own


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """The folder that the library was built into."""
    return make(tmp_path_factory.mktemp("omni_runtime"))


@pytest.fixture(scope="session")
def library(built) -> CLibrary:
    return CLibrary(built / "libomni_runtime.so")


@pytest.fixture(scope="session")
def packed(tmp_path_factory) -> dict[str, Made]:
    """A float32 file of each kind, an int8 file, one of a model that pauses, and such whose
    sub-networks have values of their own."""
    folder = tmp_path_factory.mktemp("transducers")
    made = {kind: pack_kind(folder / kind, kind) for kind in KINDS}
    made["int8"] = pack_kind(folder / "int8", "demo", "int8")
    made["pausing"] = pack_kind(folder / "pausing", "demo", blank=8.0)
    made |= {f"own {kind}": pack_own(folder / f"own-{kind}", kind) for kind in ("demo", "conv")}
    made["own int8"] = pack_own(folder / "own-int8", "demo", "int8")
    return made
