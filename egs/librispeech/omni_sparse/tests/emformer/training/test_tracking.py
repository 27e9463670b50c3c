# SPDX-License-Identifier: Apache-2.0
"""Trainings whose figures go to a tracker, too; its package is made up."""

import importlib.machinery
import sys
import types

import pytest

from emformer.errors import RecipeError
from emformer.experiment.metrics_log import read_records
from emformer.train import get_parser, make_trainer
from emformer.training.distributed import Processes
from emformer.training.method import TrainingMethod
from tests.support.training import Interrupted, interrupt_at, trainer, words

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def runs(monkeypatch) -> dict[str, types.SimpleNamespace]:
    """What MLflow's runs have, by name."""
    found: dict[str, types.SimpleNamespace] = {}
    package, open_run = types.ModuleType("mlflow"), []
    package.__spec__ = importlib.machinery.ModuleSpec("mlflow", None, origin="made up")

    def start_run(run_id=None, run_name=None):
        open_run[:] = [run_id or f"run-{len(found)}"]
        found.setdefault(open_run[0], types.SimpleNamespace(sent=[], settings={}, ends=[]))
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=open_run[0]))

    package.start_run = start_run
    package.set_experiment = lambda name: None
    package.log_params = lambda values: found[open_run[0]].settings.update(values)
    package.log_metrics = lambda values, step: found[open_run[0]].sent.append((step, values))
    package.end_run = lambda status: found[open_run[0]].ends.append(status)
    monkeypatch.setitem(sys.modules, "mlflow", package)
    return found


TRACKED = ("--tracker", "mlflow", "--num-epochs", "1")


def test_a_run_that_goes_on_sends_what_metrics_jsonl_has_to_one_run(
    runs, config, tiny_data, tmp_path
):
    with pytest.raises(Interrupted):
        trainer(tiny_data, config, tmp_path, *TRACKED, method=interrupt_at(9)).fit()
    trainer(tiny_data, config, tmp_path, *TRACKED).fit()
    (run,) = runs.values()
    # What came after the checkpoint is sent again: the last counts.
    sent = {(step, name): value for step, values in run.sent for name, value in values.items()}
    kept = {
        (record["update"], f"{record['group']}/{name}"): value
        for record in read_records(tmp_path / "metrics.jsonl")
        for name, value in record.items()
        if name not in ("group", "update", "seconds")
    }
    assert sent == kept and len({step for step, _ in kept}) > 5
    assert run.ends == ["FAILED", "FINISHED"]


def test_settings_of_the_training_and_of_its_method_are_sent(runs, config, tiny_data, tmp_path):
    args = get_parser().parse_args(words(tiny_data, config, tmp_path, *TRACKED, "--seed", "5"))
    more = {"sparsity": {"pattern": "8x1"}}
    method = interrupt_at(0)
    with pytest.raises(Interrupted):
        make_trainer(args, Processes(0, 0, 1), method, more_settings=more).fit()
    (run,) = runs.values()
    expected = {"sparsity.pattern": "8x1", "seed": 5, "corpus": "synthetic", "dtype": "float32"}
    assert expected.items() <= run.settings.items()
    assert run.settings["training.num_epochs"] == 1


def test_only_the_main_process_opens_the_tracker(runs, config, tiny_data, tmp_path):
    run = trainer(tiny_data, config, tmp_path, *TRACKED)
    run.processes = Processes(1, 1, 2)
    with run._open_writer() as writer:
        assert writer is None and not runs
    run.processes = Processes(0, 0, 2)
    with run._open_writer():
        assert len(runs) == 1


def test_a_missing_package_is_told_before_the_data_are_read(
    config, tiny_data, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    args = get_parser().parse_args(words(tiny_data, config, tmp_path, "--tracker", "wandb"))
    with pytest.raises(RecipeError, match="the package wandb is missing"):
        make_trainer(args, Processes(0, 0, 1), TrainingMethod)
