# SPDX-License-Identifier: Apache-2.0
"""Compiles C sources on first use and chooses the code of this machine's instruction set."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
_COMMON = ["-O3", "-std=gnu11", "-fPIC", "-fno-math-errno", f"-I{HERE}"]


class Unit(NamedTuple):
    """One compilation of the sources, for processors of which ``omni_cpu`` gives its number.

    Args:
      name: Suffix of its functions.
      lanes: Floats of a vector, and so the number of frames done at once.
      flags: Of the compiler.
      byte_group: How many int8 blocks are multiplied together; see ``int8_blocks.h``.
    """

    name: str
    lanes: int
    flags: tuple[str, ...]
    byte_group: int = 1


_AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma")
_VNNI = (*_AVX512, "-mavx512vnni", "-mavx512vbmi")
_WIDE = "-mprefer-vector-width=512"
_X86_64 = (
    Unit("_avx2", 8, ("-mavx2", "-mfma")),
    Unit("_avx512", 16, (*_AVX512, _WIDE)),
    Unit("_vnni", 16, (*_VNNI, _WIDE), 4),
)
_ARM64 = (Unit("_dot", 4, ("-march=armv8.2-a+dotprod",), 4),)
#: Beyond the plain code, by machine; omni_runtime/Makefile has the same.
_MORE = {
    "x86_64": _X86_64,
    "amd64": _X86_64,
    "aarch64": _ARM64,
    "arm64": _ARM64,
    "armv7l": (Unit("_neon", 4, ("-mfpu=neon",)),),
}
UNITS = [Unit("_plain", 4, ()), *_MORE.get(platform.machine().lower(), ())]


class Library:
    """Compiled sources.

    Args:
      path: The shared library.
    """

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self.cpu = min(self._library.omni_cpu(), len(UNITS) - 1)

    @property
    def byte_group(self) -> int:
        """Of the machine's unit."""
        return UNITS[self.cpu].byte_group

    def function(self, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
        """A function of the sources by its name without suffix, and its C types."""
        found = getattr(self._library, name + UNITS[self.cpu].name)
        found.restype, found.argtypes = result, arguments
        return found


@functools.cache
def load_library(source: Path) -> Library | None:
    """A C file, compiled for all instruction sets; None where that is impossible, said once.

    The library lies in ``$XDG_CACHE_HOME/omni_plugin`` (by default ``~/.cache/omni_plugin``), under
    a name made from the sources and flags. ``CC`` names the compiler.
    """
    try:
        path = _cached(source)
        try:
            return Library(path)
        except OSError:  # damaged
            path.unlink(missing_ok=True)
            return Library(_cached(source))
    except (OSError, subprocess.CalledProcessError) as e:
        said = (getattr(e, "stderr", None) or str(e)).strip()
        _warn(said.splitlines()[0] if said else repr(e))
        return None


@functools.cache  # once for all sources
def _warn(why: str) -> None:
    logging.warning(
        f"the sparse runtime could not be compiled ({why}); PyTorch computes instead: all results "
        "hold, but sparse layers are not faster than dense ones. Install gcc or set CC"
    )


def _cached(source: Path) -> Path:
    compiler = shlex.split(os.environ.get("CC", "cc"))
    digest = hashlib.sha256(repr((compiler, _COMMON, UNITS, platform.machine())).encode())
    for file in [source, *sorted({*HERE.glob("*.[ch]"), *source.parent.glob("*.h")})]:
        digest.update(file.read_bytes())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "omni_plugin"
    path = root / f"{source.stem}-{digest.hexdigest()[:16]}.so"
    if not path.exists():
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root) as folder:
            made = compile_library(compiler, source, Path(folder))
            os.replace(made, path)  # whole, or not there; another process may do the same
    return path


def compile_library(
    compiler: list[str], source: Path, folder: Path, more: tuple[str, ...] = ()
) -> Path:
    """Compile a source for all instruction sets; the library in ``folder``.

    Raises:
      OSError, subprocess.CalledProcessError: There is no compiler, or it fails.
    """
    objects = []
    for unit in UNITS:
        objects.append(str(folder / f"{unit.name}.o"))
        names = [f"-DLANES={unit.lanes}", f"-DSUFFIX={unit.name}"]
        _run(compiler, *_COMMON, *unit.flags, *names, *more, "-c", str(source), "-o", objects[-1])
    made = folder / f"{source.stem}.so"
    _run(compiler, *_COMMON, *more, "-shared", str(HERE / "cpu.c"), *objects, "-o", str(made))
    return made


def _run(compiler: list[str], *words: str) -> None:
    subprocess.run([*compiler, *words], check=True, capture_output=True, text=True)
