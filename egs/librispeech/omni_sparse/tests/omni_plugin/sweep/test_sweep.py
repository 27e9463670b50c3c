# SPDX-License-Identifier: Apache-2.0
"""What a sweep consists of, what is missing, and that an interrupted one goes on."""

from __future__ import annotations

import dataclasses

import pytest

from omni_plugin.sweep import Cell, Variant, grid, plan, run_sweep

DENSE, SPARSE = Variant("omni", "dense", "w0"), Variant("omni", "0.50", "w1")
METHODS = [("greedy", ""), ("beam", "size 4")]


def cells(variants=(DENSE, SPARSE), splits=("clean", "other"), modes=("fast", "slow")):
    return grid(variants, splits, modes, METHODS)


def test_the_grid_has_every_combination_once():
    found = cells()
    assert len(found) == len(set(found)) == 2 * 2 * 2 * 2
    assert grid([DENSE, DENSE], ["a", "a"], ["m"], METHODS + METHODS) == grid(
        [DENSE], ["a"], ["m"], METHODS
    )


def test_a_split_is_finished_before_the_next_and_a_mode_within_it():
    order = [(cell.split, cell.mode) for cell in cells()]
    assert list(dict.fromkeys(order)) == [
        ("clean", "fast"), ("clean", "slow"), ("other", "fast"), ("other", "slow"),
    ]  # fmt: skip
    assert order == sorted(order)


def test_one_run_of_a_network_serves_all_methods():
    jobs = plan(cells(), done=())
    assert [job.methods for job in jobs] == [("greedy", "beam")] * 8
    assert [(job.variant, job.split, job.mode) for job in jobs[:3]] == [
        (DENSE, "clean", "fast"),
        (SPARSE, "clean", "fast"),
        (DENSE, "clean", "slow"),
    ]


def test_only_missing_methods_of_a_run_are_planned():
    all_cells = cells()
    done = {all_cells[0], all_cells[2], all_cells[3]}
    jobs = plan(all_cells, done)
    assert jobs[0].cells == (all_cells[1],)
    assert sum(len(job.cells) for job in jobs) == len(all_cells) - 3


@pytest.mark.parametrize(
    "change",
    [
        {"variant": dataclasses.replace(DENSE, weights="another training")},
        {"variant": dataclasses.replace(DENSE, subnet="0.70")},
        {"variant": dataclasses.replace(DENSE, system="one_shot")},
        {"split": "dev"},
        {"mode": "slow"},
        {"method": "beam"},
        {"settings": "size 8"},
    ],
)
def test_whatever_tells_cells_apart_makes_another_cell(change):
    cell = Cell(DENSE, "clean", "fast", "greedy")
    other = dataclasses.replace(cell, **change)
    (job,) = plan([cell], done={other})
    assert job.cells == (cell,)
    assert plan([cell], done={other, cell}) == []


class Store:
    """Stands for results on disk; fails after so many jobs."""

    def __init__(self, fails_after: int | None = None):
        self.done: list[Cell] = []
        self.jobs, self.fails_after = 0, fails_after

    def decode(self, job) -> list[str]:
        if self.jobs == self.fails_after:
            raise KeyboardInterrupt
        self.jobs += 1
        self.done += job.cells
        return [f"WER of {method}" for method in job.methods]


def test_an_interrupted_sweep_goes_on_where_it_was():
    store, said = Store(fails_after=3), []
    with pytest.raises(KeyboardInterrupt):
        run_sweep(cells(), set(store.done), store.decode, said.append)
    assert len(store.done) == 6
    store.fails_after = None
    assert run_sweep(cells(), set(store.done), store.decode, said.append) == 10
    assert store.done == cells()  # each once, in order
    assert run_sweep(cells(), set(store.done), store.decode, said.append) == 0
    assert store.jobs == 8
    assert said[-1] == "16 cells: 16 done before, 0 to decode in 0 runs"


def test_results_of_other_sweeps_are_not_counted():
    other = Cell(dataclasses.replace(DENSE, weights="old"), "clean", "fast", "greedy")
    said: list[str] = []
    run_sweep(cells(), {other}, Store().decode, said.append)
    assert said[0] == "16 cells: 0 done before, 16 to decode in 8 runs"


def test_a_line_a_cell_with_place_and_time_left():
    times = iter([0.0, 30.0, 60.0])
    all_cells = cells(splits=["clean"], modes=["fast"])
    said: list[str] = []
    run_sweep(all_cells, (), Store().decode, said.append, now=lambda: next(times))
    assert said[1:] == [
        "[1/4] omni  dense  clean  fast  greedy  WER of greedy",
        "[2/4] omni  dense  clean  fast  beam    WER of beam  (30 s so far, 30 s left)",
        "[3/4] omni  0.50   clean  fast  greedy  WER of greedy",
        "[4/4] omni  0.50   clean  fast  beam    WER of beam  (1 min 00 s so far)",
    ]


def test_time_left_counts_what_this_sweep_decoded_only():
    times = iter([0.0, 10.0, 20.0, 30.0])
    all_cells = cells(splits=["clean"])
    said: list[str] = []
    run_sweep(all_cells, set(all_cells[:2]), Store().decode, said.append, now=lambda: next(times))
    assert said[2].startswith("[4/8]") and said[2].endswith("(10 s so far, 20 s left)")


def test_an_empty_sweep_says_so():
    said: list[str] = []
    assert run_sweep([], (), Store().decode, said.append) == 0
    assert said == ["0 cells: 0 done before, 0 to decode in 0 runs"]
