# SPDX-License-Identifier: Apache-2.0
"""Compiles the C library omni_runtime into the package; all else stands in pyproject.toml."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

# Nothing of the package can be imported by its name as long as it is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent))
from compiling import FOLDERS, RECIPE, CompilerError, compile_library  # noqa: E402


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
        try:
            compile_library(Path(self.build_temp).resolve(), Path(self.get_ext_fullpath(ext.name)))
        except CompilerError as e:
            raise SystemExit(f"error: {e}") from e


class _OfAnyPython(bdist_wheel):
    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


class _WithSources(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        for folder in FOLDERS:
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
