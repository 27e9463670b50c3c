# SPDX-License-Identifier: Apache-2.0
"""Building compiled code on first use, and doing without."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from omni_plugin.runtime import native
from tests.support.runtime.layers import COMPILER


@pytest.fixture
def source(tmp_path, monkeypatch) -> Path:
    """A small C file, an empty cache folder, and no memory of what was built before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    native.load_library.cache_clear()
    native._warn.cache_clear()
    path = tmp_path / "answer.c"
    path.write_text('#include "vector.h"\nint EXPORT(lanes)(void) { return LANES; }\n')
    yield path
    native.load_library.cache_clear()


@pytest.fixture
def compiler() -> None:
    try:
        subprocess.run([*COMPILER, "--version"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("NO C COMPILER: building is not tested")


def cached(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "omni_plugin").iterdir())


def test_each_instruction_set_has_its_code(source, compiler, monkeypatch):
    library = native.load_library(source)
    for number, unit in enumerate(native.UNITS[: library.cpu + 1]):
        monkeypatch.setattr(library, "cpu", number)
        assert library.function("lanes", int)() == unit.lanes


def test_what_was_built_is_used_again(source, compiler, tmp_path, monkeypatch):
    native.load_library(source)
    (path,) = cached(tmp_path)
    native.load_library.cache_clear()
    monkeypatch.setattr(native, "compile_library", lambda *_: pytest.fail("compiled again"))
    assert native.load_library(source) is not None
    assert cached(tmp_path) == [path]


def test_another_source_is_built_anew(source, compiler, tmp_path):
    native.load_library(source)
    native.load_library.cache_clear()
    source.write_text(source.read_text().replace("return LANES", "return -LANES"))
    assert native.load_library(source).function("lanes", int)() < 0
    assert len(cached(tmp_path)) == 2


def test_other_flags_are_built_anew(source, compiler, tmp_path, monkeypatch):
    native.load_library(source)
    native.load_library.cache_clear()
    monkeypatch.setattr(native, "_COMMON", [*native._COMMON, "-DOTHER"])
    native.load_library(source)
    assert len(cached(tmp_path)) == 2


def test_a_damaged_library_is_built_again(source, compiler, tmp_path):
    native.load_library(source)
    (path,) = cached(tmp_path)
    path.unlink()  # not overwritten in place: this process has it mapped
    path.write_bytes(b"no library")
    native.load_library.cache_clear()
    assert native.load_library(source).function("lanes", int)() > 0


def _warnings(caplog) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_without_a_compiler_it_is_said_once(source, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("CC", "no-such-compiler")
    assert native.load_library(source) is None
    other = source.with_name("other.c")
    other.write_text(source.read_text())
    assert native.load_library(other) is None
    assert native.load_library(source) is None
    (said,) = _warnings(caplog)
    assert "no-such-compiler" in said and "PyTorch computes instead" in said


def test_a_source_that_does_not_compile_leaves_nothing(source, compiler, tmp_path, caplog):
    source.write_text("#error on purpose\n")
    assert native.load_library(source) is None
    assert "on purpose" in _warnings(caplog)[0]
    assert cached(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_told(source, compiler, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert native.load_library(source) is None
    assert "Not a directory" in _warnings(caplog)[0]


def test_two_processes_may_build_at_once(source, compiler, tmp_path):
    program = (
        "import sys; from pathlib import Path; from omni_plugin.runtime import native; "
        "print(native.load_library(Path(sys.argv[1])).function('lanes', int)())"
    )
    command = [sys.executable, "-c", program, str(source)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert all(int(run.communicate()[0]) > 0 for run in runs)
    assert len(cached(tmp_path)) == 1
