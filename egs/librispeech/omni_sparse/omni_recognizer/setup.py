# SPDX-License-Identifier: Apache-2.0
"""Compiles the C library omni_runtime into the package; all else stands in pyproject.toml.

It takes a C compiler and nothing else, so it does without the library's Makefile, whose flags it
has; a test holds the one to the other. ``CC``, ``CFLAGS`` and ``PLAIN_ONLY`` mean what they mean
there.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

_HERE = Path(__file__).resolve().parent
#: An sdist has copies of the folders of C that lie beside this one in the recipe.
_COPIES = _HERE / "sources"
RECIPE = _COPIES if _COPIES.is_dir() else _HERE.parent
RUNTIME, PLUGIN, STEP = _FOLDERS = "omni_runtime", "omni_plugin/runtime", "omni_emformer/runtime"
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


def compilations(machine: str, build: Path) -> dict[Path, list[str]]:
    """Objects of the library, and the words after the compiler's name that make them.

    Args:
      machine: What the compiler compiles for, as ``-dumpmachine`` begins.
      build: Folder of the objects.
    """
    plain_only = "PLAIN_ONLY" in os.environ
    family = "aarch64" if machine == "arm64" else machine[:3] if machine[:3] == "arm" else machine
    units = {"plain": (4, []), **({} if plain_only else _UNITS.get(family, {}))}
    common = ["-fvisibility=hidden", "-fno-math-errno"]
    common += [word for folder in _FOLDERS for word in ("-iquote", str(RECIPE / folder))]
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
    raise SystemExit(
        f"error: there is no C compiler{f' {named[0]}' if named else ''}; install gcc or clang "
        "(Debian and Ubuntu: apt install gcc libc6-dev), or name one by CC"
    )


def compile_library(build: Path, target: Path) -> None:
    """Compile the library.

    Args:
      build: Folder for what is made on the way.
      target: The library.
    """
    compiler = _compiler()
    build.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    machine = subprocess.check_output([*compiler, "-dumpmachine"], text=True).split("-")[0]
    made = compilations(machine.strip(), build)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda words: _run([*compiler, *words]), made.values()))
    linked = ["-shared", f"-Wl,-soname,{target.name}", *map(str, made), "-lm", "-o", str(target)]
    # -s: without symbols, which only a debugger reads.
    _run([*compiler, *_words("CFLAGS", "-O3"), *_words("LDFLAGS", "-s"), *linked])


def _words(variable: str, default: str) -> list[str]:
    return shlex.split(os.environ.get(variable, default))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr)
        raise SystemExit(f"error: {shlex.join(command)} failed; PLAIN_ONLY=1 asks less of it")


class _Modules(build_py):
    """All that lie in this folder but this one."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        found = super().find_package_modules(package, package_dir)
        return [one for one in found if one[1] != "setup"]


class _Compiled(build_ext):
    """One library that Python loads by ctypes, of no Python's version."""

    def get_ext_filename(self, fullname: str) -> str:
        return os.path.join(*fullname.split(".")) + ".so"

    def build_extension(self, ext: Extension) -> None:
        compile_library(Path(self.build_temp).resolve(), Path(self.get_ext_fullpath(ext.name)))


class _OfAnyPython(bdist_wheel):
    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


class _WithSources(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        for folder in _FOLDERS:
            copies = Path(base_dir) / "sources" / folder
            copies.mkdir(parents=True)
            for source in sorted((RECIPE / folder).glob("*.[ch]")):
                shutil.copy(source, copies)


if __name__ == "__main__":
    setup(
        ext_modules=[Extension("omni_recognizer.libomni_runtime", sources=[])],
        cmdclass={
            "build_py": _Modules,
            "build_ext": _Compiled,
            "bdist_wheel": _OfAnyPython,
            "sdist": _WithSources,
        },
    )
