# SPDX-License-Identifier: Apache-2.0
"""benchmarks/gpu/kit.sh with a Python that only notes what it is asked, and run.sh's dry run."""

import subprocess
import sys

import pytest

from tests.support.processes import RECIPE, environment

KIT = RECIPE / "benchmarks" / "gpu" / "kit.sh"


@pytest.fixture
def kit(tmp_path):
    """A function that calls the kit; its folder is ``tmp_path / "kit"``."""

    def call(command, *words, python=sys.executable) -> subprocess.CompletedProcess:
        line = ["bash", KIT, command, tmp_path / "kit", "--python", python, *words]
        return subprocess.run(
            list(map(str, line)), cwd=tmp_path, env=environment(), capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip

    return call


@pytest.fixture
def noting(tmp_path):
    """A Python that writes its arguments to ``asked``, and fails where these name ``broken``."""
    path = tmp_path / "python3"
    asked, broken = tmp_path / "asked", tmp_path / "broken"
    path.write_text(
        f'#!/bin/sh\necho "$@" >>{asked}\necho "said: $2"\n'
        f'[ ! -e {broken} ] || ! echo "$@" | grep -q "$(cat {broken})"\n'
    )
    path.chmod(0o755)
    return path


def asked(tmp_path) -> list[str]:
    return (tmp_path / "asked").read_text().splitlines()


def test_a_dry_run_tells_all_steps_in_order(kit, tmp_path):
    done = kit("run", "--dry-run", "--", "--num-epochs", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ") and line.endswith(":")] == [
        "install:", "corpus:", "parity:", "step:", "train:",
    ]  # fmt: skip
    # run.sh itself says what it would train.
    assert "-m local.prepare_synthetic " in done.stdout
    for system in ("omni", "pruned", "chain"):
        assert f"conf/systems/{system}.yaml" in done.stdout
    assert "--num-epochs 3" in done.stdout
    assert not (tmp_path / "kit" / "table.md").exists()


def test_what_run_sh_refuses_is_a_failed_step(kit):
    done = kit("run", "--dry-run", "--steps", "train", "--", "--num-epochs", "few")
    assert done.returncode == 1
    assert "--num-epochs" in done.stdout and "train: FAILED" in done.stdout


def test_steps_are_done_once(kit, noting, tmp_path):
    for _ in range(2):
        done = kit("run", "--steps", "parity step", python=noting)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "parity: done before" in done.stdout
    assert [line.split()[0] for line in asked(tmp_path)] == [
        "-m",
        "benchmarks/rnnt_recursion.py",
        "benchmarks/supernet_step.py",
    ]
    assert "said: --device" in (tmp_path / "kit" / "table.md").read_text()


def test_a_failed_step_is_in_the_table_and_tried_again(kit, noting, tmp_path):
    (tmp_path / "broken").write_text("pytest")
    done = kit("run", "--steps", "parity step", python=noting)
    assert done.returncode == 1
    assert "Step parity FAILED." in (tmp_path / "kit" / "table.md").read_text()
    assert len(asked(tmp_path)) == 3  # the next step was not stopped
    (tmp_path / "broken").unlink()
    done = kit("run", "--steps", "parity step", python=noting)
    assert done.returncode == 0 and "step: done before" in done.stdout
    assert "FAILED" not in (tmp_path / "kit" / "table.md").read_text()


def test_a_step_ends_with_its_first_command_that_fails(kit, noting, tmp_path):
    (tmp_path / "broken").write_text("rnnt_recursion")
    assert kit("run", "--steps", "step", python=noting).returncode == 1
    assert len(asked(tmp_path)) == 1


def test_without_packages_nothing_else_is_tried(kit, noting, tmp_path):
    (tmp_path / "broken").write_text("install")
    assert kit("run", python=noting).returncode == 1
    assert len(asked(tmp_path)) == 1


def test_what_is_packed_has_the_versions_of_the_set(kit):
    done = kit("pack", "--dry-run")
    assert done.returncode == 0, done.stderr
    pins = (RECIPE.parents[2] / "requirements" / "current.txt").read_text().splitlines()
    packed = [word for word in done.stdout.split() if "==" in word]
    assert "lhotse" in done.stdout and set(packed) <= set(pins) and len(packed) > 20
    assert "build_wheel.sh" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--device", "tpu"], "--device is cuda or cpu, not tpu"),
        (["--steps", "corpus deploy"], "there is no step deploy"),
        (["--fast"], "unknown option --fast"),
        (["--steps"], "--steps needs a value"),
    ],
)
def test_what_cannot_be_meant_is_one_line(kit, words, message):
    done = kit("run", *words)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert message in done.stderr
