# SPDX-License-Identifier: Apache-2.0
"""The package's library is compiled as make compiles it in omni_runtime."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from omni_recognizer.compiling import (
    CompilerError,
    compilations,
    compile_library,
    compiled_library,
)
from tests.support.processes import RECIPE

MACHINES = ["x86_64", "aarch64", "armv7l", "riscv64"]


def normal(words: list[str]) -> list[str]:
    """The words of a compilation in an order of their own, since makefiles have another."""
    return sorted(os.path.normpath(word) if word.startswith("/") else word for word in words)


def by_make(machine: str, folder: Path, *variables: str) -> list[list[str]]:
    """The compilations of make for a machine."""
    compiler = folder / "compiler"
    compiler.write_text(f"#!/bin/sh\necho {machine}-linux-gnu\n")
    compiler.chmod(0o755)
    given = [f"CC={compiler}", "BUILD=/build", "CFLAGS=-O3", *variables]
    makefile = RECIPE / "omni_runtime" / "Makefile"
    command = ["make", "-n", "-f", makefile, *given, "/build/libomni_runtime.so"]
    said = subprocess.check_output(command, text=True)
    lines = [shlex.split(line) for line in said.splitlines() if line.startswith(str(compiler))]
    return [normal(words[1:]) for words in lines if "-c" in words]


@pytest.mark.skipif(shutil.which("make") is None, reason="NO make: flags are not compared")
@pytest.mark.parametrize("machine", MACHINES)
def test_files_and_flags_are_those_of_make(machine, tmp_path, monkeypatch):
    for name in ("CFLAGS", "PLAIN_ONLY"):
        monkeypatch.delenv(name, raising=False)
    ours = compilations(machine, Path("/build")).values()
    assert sorted(map(normal, ours)) == sorted(by_make(machine, tmp_path))


@pytest.mark.skipif(shutil.which("make") is None, reason="NO make: flags are not compared")
def test_code_for_any_processor_alone_is_that_of_make(tmp_path, monkeypatch):
    monkeypatch.delenv("CFLAGS", raising=False)
    monkeypatch.setenv("PLAIN_ONLY", "1")
    ours = compilations("x86_64", Path("/build")).values()
    assert sorted(map(normal, ours)) == sorted(by_make("x86_64", tmp_path, "PLAIN_ONLY=1"))


def test_a_missing_compiler_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", str(tmp_path / "none"))
    with pytest.raises(CompilerError, match=r"no C compiler .*none; install gcc or clang"):
        compile_library(tmp_path, tmp_path / "lib.so")


def test_what_does_not_compile_is_told_with_what_may_help(tmp_path, monkeypatch, capfd):
    if not shutil.which("cc"):
        pytest.skip("NO cc: a compilation that fails is not tested")
    monkeypatch.setenv("CC", "cc")
    monkeypatch.setenv("CFLAGS", "--no-such-option")
    with pytest.raises(CompilerError, match="failed; PLAIN_ONLY=1 asks less of it"):
        compile_library(tmp_path, tmp_path / "lib.so")
    assert "no-such-option" in capfd.readouterr().err


def test_the_recipes_sources_are_compiled_once_for_each_state_of_them(tmp_path, monkeypatch):
    if not shutil.which("cc"):
        pytest.skip("NO cc: compiling on first use is not tested")
    for name, value in {"CC": "cc", "CFLAGS": "-O0", "PLAIN_ONLY": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = compiled_library()
    time = first.stat().st_mtime_ns
    assert compiled_library() == first and first.stat().st_mtime_ns == time
    monkeypatch.setenv("CFLAGS", "-O1")
    assert compiled_library() != first
    assert [path.name for path in (tmp_path / "omni_recognizer").rglob("*.*")] == [first.name] * 2


def test_without_sources_nothing_is_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr("omni_recognizer.compiling.RECIPE", tmp_path)
    assert compiled_library() is None
