# SPDX-License-Identifier: Apache-2.0
"""Trackers of experiments, whose packages are made up here: what they are sent."""

import importlib.machinery
import json
import logging
import sys
import types

import pytest

from emformer.errors import RecipeError
from emformer.experiment.metrics_log import read_records
from emformer.experiment.metrics_writer import MetricsWriter
from emformer.experiment.trackers import check_tracker, open_tracker

CONFIG = {"model": {"num_layers": 4}, "sparsity": {"sampler": {"name": "single"}}, "seed": 3}


class Package(types.ModuleType):
    """A package that notes what it is called with."""

    def __init__(self, name: str, monkeypatch) -> None:
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None, origin="made up")
        self.calls = []
        monkeypatch.setitem(sys.modules, name, self)

    def note(self, name: str):
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))

    def of(self, name: str) -> list:
        return [(args, kwargs) for called, args, kwargs in self.calls if called == name]


@pytest.fixture
def wandb(monkeypatch) -> Package:
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    package = Package("wandb", monkeypatch)

    def init(**kwargs):
        package.calls.append(("init", (), kwargs))
        return types.SimpleNamespace(log=package.note("log"), finish=package.note("finish"))

    package.init = init
    return package


@pytest.fixture
def mlflow(monkeypatch) -> Package:
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    package = Package("mlflow", monkeypatch)
    for name in ("set_experiment", "log_params", "log_metrics", "end_run"):
        setattr(package, name, package.note(name))

    def start_run(run_id=None, run_name=None):
        package.calls.append(("start_run", (), {"run_id": run_id, "run_name": run_name}))
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id or "run-1"))

    package.start_run = start_run
    return package


@pytest.fixture
def exp_dir(tmp_path):
    (tmp_path / "synthetic" / "omni").mkdir(parents=True)
    return tmp_path / "synthetic" / "omni"


def written(exp_dir, tracker) -> None:
    with MetricsWriter(exp_dir, 0, tracker) as writer:
        writer.write("train", 5, 1.5, {"loss": 2.0, "epoch": 1})
        writer.write("valid", 8, 2.5, {"loss_sparsity-0.50": 1.0})


SENT = [({"train/loss": 2.0, "train/epoch": 1}, 5), ({"valid/loss_sparsity-0.50": 1.0}, 8)]


def test_wandb_gets_settings_and_the_figures_of_tensorboard(wandb, exp_dir):
    written(exp_dir, open_tracker("wandb", exp_dir, CONFIG))
    ((_, how),) = wandb.of("init")
    assert how["config"] == CONFIG and how["dir"] == str(exp_dir)
    assert (how["project"], how["name"]) == ("omni_sparse", "synthetic/omni")
    assert [(args[0], kwargs["step"]) for args, kwargs in wandb.of("log")] == SENT
    assert wandb.of("finish") == [((), {"exit_code": 0})]


def test_mlflow_gets_settings_and_the_figures_of_tensorboard(mlflow, exp_dir):
    written(exp_dir, open_tracker("mlflow", exp_dir, CONFIG))
    flat = {"model.num_layers": 4, "sparsity.sampler.name": "single", "seed": 3}
    assert mlflow.of("log_params") == [((flat,), {})]
    assert mlflow.of("set_experiment") == [(("omni_sparse",), {})]
    assert mlflow.of("start_run") == [((), {"run_id": None, "run_name": "synthetic/omni"})]
    assert [(args[0], kwargs["step"]) for args, kwargs in mlflow.of("log_metrics")] == SENT
    assert mlflow.of("end_run") == [(("FINISHED",), {})]


def test_mlflow_gets_no_more_settings_at_once_than_a_server_takes(mlflow, exp_dir):
    open_tracker("mlflow", exp_dir, {"model": {f"x{i}": i for i in range(230)}})
    assert [len(args[0]) for args, _ in mlflow.of("log_params")] == [100, 100, 30]


def test_the_project_is_the_environments(wandb, mlflow, exp_dir, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ours")
    for name in ("wandb", "mlflow"):
        open_tracker(name, exp_dir, CONFIG)
    assert wandb.of("init")[0][1]["project"] == "mine"
    assert mlflow.of("set_experiment") == [(("ours",), {})]


def test_a_training_that_goes_on_does_so_in_its_run(wandb, mlflow, exp_dir):
    for _ in range(2):
        for name in ("wandb", "mlflow"):
            open_tracker(name, exp_dir, CONFIG)
    first, second = (how for _, how in wandb.of("init"))
    assert first["id"] == second["id"] and second["resume"] == "allow"
    assert [how["run_id"] for _, how in mlflow.of("start_run")] == [None, "run-1"]
    assert len(mlflow.of("log_params")) == 1  # which MLflow forbids to change
    runs = json.loads((exp_dir / "tracker.json").read_text())
    assert runs == {"wandb": first["id"], "mlflow": "run-1"}


def test_two_experiments_have_two_runs(wandb, exp_dir, tmp_path):
    (tmp_path / "dense").mkdir()
    for folder in (exp_dir, tmp_path / "dense"):
        open_tracker("wandb", folder, CONFIG)
    assert len({how["id"] for _, how in wandb.of("init")}) == 2


def test_what_ends_a_training_too_early_is_told(wandb, mlflow, exp_dir):
    for name in ("wandb", "mlflow"):
        with pytest.raises(KeyboardInterrupt):
            with MetricsWriter(exp_dir, 0, open_tracker(name, exp_dir, CONFIG)):
                raise KeyboardInterrupt
    assert wandb.of("finish") == [((), {"exit_code": 1})]
    assert mlflow.of("end_run") == [(("FAILED",), {})]


def test_a_tracker_that_fails_is_left_alone_and_training_goes_on(mlflow, exp_dir, caplog):
    def fail(*_, **__):
        mlflow.calls.append(("tried", (), {}))
        raise ConnectionError("no route to host")

    mlflow.log_metrics = fail
    with caplog.at_level(logging.WARNING):
        written(exp_dir, open_tracker("mlflow", exp_dir, CONFIG))
    assert "no route to host" in caplog.text and len(mlflow.of("tried")) == 1
    assert [record["update"] for record in read_records(exp_dir / "metrics.jsonl")] == [5, 8]
    assert mlflow.of("end_run") == [(("FAILED",), {})]


def test_without_a_tracker_nothing_is_imported_or_left(exp_dir, monkeypatch):
    for name in ("wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)  # an import would fail
    check_tracker("none")
    assert open_tracker("none", exp_dir, CONFIG) is None
    written(exp_dir, None)
    assert {path.name for path in exp_dir.iterdir()} == {"metrics.jsonl", "tensorboard"}


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_told_in_one_line(name, monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    said = f"--tracker {name}: the package {name} is missing; 'python3 -m pip install {name}'"
    with pytest.raises(RecipeError, match=said):
        check_tracker(name)
    (tmp_path / name).mkdir()  # what a run leaves where it runs, and Python takes for a package
    with pytest.raises(RecipeError, match=said):
        check_tracker(name)


def test_what_the_package_says_is_told_in_one_line(wandb, exp_dir):
    def init(**_):
        raise ValueError("api_key not configured (no-tty).\nDetails follow")

    wandb.init = init
    with pytest.raises(RecipeError) as e:
        open_tracker("wandb", exp_dir, CONFIG)
    assert str(e.value) == (
        "--tracker wandb: api_key not configured (no-tty); mend that, or leave --tracker out"
    )
    assert not (exp_dir / "tracker.json").exists()


def test_a_damaged_note_of_the_runs_is_named(wandb, exp_dir):
    (exp_dir / "tracker.json").write_text('{"wandb": ')
    with pytest.raises(RecipeError, match="tracker.json: damaged; remove it"):
        open_tracker("wandb", exp_dir, CONFIG)
