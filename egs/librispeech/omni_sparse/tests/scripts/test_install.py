# SPDX-License-Identifier: Apache-2.0
"""install.sh and path.sh: what they say and refuse. Nothing here needs a network."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.processes import RECIPE

REPO = RECIPE.parents[2]


@pytest.fixture
def clone(tmp_path):
    """A repository with what install.sh needs, so that no test touches the real environments."""
    root = tmp_path / "a clone"
    recipe = root / RECIPE.relative_to(REPO)
    recipe.mkdir(parents=True)
    for name in ("install.sh", "path.sh"):
        shutil.copy(RECIPE / name, recipe / name)
    for name in ("local", "emformer"):
        shutil.copytree(RECIPE / name, recipe / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(REPO / "requirements", root / "requirements")
    return root


def install(clone, *words, **environment):
    """Run install.sh from a folder that is not its own, with a package index that has nothing."""
    env = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    env.pop("OMNI_PYTHON", None)
    script = clone / RECIPE.relative_to(REPO) / "install.sh"
    return subprocess.run(
        ["bash", str(script), *map(str, words)],
        cwd=clone.parent,
        env={**env, **environment},
        capture_output=True,
        text=True,
    )


def source_path(clone, code, **environment):
    """Source path.sh under ``set -eu`` from another folder and run ``code``."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OMNI_", "PYTHONPATH"))}
    script = clone / RECIPE.relative_to(REPO) / "path.sh"
    done = subprocess.run(
        ["bash", "-euc", f'. "{script}"; {code}'],
        cwd="/",
        env={**env, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def error_line(done, status):
    """The one line on stderr of a run that ended with ``status``."""
    assert done.returncode == status, (done.stdout, done.stderr)
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture
def bare_python(tmp_path):
    """An environment with nothing in it."""
    venv.create(tmp_path / "bare", symlinks=True, with_pip=False)
    return tmp_path / "bare" / "bin" / "python3"


def test_help(clone):
    done = install(clone, "--help")
    assert done.returncode == 0
    for word in ("--set k2", "--set current", "--venv DIR", "--python PYTHON", "--force"):
        assert word in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--sett", "k2"], "--sett"),
        (["k2"], "k2"),
        (["--set"], "--set needs a value"),
        (["--set", "k3"], "k3"),
        (["--venv", "x", "--python", sys.executable], "not both"),
    ],
)
def test_usage_errors(clone, words, told):
    assert told in error_line(install(clone, *words), status=2)


def test_python_without_torch_is_told_with_the_remedy(clone, bare_python):
    line = error_line(install(clone, "--python", bare_python), status=1)
    assert str(bare_python) in line
    assert "torch" in line and "install.sh --set k2" in line and "pip install" in line
    assert not (clone / ".env-k2").exists()


def test_python_that_does_not_exist(clone):
    line = error_line(install(clone, "--python", "/nowhere/python3"), status=1)
    assert "/nowhere/python3" in line


def test_environment_of_the_users_is_checked_and_remembered(clone):
    pytest.importorskip("k2", reason="needs an environment with k2")
    python = Path(sys.prefix) / "bin" / "python3"
    done = install(clone, "--python", python)
    assert done.returncode == 0, done.stderr
    assert "k2" in done.stdout
    assert source_path(clone, "command -v python3") == str(python)


def test_environment_of_the_users_is_not_replaced(clone, bare_python):
    (clone / ".env-k2").write_text(f"{bare_python}\n")
    done = install(clone)
    assert done.returncode == 0, done.stderr
    assert str(bare_python) in done.stdout
    assert not (clone / ".venv-k2").exists()


def test_gpu_that_torch_1_13_does_not_know_is_told_at_once(clone, tmp_path):
    """With a stand-in for nvidia-smi that reports two GPUs."""
    smi = tmp_path / "bin" / "nvidia-smi"
    smi.parent.mkdir()
    smi.write_text("#!/bin/sh\nprintf '8.6\\n12.0\\n'\n")
    smi.chmod(0o755)
    path = f"{smi.parent}:{os.environ['PATH']}"
    line = error_line(install(clone, PATH=path, CUDA_VISIBLE_DEVICES="0,1"), status=1)
    assert "12.0" in line and "--set current" in line
    on_cpu = install(clone, PATH=path, CUDA_VISIBLE_DEVICES="")
    assert "12.0" not in on_cpu.stderr


def test_full_disk_is_told_before_anything_is_downloaded(clone, tmp_path):
    """With a stand-in for df that reports half a gigabyte."""
    df = tmp_path / "bin" / "df"
    df.parent.mkdir()
    df.write_text("#!/bin/sh\nprintf 'Avail\\n500000\\n'\n")
    df.chmod(0o755)
    line = error_line(install(clone, PATH=f"{df.parent}:{os.environ['PATH']}"), status=1)
    assert str(clone / ".venv-k2") in line and "0 GB are free" in line and "--venv" in line


def test_foreign_folder_is_not_written_to(clone, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    line = error_line(install(clone, "--venv", tmp_path / "mine"), status=1)
    assert str(tmp_path / "mine") in line and "--venv" in line
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_half_made_environment_is_never_taken_for_a_good_one(clone):
    """pip fails for want of an index: the next run goes on, and path.sh does not use the rest."""
    for _ in range(2):
        done = install(clone)
        if "found no Python" in done.stderr:
            pytest.skip("there is no Python 3.10 to make an environment with")
        assert done.returncode == 1
        assert "pip install" in done.stderr.splitlines()[-1]
        assert "is complete" not in done.stdout
    venv_folder = clone / ".venv-k2"
    assert (venv_folder / "bin" / "python3").exists()
    assert "making" not in done.stdout, "the second run made the environment anew"
    python = source_path(clone, "command -v python3")
    assert not python.startswith(str(venv_folder))


def make_stand_in(clone, folder):
    """A folder like an environment, with the stamp that install.sh gives a complete one."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python3").write_text("#!/bin/sh\nexit 1\n")
    (folder / "bin" / "python3").chmod(0o755)
    lists = [clone / "requirements" / f"{name}.txt" for name in ("build", "native", "k2")]
    text = b"".join(p.read_bytes() for p in lists)
    digest = subprocess.run(["sha256sum"], input=text, capture_output=True, check=True).stdout
    (folder / ".omni_sparse").write_text(f"set k2 at {folder}\ncomplete {digest[:16].decode()}\n")


def test_a_link_to_a_complete_environment_is_that_one(clone, tmp_path):
    make_stand_in(clone, tmp_path / "other" / ".venv-k2")
    (clone / ".venv-k2").symlink_to(tmp_path / "other" / ".venv-k2")
    done = install(clone)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"install.sh: {tmp_path}/other/.venv-k2 is complete\n"


def test_complete_environment_is_left_alone_until_the_requirements_change(clone):
    folder = clone / ".venv-k2"
    make_stand_in(clone, folder)
    stamp, last_list = folder / ".omni_sparse", clone / "requirements" / "k2.txt"

    done = install(clone)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"install.sh: {folder} is complete\n"
    assert source_path(clone, "command -v python3") == str(folder / "bin" / "python3")

    line = error_line(install(clone, "--set", "current", "--venv", folder), status=1)
    assert "another set" in line

    with last_list.open("a") as f:
        f.write("# changed\n")
    done = install(clone)
    assert done.returncode == 1
    assert "is complete" not in done.stdout
    assert stamp.read_text() == f"set k2 at {folder}\n"


def test_path_without_any_environment_keeps_the_active_python(clone, bare_python):
    code = 'echo "$(command -v python3) $PYTHONPATH"'
    path = f"{bare_python.parent}:{os.environ['PATH']}"
    expected = f"{bare_python} {clone / RECIPE.relative_to(REPO)}"
    assert source_path(clone, code, PATH=path) == expected
    assert source_path(clone, code, PATH=path, PYTHONPATH="/mine") == f"{expected}:/mine"


def test_path_prefers_omni_python(clone, bare_python):
    (clone / ".env-k2").write_text("/usr/bin/env\n")
    code = "command -v python3"
    assert source_path(clone, code, OMNI_PYTHON=str(bare_python)) == str(bare_python)


def test_path_takes_the_set_that_is_asked_for(clone, bare_python):
    (clone / ".env-current").write_text(f"{bare_python}\n")
    for asked in ("", "current"):
        assert source_path(clone, "command -v python3", OMNI_SET=asked) == str(bare_python)
    assert source_path(clone, "command -v python3", OMNI_SET="k2") != str(bare_python)
