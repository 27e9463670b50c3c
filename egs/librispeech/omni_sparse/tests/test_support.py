# SPDX-License-Identifier: Apache-2.0
"""Tests stand alone: what several of them need is in tests/support, and nothing else is shared."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.support.processes import RECIPE

SUPPORT = Path("tests/support")
FILES = sorted(path.relative_to(RECIPE) for path in (RECIPE / "tests").rglob("*.py"))


def is_test(path: Path) -> bool:
    """Whether pytest collects it, be it for tests or for fixtures."""
    return path.name.startswith("test_") or path.name == "conftest.py"


def imported_by(path: Path) -> set[Path]:
    """Files under tests/ that a file imports, wherever it does: at its top, in a function."""
    found = set()
    for node in ast.walk(ast.parse((RECIPE / path).read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 or "standin" in path.parts, f"{path}: imports are absolute here"
            # `from a import b` is an import of a/b.py where that is a module.
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {Path(*name.split(".")).with_suffix(".py") for name in names if name}
    return found & set(FILES) - {path}


def test_what_is_shared_is_in_support():
    """But for the programs that a test runs, which lie beside it."""
    bad = []
    for path in FILES:
        for other in imported_by(path):
            beside = path.parent == other.parent and not is_test(other)
            if SUPPORT not in other.parents and (SUPPORT in path.parents or not beside):
                bad.append(f"{path} imports {other}")
    assert not bad, "\n".join(bad)


def test_imports_are_found():
    """Of a module by its own name, and of names in a module."""
    folder = Path("tests/omni_plugin/supernet")
    assert {folder / "ddp_run.py", SUPPORT / "ranks.py"} < imported_by(folder / "test_ddp.py")
    layers = imported_by(SUPPORT / "layer_trainings.py")
    assert layers == {SUPPORT / "supernets.py", SUPPORT / "training.py"}


def test_support_has_no_tests():
    assert not [path for path in FILES if SUPPORT in path.parents and is_test(path)]
