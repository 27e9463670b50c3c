# SPDX-License-Identifier: Apache-2.0
"""Compiles the C library omni_runtime, by a C compiler and nothing else.

setup.py does so into the package, and the recipe once for each state of its sources. The library's
Makefile has the same flags; a test holds the one to the other. ``CC``, ``CFLAGS`` and
``PLAIN_ONLY`` mean what they mean there.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

NAME = "libomni_runtime.so"
_HERE = Path(__file__).resolve().parent
#: An sdist has copies of the folders of C that lie beside this one in the recipe.
_COPIES = _HERE / "sources"
RECIPE = _COPIES if _COPIES.is_dir() else _HERE.parent
RUNTIME, PLUGIN, STEP = FOLDERS = "omni_runtime", "omni_plugin/runtime", "omni_emformer/runtime"
_PROGRAMS = ("omni_transcribe.c", "fuzz.c")  # all other files of omni_runtime are the library

_AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"]
_WIDE = "-mprefer-vector-width=512"
#: Beyond the plain code, by machine: floats of a vector, and flags.
_UNITS = {
    "x86_64": {
        "avx2": (8, ["-mavx2", "-mfma"]),
        "avx512": (16, [*_AVX512, _WIDE]),
        "vnni": (16, [*_AVX512, "-mavx512vnni", "-mavx512vbmi", _WIDE]),
    },
    "aarch64": {"dot": (4, ["-march=armv8.2-a+dotprod"])},
    "arm": {"neon": (4, ["-mfpu=neon"])},
}


class CompilerError(Exception):
    """There is no compiler, or it fails; in one line."""


def compilations(machine: str, build: Path) -> dict[Path, list[str]]:
    """Objects of the library, and the words after the compiler's name that make them.

    Args:
      machine: What the compiler compiles for, such as ``x86_64`` or ``armv7l``.
      build: Folder of the objects.
    """
    plain_only = "PLAIN_ONLY" in os.environ
    family = "aarch64" if machine == "arm64" else machine[:3] if machine[:3] == "arm" else machine
    units = {"plain": (4, []), **({} if plain_only else _UNITS.get(family, {}))}
    common = ["-fvisibility=hidden", "-fno-math-errno"]
    common += [word for folder in FOLDERS for word in ("-iquote", str(RECIPE / folder))]
    common += ["-Wall", "-Wextra", "-Wno-psabi", "-fPIC"]
    optimised = _words("CFLAGS", "-O3")
    library = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", *common]
    library += ["-DOMNI_PLAIN_ONLY"] if plain_only else []
    kernels = ["-std=gnu11", *common]
    made = {}
    for source in sorted((RECIPE / RUNTIME).glob("*.c")):
        if source.name not in _PROGRAMS:
            made[build / f"{source.stem}.o"] = [*library, *optimised, "-c", str(source)]
    cpu = RECIPE / PLUGIN / "cpu.c"
    made[build / "cpu.o"] = [*kernels, *optimised, "-c", str(cpu)]
    for name, (lanes, flags) in units.items():
        for source in (RECIPE / PLUGIN / "linear.c", RECIPE / STEP / "step.c"):
            words = [*flags, f"-DLANES={lanes}", f"-DSUFFIX=_{name}", "-c", str(source)]
            made[build / f"{source.stem}_{name}.o"] = [*kernels, *optimised, *words]
    return {path: [*words, "-o", str(path)] for path, words in made.items()}


def _compiler() -> list[str]:
    named = _words("CC", "")
    for words in [named] if named else [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(words[0]):
            return words
    raise CompilerError(
        f"there is no C compiler{f' {named[0]}' if named else ''}; install gcc or clang "
        "(Debian and Ubuntu: apt install gcc libc6-dev), or name one by CC"
    )


def compile_library(build: Path, target: Path) -> None:
    """Compile the library.

    Args:
      build: Folder for what is made on the way.
      target: The library.

    Raises:
      CompilerError: There is no compiler, or it fails; what it says goes to standard error.
    """
    compiler = _compiler()
    build.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    made = compilations(_machine(compiler), build)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda words: _run([*compiler, *words]), made.values()))
    linked = ["-shared", f"-Wl,-soname,{target.name}", *map(str, made), "-lm", "-o", str(target)]
    # -s: without symbols, which only a debugger reads.
    _run([*compiler, *_words("CFLAGS", "-O3"), *_words("LDFLAGS", "-s"), *linked])


def _machine(compiler: list[str]) -> str:
    """What it compiles for; by its macros, as zig's fails at ``-dumpmachine``."""
    said = _run([*compiler, "-dM", "-E", "-x", "c", os.devnull])
    return next((one for one in _UNITS if f"#define __{one}__ 1" in said), "other")


def _words(variable: str, default: str) -> list[str]:
    return shlex.split(os.environ.get(variable, default))


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        raise CompilerError(f"{shlex.join(command)} failed; PLAIN_ONLY=1 asks less of it")
    return done.stdout


def compiled_library() -> Path | None:
    """The library of the sources that lie here, compiled where it was not yet; None without them.

    It lies in ``$XDG_CACHE_HOME/omni_recognizer`` (by default ``~/.cache/omni_recognizer``), in a
    folder named from the sources and flags.

    Raises:
      CompilerError: As :func:`compile_library`.
      OSError: The folder cannot be written.
    """
    sources = sorted(path for name in FOLDERS for path in (RECIPE / name).glob("*.[ch]"))
    if {path.parent.relative_to(RECIPE).as_posix() for path in sources} != set(FOLDERS):
        return None
    variables = [os.environ.get(name) for name in ("CC", "CFLAGS", "LDFLAGS", "PLAIN_ONLY")]
    digest = hashlib.sha256(repr((variables, os.uname().machine)).encode())
    for path in [Path(__file__), *sources]:
        digest.update(path.read_bytes())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "omni_recognizer"
    path = root / digest.hexdigest()[:16] / NAME
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root) as folder:
            made = Path(folder) / NAME
            compile_library(Path(folder) / "objects", made)
            os.replace(made, path)  # whole, or not there; another process may do the same
    return path
