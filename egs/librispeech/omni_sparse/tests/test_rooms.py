# SPDX-License-Identifier: Apache-2.0
"""Imports keep to the table of ARCHITECTURE.md: one way, without a circle."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.processes import RECIPE

PAGE = RECIPE.parents[2] / "ARCHITECTURE.md"
LIBRARIES = ("emformer", "omni_emformer", "omni_plugin", "omni_recognizer")
PACKAGES = (*LIBRARIES, "local", "benchmarks", "examples")
MOST_FILES = 20


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(RECIPE).with_suffix("").parts).removesuffix(".__init__")


@cache
def modules() -> dict[str, Path]:
    found = (path for package in PACKAGES for path in (RECIPE / package).rglob("*.py"))
    return {module_name(path): path for path in found}


def imported_by(name: str) -> set[str]:
    """Modules of ours that a module imports, wherever it does: at its top, in a function."""
    found = set()
    for node in ast.walk(ast.parse(modules()[name].read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute here"
            # `from a import b` is an import of a.b where that is a module.
            found |= {f"{node.module}.{a.name}" for a in node.names} & modules().keys() or {
                node.module
            }
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & modules().keys() - {name}


@cache
def rooms() -> dict[str, set[str]]:
    """What each room of the tables may import; a row may name several rooms."""
    table: dict[str, set[str]] = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" |")]
        names = re.findall(r"`([\w.]+)`", cells[0])
        if not line.startswith("| `") or names[0].split(".")[0] not in PACKAGES:
            continue
        allowed: set[str] = set()
        for whole, room in re.findall(r"(all of )?`([\w.]+)`", cells[2] if len(cells) > 2 else ""):
            allowed |= {f"{room}.*"} if whole else {room}
        for name in names:
            table[name] = table.get(name, set()) | allowed
    return table


def room_of(name: str) -> str:
    """The room of the longest name that the module's begins with."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in rooms():
            return ".".join(parts[:end])
    raise AssertionError(f"{name} lies in no room of {PAGE.name}")


def is_allowed(room: str, other: str) -> bool:
    if room == other:
        return True
    if room.startswith("omni_plugin.") and other in ("omni_plugin.errors", "omni_plugin.options"):
        return True
    for one in rooms()[room]:
        whole = one.endswith(".*") or one == "omni_plugin"  # whose rooms are its own matter
        base = one.removesuffix(".*")
        if other == base or (whole and other.startswith(base + ".")):
            return True
    return False


def test_the_tables_are_read():
    assert rooms()["emformer"] == set() and rooms()["examples"] == {"omni_plugin"}
    assert rooms()["emformer.decode"] > {"emformer.decoding", "emformer.scoring"}


@pytest.mark.parametrize("name", sorted(modules()))
def test_a_module_imports_what_its_room_may(name):
    room = room_of(name)
    bad = {other for other in imported_by(name) if not is_allowed(room, room_of(other))}
    assert not bad, f"{name} ({room}) imports {sorted(bad)}; see {PAGE.name}"


def test_no_room_imports_itself_by_way_of_others():
    graph = {name: imported_by(name) for name in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as e:
        raise AssertionError(" -> ".join(e.args[1])) from None


def test_nothing_imports_what_only_stages_run():
    for name in modules():
        if name.split(".")[0] not in ("local", "benchmarks"):
            used = {other.split(".")[0] for other in imported_by(name)}
            assert not used & {"local", "benchmarks", "examples"}, name


def test_no_folder_has_more_files_than_can_be_taken_in():
    for folder in {path.parent for path in modules().values()}:
        files = [p for p in folder.iterdir() if p.is_file()]
        assert len(files) <= MOST_FILES, f"{folder}: {len(files)} files"


def test_every_room_of_the_tables_exists():
    for room in rooms():
        assert (RECIPE / Path(*room.split("."))).with_suffix(".py").exists() or (
            RECIPE / Path(*room.split("."))
        ).is_dir(), room
