# SPDX-License-Identifier: Apache-2.0
"""What ends a command, and how it is told."""

import errno
import logging
import os
import subprocess
import sys

import pytest

from emformer.errors import RecipeError, run_main
from emformer.experiment.logs import setup_logging
from tests.support.processes import RECIPE


def raising(error: Exception):
    def main() -> None:
        raise error

    return main


def test_a_mistake_is_one_line_and_status_1(capsys):
    assert run_main(raising(RecipeError("x.yaml: no such file; make it"))) == 1
    assert capsys.readouterr().err == "error: x.yaml: no such file; make it\n"


@pytest.mark.parametrize(
    "number, remedy",
    [
        (errno.EACCES, "choose a folder where you may write"),
        (errno.EROFS, "choose a folder where you may write"),
        (errno.ENOSPC, "make room"),
        (errno.ENOTDIR, "a file is where a folder is meant"),
    ],
)
def test_what_the_system_withholds_is_one_line(number, remedy, capsys):
    error = OSError(number, os.strerror(number), "data/.toy.done")
    assert run_main(raising(error)) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: data/.toy.done: {os.strerror(number)}; {remedy}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "defect", [ValueError("ours"), OSError(errno.EBADF, "ours", "x"), OSError("ours")]
)
def test_a_defect_of_ours_keeps_its_traceback(defect):
    with pytest.raises(type(defect), match="ours"):
        run_main(raising(defect))


def test_a_reader_that_stops_is_no_mistake():
    program = (
        "import sys; from emformer.errors import run_main\n"
        "sys.exit(run_main(lambda: [print('x' * 99) for _ in range(9999)] and None))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=RECIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_log_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "log")

    monkeypatch.setattr(logging, "FileHandler", refuse)
    with pytest.raises(RecipeError, match=f"{tmp_path}: cannot be written to .Permission denied."):
        setup_logging(tmp_path / "log", "train")
