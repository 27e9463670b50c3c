# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys

import pytest

from benchmarks.child import output_of


def run(code: str, **environment: str) -> str:
    return output_of([sys.executable, "-c", code], **environment)


def test_a_child_finds_the_recipes_modules_and_what_the_users_path_names(tmp_path, monkeypatch):
    (tmp_path / "of_the_user.py").write_text("NAME = 'found'\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run("import emformer, of_the_user; print(of_the_user.NAME)") == "found\n"


def test_a_child_without_a_users_path_does_not_search_the_present_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert "" not in run("import os; print(os.environ['PYTHONPATH'])").strip().split(os.pathsep)


def test_a_child_runs_where_we_are_so_that_relative_paths_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("")
    code = "import os; print(os.path.exists('mine.yaml'), os.environ['ALSO'])"
    assert run(code, ALSO="this") == "True this\n"


def test_a_child_that_fails_is_an_error():
    with pytest.raises(subprocess.CalledProcessError):
        run("raise SystemExit(3)")
