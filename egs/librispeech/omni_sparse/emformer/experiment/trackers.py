# SPDX-License-Identifier: Apache-2.0
"""A training's figures in a tracker of experiments, Weights & Biases or MLflow.

Neither package is needed, nor imported, unless it is asked for. Where a tracker sends what it gets,
and as whom, is its own matter: its environment variables say it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from emformer.errors import RecipeError
from emformer.experiment.whole_file import write_whole

_PROJECT = "omni_sparse"
_RUNS = "tracker.json"  # the runs' names in the trackers, so that a training goes on in its own
_BATCH = 100  # parameters that an MLflow server takes at once


class Tracker(ABC):
    """One run of a tracker.

    Args:
      exp_dir: The experiment; its last two names, such as ``synthetic/omni``, name the run.
      config: Settings to show, sections by name.
      run: The tracker's own name of the run to go on with; None for a new run.
    """

    @abstractmethod
    def __init__(self, exp_dir: Path, config: Mapping[str, Any], run: str | None) -> None:
        #: The tracker's own name of the run.
        self.run: str

    @abstractmethod
    def log(self, values: Mapping[str, float], update: int) -> None:
        """Send figures, by names such as ``train/loss``."""

    @abstractmethod
    def close(self, failed: bool) -> None:
        """End the run, or the part of it until an interruption."""


class Wandb(Tracker):
    """Weights & Biases. ``WANDB_PROJECT`` is the project, else ``omni_sparse``."""

    def __init__(self, exp_dir: Path, config: Mapping[str, Any], run: str | None) -> None:
        wandb = importlib.import_module("wandb")
        self.run = run or uuid.uuid4().hex
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=_title(exp_dir),
            id=self.run,
            resume="allow",
            config=dict(config),
            dir=str(exp_dir),
        )

    def log(self, values: Mapping[str, float], update: int) -> None:
        self._run.log(dict(values), step=update)

    def close(self, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


class Mlflow(Tracker):
    """MLflow. ``MLFLOW_EXPERIMENT_NAME`` is the experiment, else ``omni_sparse``."""

    def __init__(self, exp_dir: Path, config: Mapping[str, Any], run: str | None) -> None:
        self._mlflow = mlflow = importlib.import_module("mlflow")
        if run is not None:
            mlflow.start_run(run_id=run)
        else:
            mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT))
            run = mlflow.start_run(run_name=_title(exp_dir)).info.run_id
            # Only here: MLflow refuses a parameter that changes, as epochs may.
            parameters = list(_flat(config))
            for first in range(0, len(parameters), _BATCH):
                mlflow.log_params(dict(parameters[first : first + _BATCH]))
        self.run = run

    def log(self, values: Mapping[str, float], update: int) -> None:
        self._mlflow.log_metrics(dict(values), step=update)

    def close(self, failed: bool) -> None:
        self._mlflow.end_run("FAILED" if failed else "FINISHED")


#: Trackers by the name of their package, which --tracker takes.
TRACKERS: dict[str, type[Tracker]] = {"wandb": Wandb, "mlflow": Mlflow}


def check_tracker(name: str) -> None:
    """Raises RecipeError where a tracker's package is missing; ``none`` needs none."""
    found = None if name == "none" else importlib.util.find_spec(name)
    # A folder of that name, which both packages leave where they run, can be imported, too.
    if name != "none" and (found is None or found.origin is None):
        raise RecipeError(
            f"--tracker {name}: the package {name} is missing; 'python3 -m pip install {name}' "
            "in this environment, or leave --tracker out"
        )


def open_tracker(name: str, exp_dir: Path, config: Mapping[str, Any]) -> Tracker | None:
    """A tracker's run of an experiment: the one that it has there already, or a new one.

    Args:
      name: One of :data:`TRACKERS`, or ``none``.
      exp_dir: The experiment's folder, in which the run's name is kept.
      config: Settings to show, sections by name.

    Raises:
      RecipeError: The tracker cannot be had, such as without a login.
    """
    if name == "none":
        return None
    runs = _read_runs(exp_dir / _RUNS)
    try:
        tracker = TRACKERS[name](exp_dir, config, runs.get(name))
    except Exception as e:  # of any class: it is the package's
        said = (str(e).splitlines() or [type(e).__name__])[0]
        raise RecipeError(
            f"--tracker {name}: {said.rstrip('.')}; mend that, or leave --tracker out"
        ) from e
    if runs.get(name) != tracker.run:
        write_whole(exp_dir / _RUNS, json.dumps({**runs, name: tracker.run}) + "\n")
    return tracker


def _title(exp_dir: Path) -> str:
    return "/".join(exp_dir.resolve().parts[-2:])


def _read_runs(path: Path) -> dict[str, str]:
    """Runs by tracker; none where the file is missing.

    Raises:
      RecipeError: It is damaged.
    """
    if not path.exists():
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as e:
        raise RecipeError(f"{path}: damaged; remove it, and a new run is begun") from e


def _flat(config: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by ``section.name``."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value
