# SPDX-License-Identifier: Apache-2.0
"""The Dockerfile, as far as it can be held without building it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache

import pytest

from tests.support.processes import RECIPE

ROOT = RECIPE.parents[2]


@cache
def instructions() -> list[tuple[str, str]]:
    """Each instruction and what it is given, lines joined."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r" *\\\n *", " ", text).splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def given(name: str) -> list[str]:
    return [rest for one, rest in instructions() if one == name]


def sources(copy: str) -> list[str]:
    """What a COPY takes from the repository."""
    return [word for word in copy.split() if not word.startswith("--")][:-1]


@cache
def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a file out: a pattern matches it, or a folder above it."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    for pattern in (line for line in lines if line and not line.startswith("#")):
        assert not pattern.startswith("!"), "exceptions are not read here"
        parts = re.split(r"(\*\*/|\*|\?)", pattern)
        known = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
        if re.match("".join(known.get(p, re.escape(p)) for p in parts) + r"(?:/|$)", path):
            return True
    return False


@cache
def tracked() -> list[str]:
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("no Git repository")
    return done.stdout.split("\n")[:-1]


def test_the_base_is_of_one_version_and_has_the_python_of_the_set():
    (base,) = given("FROM")
    version = re.fullmatch(r"python:(\d+\.\d+)\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", base)[1]
    assert f"k2) pythons=({version})" in (RECIPE / "install.sh").read_text()


def test_what_it_copies_exists_and_is_not_kept_out():
    for copy in given("COPY"):
        for source in sources(copy):
            assert (ROOT / source).exists(), source
            assert source == "." or not ignored(source), source
    assert not given("ADD")


def test_it_installs_by_install_sh_and_leaves_no_cache():
    (install,) = [run for run in given("RUN") if "pip" in run.lower() or "install.sh" in run]
    assert " egs/librispeech/omni_sparse/install.sh --set k2 " in f" {install} "
    assert install.endswith("rm -rf /home/omni/.cache")


def test_no_root_installs_packages_or_runs_what_is_in_it():
    names = [name for name, _ in instructions()]
    assert given("USER") == ["omni"]
    assert names.index("USER") < min(names.index(name) for name in ("COPY", "CMD", "WORKDIR"))
    assert all("--chown=omni" in copy.split() for copy in given("COPY"))


def test_what_is_copied_before_the_installation_is_all_that_its_check_reads(tmp_path):
    until = instructions()[: [("install.sh --set" in rest) for _, rest in instructions()].index(1)]
    for copy in (rest for name, rest in until if name == "COPY"):
        source = sources(copy)[0]
        target = tmp_path / copy.split()[-1]
        target.parent.mkdir(parents=True, exist_ok=True)
        copier = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copier(ROOT / source, target)
    recipe = tmp_path / RECIPE.relative_to(ROOT)
    for path in re.findall(
        r'"?\$requirements"?/(\w+\.(?:txt|sh))', (RECIPE / "install.sh").read_text()
    ):
        assert (tmp_path / "requirements" / path).exists(), path
    done = subprocess.run(
        [sys.executable, "-m", "local.check_env"],
        cwd=recipe,
        env={**os.environ, "PYTHONPATH": str(recipe)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_in_the_repository_is_copied():
    lost = {path for path in tracked() if ignored(path)}
    assert all(path.startswith(".git") for path in lost), lost


@pytest.mark.parametrize(
    "path",
    [
        ".git/HEAD",
        ".venv-k2/bin/python3",
        ".env-k2",
        "egs/librispeech/omni_sparse/exp/synthetic/omni/epoch-1.pt",
        "egs/librispeech/omni_sparse/data/synthetic/manifests",
        "egs/librispeech/omni_sparse/emformer/__pycache__/train.cpython-310.pyc",
        "egs/librispeech/omni_sparse/omni_runtime/build/omni-transcribe",
    ],
)
def test_what_is_of_this_machine_is_kept_out(path):
    assert ignored(path)
