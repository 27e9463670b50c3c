# SPDX-License-Identifier: Apache-2.0
"""benchmarks/gpu/kit.sh with a Python that only notes what it is asked, and run.sh's dry run."""

import subprocess
import sys

import pytest

from benchmarks.gpu.plan import dense_update, epochs_in
from emformer.errors import RecipeError
from tests.support.processes import RECIPE, environment, run_python

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
        "install:", "corpus:", "parity:", "step:", "train:", "wide:",
    ]  # fmt: skip
    # run.sh itself says what it would train.
    assert "-m local.prepare_synthetic " in done.stdout
    for system in ("omni", "pruned", "chain"):
        assert f"conf/systems/{system}.yaml" in done.stdout
    assert "--num-epochs 3" in done.stdout
    assert "conf/demo_wide.yaml" in done.stdout
    assert "install.sh" not in done.stdout  # which would want a package index
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
        *(["benchmarks/supernet_step.py", "benchmarks/step_profile.py"] * 2),
        "benchmarks/supernet_step.py",
    ]
    assert "said: --device" in (tmp_path / "kit" / "table.md").read_text()


def test_a_failed_step_is_in_the_table_and_tried_again(kit, noting, tmp_path):
    (tmp_path / "broken").write_text("pytest")
    done = kit("run", "--steps", "parity step", python=noting)
    assert done.returncode == 1
    assert "Step parity FAILED." in (tmp_path / "kit" / "table.md").read_text()
    assert len(asked(tmp_path)) == 7  # the next step was not stopped
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


def test_what_the_machine_has_is_not_packed(kit, tmp_path):
    (tmp_path / "has").write_text("matplotlib==3.9.0\nKaldi_Native_Fbank==1.0\ntoolz 1.0\n")
    names = [
        {word.split("==")[0] for word in kit("pack", *words).stdout.split() if "==" in word}
        for words in (["--dry-run"], ["--dry-run", "--has", tmp_path / "has"])
    ]
    assert names[0] - names[1] == {"matplotlib", "kaldi-native-fbank", "toolz"}


def test_the_steps_need_no_package_that_is_not_brought():
    left_out = ["alembic", "onnx", "onnxruntime", "optuna", "sherpa_onnx", "sqlalchemy"]
    steps = ["local.prepare_synthetic", "local.prepare_synthetic_manifests", "local.compute_fbank"]
    steps += ["local.train_bpe_model", "emformer.train", "omni_emformer.train"]
    steps += ["omni_emformer.sweep.__main__", "omni_emformer.report.__main__"]
    code = f"import importlib, sys; sys.modules.update(dict.fromkeys({left_out}))"
    run_python("-c", f"{code}\nfor name in {steps}: importlib.import_module(name)")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--device", "tpu"], "--device is cuda or cpu, not tpu"),
        (["--steps", "corpus deploy"], "there is no step deploy"),
        (["--fast"], "unknown option --fast"),
        (["--minutes", "soon"], "--minutes is a whole number, not soon"),
        (["--steps"], "--steps needs a value"),
    ],
)
def test_what_cannot_be_meant_is_one_line(kit, words, message):
    done = kit("run", *words)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert message in done.stderr


def test_no_step_begins_when_the_time_is_over(kit, noting, tmp_path):
    done = kit("run", "--steps", "parity step", "--minutes", "0", python=noting)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "asked").exists()
    table = (tmp_path / "kit" / "table.md").read_text()
    assert "Step parity was not begun" in table and "Step step was not begun" in table


def test_an_update_is_timed_on_a_cpu(kit, tmp_path):
    done = kit("run", "--steps", "step", "--device", "cpu", "--small")
    assert done.returncode == 0, done.stdout + done.stderr
    table = (tmp_path / "kit" / "table.md").read_text()
    assert "| recursion | ms | largest error |" in table
    assert "kernels  busy ms" in table
    assert f"\ndense {' ' * 18}" in table and "\nsandwich, 2 passes" in table


def test_systems_are_trained_and_compared(kit, tmp_path, tiny_data, tiny_config):
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "data").symlink_to(tiny_data)
    options = ["--config", tiny_config, "--systems", "dense omni", "--max-duration", "14"]
    options += ["--num-epochs", "2"]
    options += ["--lang-dir", tiny_data / "lang_bpe_64", "--subnets", "0 0.9"]
    done = kit("run", "--steps", "train", "--device", "cpu", "--", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    table = (tmp_path / "kit" / "table.md").read_text()
    assert "| dense |" in table and "| omni |" in table


def test_on_a_gpu_trainings_have_the_epochs_that_fit(kit, tmp_path, tiny_data):
    python = tmp_path / "python3"  # where an update of the dense model takes 2 ms
    python.write_text(
        "#!/bin/sh\ncase $1 in\n"
        "  *step_profile.py) echo 'dense 10 1.00 2.00 1' ;;\n"
        f"  *plan.py) exec {sys.executable} \"$@\" ;;\n"
        "  *) exit 1 ;;\nesac\n"
    )
    python.chmod(0o755)
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "data").symlink_to(tiny_data)
    done = kit("run", "--steps", "wide", "--device", "cuda", python=python)
    assert done.returncode == 1  # there is nothing that could be trained
    (command,) = [line for line in done.stdout.splitlines() if line.startswith("  ./run.sh")]
    assert " --num-epochs 24 " in command + " " and "--config conf/demo_wide.yaml" in command


@pytest.mark.parametrize(
    ("seconds", "update", "busy", "epochs"),
    [
        (300, 0.05, 0.001, 15),  # what waits for one another takes 2 x 100 x 50 ms, twice that
        (300, 0.05, 0.04, 4),  # all of them take 8 x 100 x 40 ms, twice that
        (300, 5, 4, 1),
        (300, 0.001, 0.001, 24),
    ],
)
def test_as_many_epochs_as_fit_and_at_least_one(seconds, update, busy, epochs):
    assert epochs_in(seconds, update, busy, updates=100, trainings=8, longest=2) == epochs


def test_an_updates_time_is_read_from_the_profile():
    profile = "update kernels busy ms span ms waits\ndense       1722    30.97    76.32      2\n"
    assert dense_update(profile) == pytest.approx((0.07632, 0.03097))


@pytest.mark.parametrize("profile", ["Killed\n", "dense   0   0.00   0.00   0\n"])
def test_a_profile_without_a_gpus_time_is_told_in_one_line(profile):
    with pytest.raises(RecipeError, match=r"no table of benchmarks/step_profile.py"):
        dense_update(profile)
