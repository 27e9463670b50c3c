# SPDX-License-Identifier: Apache-2.0
"""Files and commands that the pages show are such that the recipe takes them."""

from __future__ import annotations

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

import omni_plugin
from emformer.data.corpus import load_corpus
from omni_emformer.supernet.system import load_system
from tests.support.processes import RECIPE

ROOT = RECIPE.parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
_COMMAND = re.compile(r"(?:^|`)((?:\S*/)?run\.sh|python3 -m [\w.]+)([^`#|\n]*)", re.MULTILINE)


def yaml_of(page: str) -> str:
    """The one YAML file of a page."""
    (found,) = re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    return found


def commands(path: Path) -> list[tuple[str, str]]:
    """Commands of the recipe on a page, and what follows on their lines."""
    return _COMMAND.findall(path.read_text().replace("\\\n", " "))


def test_the_system_of_the_page_on_systems_is_one(tmp_path):
    shutil.copy(RECIPE / "conf" / "systems" / "grown.yaml", tmp_path)
    (tmp_path / "my.yaml").write_text(yaml_of("systems.md"))
    found = load_system(tmp_path / "my.yaml").sparsity
    assert (found.pattern, found.grow_from, found.sampler["name"]) == ("4x1", 0.3, "split")


def test_the_corpus_of_the_page_on_corpora_is_one(tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml_of("corpus.md"))
    assert load_corpus(tmp_path / "mine.yaml").splits == ("train", "dev", "test")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_options_of_run_sh_are_those_of_its_help(path):
    text = (RECIPE / "run.sh").read_text()
    known = set(re.findall(r"--[a-z][a-z-]*", text)) | {"--help"}
    for name, rest in commands(path):
        if name.endswith("run.sh"):
            assert set(re.findall(r"--[a-z][a-z-]*", rest)) <= known, rest


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_modules_that_commands_run_exist(path):
    for name, rest in commands(path):
        if name.startswith("python3"):
            module = name.split()[-1]
            assert module in ("pytest", "pip") or find_spec(module), name + rest


def test_commands_are_found():
    names = {name for name, _ in commands(DOCS / "getting_started.md")}
    assert {"./run.sh", "python3 -m omni_emformer.sweep"} <= names


def test_the_citation_has_the_packages_version():
    assert f"\nversion: {omni_plugin.__version__}\n" in (ROOT / "CITATION.cff").read_text()
