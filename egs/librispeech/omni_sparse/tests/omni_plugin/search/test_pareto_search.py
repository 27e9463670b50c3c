# SPDX-License-Identifier: Apache-2.0
"""Whole searches of a toy: what they find, killed, shared, gone on with."""

import json
import signal
import subprocess

import pytest
from optuna.storages import RDBStorage

from omni_plugin.errors import OmniError
from omni_plugin.search import RANDOM, SEARCH, UNIFORM, area
from tests.support.processes import start_module
from tests.support.search_toy import COST, RUNGS, Counting, harm, search, space


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of a finished search, what it found, and what it measured."""
    folder, counting = tmp_path_factory.mktemp("search"), Counting()
    return folder, search(folder, counting).run(), counting.measured


def share(found) -> float:
    """Area under a front."""
    return area(found.points, (COST(space().uniform(0.0)), 2 * harm(space().uniform(0.9))))


def test_the_search_beats_random_and_uniform(done):
    _, found, _ = done
    assert share(found[SEARCH]) > share(found[RANDOM]) > 0
    assert share(found[SEARCH]) > share(found[UNIFORM])


def test_scores_are_those_of_the_last_rung(done):
    _, found, _ = done
    for one in found.values():
        assert one.scores == pytest.approx([2 * harm(vector) for vector in one.vectors])
        assert one.estimates == pytest.approx(one.scores)  # the toy's loss tells all
        assert one.costs == [COST(vector) for vector in one.vectors]


def test_so_many_are_tried_and_no_more(done):
    _, found, measured = done
    assert len(found[RANDOM].tried) == 60
    assert 60 * 0.7 < len(found[SEARCH].tried) <= 60  # some trials repeat a vector
    assert set(found[UNIFORM].vectors) <= set(found[SEARCH].tried)
    first = [vector for vector, metric, part in measured if (metric, part) == ("loss", 0)]
    assert len(first) == len(set(first))


def test_the_same_seed_finds_the_same(tmp_path):
    one, other = (search(tmp_path / name, evaluations=40).run() for name in "ab")
    assert one == other


def test_a_finished_search_measures_nothing_again(done):
    counting = Counting()
    assert search(done[0], counting).run() == done[1]
    assert not counting.measured


def test_the_rungs_are_compared_with_the_last(done):
    folder, found, _ = done
    assert search(folder).correlations(found) == [
        (RUNGS[0], pytest.approx(1.0)), (RUNGS[1], pytest.approx(1.0))
    ]  # fmt: skip


def test_more_evaluations_go_on_with_a_finished_search(tmp_path):
    first = search(tmp_path, evaluations=32).run()
    counting = Counting()
    more = search(tmp_path, counting, evaluations=40).run()
    assert set(first[SEARCH].tried) < set(more[SEARCH].tried)
    assert first[RANDOM].tried == more[RANDOM].tried[:32]
    assert not {vector for vector, _, part in counting.measured if part == 0} & set(
        first[SEARCH].tried
    )


def test_another_supernets_study_is_refused_by_name(tmp_path):
    search(tmp_path)._open_study(0)
    counting = Counting()
    with pytest.raises(OmniError, match="made with another weights \\(a1, now b2\\)"):
        search(tmp_path, counting, weights="b2").run()
    assert not counting.measured


def test_too_few_evaluations_are_refused(tmp_path):
    with pytest.raises(OmniError, match="20 evaluations are too few"):
        search(tmp_path, evaluations=20)


def test_a_space_with_fewer_vectors_than_draws_ends(tmp_path):
    one = search(tmp_path, evaluations=60)
    one.space.axes = one.space.axes[:1]
    assert 5 < len(one._random()) <= 10


#: Measurement among the trials: uniform levels, chains and single effects take some 110.
DIES_AT = 125


def process(folder, die_at: int, worker: int) -> subprocess.Popen:
    return start_module("tests.support.search_toy", folder, die_at, worker)


def lines(folder) -> list[tuple]:
    text = (folder / "scores.jsonl").read_text().splitlines()
    return [(tuple(r["vector"]), r["metric"], r["part"]) for r in map(json.loads, text)]


def states(folder) -> list[str]:
    storage = RDBStorage(f"sqlite:///{folder / 'study.db'}")
    (study,) = storage.get_all_studies()
    return [t.state.name for t in storage.get_all_trials(study._study_id, deepcopy=False)]


def test_killed_among_its_trials_it_loses_only_what_was_being_measured(tmp_path):
    killed = process(tmp_path, die_at=DIES_AT, worker=0)
    assert killed.wait(timeout=300) == -signal.SIGKILL
    before = lines(tmp_path)
    assert len(before) == DIES_AT - 1 and states(tmp_path)[-1] == "RUNNING"
    counting = Counting()
    found = search(tmp_path, counting).run()
    assert not set(before) & set(counting.measured)
    assert states(tmp_path).count("COMPLETE") == 60 - 10 - 12
    assert share(found[SEARCH]) > share(found[UNIFORM])


def test_two_processes_share_a_search(tmp_path):
    both = [process(tmp_path, 0, worker) for worker in range(2)]
    errors = [one.communicate(timeout=300)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], errors
    measured = lines(tmp_path)
    # What both began at the same time is there twice.
    assert len(measured) - len(set(measured)) < 0.3 * len(measured)
    counting = Counting()
    search(tmp_path, counting).run()
    assert len(counting.measured) < 0.05 * len(measured)
