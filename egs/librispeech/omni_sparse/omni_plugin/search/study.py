# SPDX-License-Identifier: Apache-2.0
"""The evolutionary search, as a study of Optuna that processes share and that can go on."""

from __future__ import annotations

import fcntl
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

import optuna
import sqlalchemy
from optuna.study import MaxTrialsCallback, Study
from optuna.trial import TrialState

from omni_plugin.errors import OmniError
from omni_plugin.sampling import generator
from omni_plugin.search.genes import Genes
from omni_plugin.search.space import Vector

_LEVELS = "levels"  # of a trial, as its user attribute
_HEARTBEAT, _GRACE = 10, 60  # seconds: a trial without a sign of life is another's to try


def open_study(
    path: Path, name: str, made_of: Mapping[str, object], population: int, seed: str
) -> Study:
    """A study of two objectives, score and cost; made where there is none yet.

    Args:
      path: SQLite file.
      name: Of the study within the file.
      made_of: What the study's trials depend on, plain types by name.
      population: Of NSGA-II; see Deb et al., "A fast and elitist multiobjective genetic algorithm:
        NSGA-II", 2002.
      seed: Of its draws, which also depend on how many trials there are. Processes that share a
        study need different ones.

    Raises:
      OmniError: The study there is of something else; names the first thing that differs.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Processes that make tables or studies at the same time would fail.
    with open(path.with_suffix(".lock"), "w") as lock, warnings.catch_warnings():
        fcntl.flock(lock, fcntl.LOCK_EX)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            storage=_storage(path),
            study_name=name,
            directions=["minimize", "minimize"],
            load_if_exists=True,
        )
        study.set_metric_names(["score", "cost"])
    number = generator(0, len(study.get_trials(deepcopy=False)), seed).getrandbits(31)
    study.sampler = optuna.samplers.NSGAIISampler(population_size=population, seed=number)
    for what, value in made_of.items():
        was = study.user_attrs.get(what)
        if was is None:
            study.set_user_attr(what, value)
        elif was != value:
            raise OmniError(
                f"{path}: study {name} was made with another {what} ({_short(was)}, now "
                f"{_short(value)}); move or delete {path.parent} to search anew"
            )
    return study


def _storage(path: Path) -> optuna.storages.RDBStorage:
    storage = optuna.storages.RDBStorage(
        # As a URI of SQLite's: in a URL of SQLAlchemy's, a "?" would end the path.
        f"sqlite:///file:{quote(str(path.resolve()))}?uri=true",
        engine_kwargs={"connect_args": {"timeout": _GRACE}},
        heartbeat_interval=_HEARTBEAT,
        grace_period=_GRACE,
        heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
    )

    # Optuna commits each gene of a trial by itself. Waiting for the disk at each commit would take
    # seconds a trial; without, a killed process still loses nothing, only a power cut may.
    @sqlalchemy.event.listens_for(storage.engine, "connect")
    def _(connection, _) -> None:
        connection.execute("PRAGMA synchronous = OFF")
        connection.isolation_level = None  # or Python's sqlite3 would say when one begins

    # Optuna looks whether a trial waits, and then takes it. By SQLite's habit, two processes may
    # both have looked before one takes it.
    @sqlalchemy.event.listens_for(storage.engine, "begin")
    def _(connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    storage.engine.dispose()  # connections that were open before
    return storage


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:18]} ... {text[-18:]}"


def run_study(
    study: Study,
    genes: Genes,
    objectives: Callable[[Vector], tuple[float, float]],
    seeds: Iterable[Mapping[str, float]],
    num_trials: int,
) -> None:
    """Try until there are so many trials, those of all processes together.

    Args:
      study: See :func:`open_study`.
      genes: Makes vectors of trials.
      objectives: Score and cost of a vector.
      seeds: Genes that are tried first.
      num_trials: Finished trials at the end.
    """
    for one in seeds:
        study.enqueue_trial(dict(one), skip_if_exists=True)

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        vector = genes.suggest(trial)
        trial.set_user_attr(_LEVELS, vector)
        return objectives(vector)

    done = (TrialState.COMPLETE,)
    if len(study.get_trials(deepcopy=False, states=done)) < num_trials:
        study.optimize(objective, callbacks=[MaxTrialsCallback(num_trials, states=done)])


def vectors_of(study: Study) -> list[Vector]:
    """The vectors of the finished trials, each once, in their order."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return list(dict.fromkeys(tuple(trial.user_attrs[_LEVELS]) for trial in trials))
