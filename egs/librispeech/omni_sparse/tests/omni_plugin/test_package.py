# SPDX-License-Identifier: Apache-2.0
"""What `pip install .` installs: the plugin, its command, and nothing of the recipe."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import omni_plugin
from tests.support.processes import RECIPE

ROOT = RECIPE.parents[2]
COMMAND = "omni-plugin-icefall"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that `pip install .` fills, from a copy in which the build leaves its traces."""
    # Not looked for in this process, where setuptools would then leave distutils to Python.
    if subprocess.run([sys.executable, "-m", "pip", "--version"], check=False).returncode:
        pytest.skip("pip is missing")
    copied, target = (tmp_path_factory.mktemp(name) for name in ("copied", "target"))
    (copied / "docs").mkdir()
    for name in ("pyproject.toml", "docs/torch_model.md", "LICENSE"):
        shutil.copy(ROOT / name, copied / name)
    recipe = copied / RECIPE.relative_to(ROOT)
    for name in ("omni_plugin", "omni_emformer", "emformer", "local"):
        shutil.copytree(RECIPE / name, recipe / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    done = subprocess.run(
        [*pip, *options, str(copied)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return target


def test_the_package_is_the_plugin_and_nothing_else(installed):
    names = {path.name for path in installed.iterdir()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"omni_plugin", "bin"}
    assert [path.name for path in (installed / "bin").iterdir()] == [COMMAND]
    ours = {p.relative_to(RECIPE) for p in (RECIPE / "omni_plugin").rglob("*.py")}
    assert {p.relative_to(installed) for p in installed.rglob("*.py")} == ours


def test_the_package_is_marked_as_typed(installed):
    assert (installed / "omni_plugin" / "py.typed").exists()


def test_the_package_and_the_module_have_one_version(installed):
    (metadata,) = installed.glob("*.dist-info/METADATA")
    assert f"\nVersion: {omni_plugin.__version__}\n" in metadata.read_text()


def test_the_package_asks_for_torch_alone(installed):
    (metadata,) = installed.glob("*.dist-info/METADATA")
    needs = re.findall(r"^Requires-Dist: (.*)$", metadata.read_text(), flags=re.MULTILINE)
    assert [need for need in needs if "extra ==" not in need] == ["torch>=1.13"]


def test_the_package_works_from_anywhere_and_imports_nothing_else(installed, tmp_path):
    script = textwrap.dedent("""
        import sys, torch
        before = set(sys.modules)
        import omni_plugin, omni_plugin.distillation, omni_plugin.sampling, omni_plugin.sweep
        supernet = omni_plugin.SuperNet(torch.nn.Linear(16, 16))
        assert int((supernet.bake(0.5)["weight"] == 0).sum()) == 128
        others = {name.split(".")[0] for name in set(sys.modules) - before}
        print(omni_plugin.__file__, sorted(others - set(sys.stdlib_module_names) - {"torch"}))
    """)
    env = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{installed}/omni_plugin/__init__.py ['omni_plugin']"


# The command.


@pytest.fixture(scope="module")
def call(installed, tmp_path_factory):
    """Runs the installed command, in a folder that has nothing of ours."""
    folder = tmp_path_factory.mktemp("elsewhere")
    env = {**os.environ, "PYTHONPATH": str(installed)}

    def run(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(installed / "bin" / COMMAND), *words]
        return subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, check=False
        )

    return run


def test_the_command_explains_itself_by_its_own_name(call):
    done = call("--help")
    assert done.returncode == 0 and done.stdout.startswith(f"usage: {COMMAND} [-h]")


def test_a_mistake_at_the_command_is_one_line(call):
    words = ["--recipe", "zipformer", "--exp-dir", "exp", "--subnet", "0.5"]
    done = call("bake", *words)
    assert done.returncode == 1 and done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


# What is told of it.


def told(installed: Path, name: str) -> list[str]:
    (metadata,) = installed.glob("*.dist-info/METADATA")
    return re.findall(rf"^{name}: (.*)$", metadata.read_text(), flags=re.MULTILINE)


def test_the_licence_goes_with_the_package(installed):
    assert told(installed, "License-Expression") == ["Apache-2.0"]
    assert len(list(installed.glob("*.dist-info/licenses/LICENSE"))) == 1


def test_every_address_is_in_the_readme_too(installed):
    """So that a reader of the one finds what a reader of the other does."""
    addresses = [one.split(", ")[-1] for one in told(installed, "Project-URL")]
    readme = (ROOT / "README.md").read_text()
    assert len(addresses) == 3 and all(f"({one})" in readme for one in addresses)


def test_it_says_that_it_is_typed(installed):
    assert "Typing :: Typed" in told(installed, "Classifier")
