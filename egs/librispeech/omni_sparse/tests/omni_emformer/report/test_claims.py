# SPDX-License-Identifier: Apache-2.0
"""Verdicts follow from the results; all from made-up records."""

from __future__ import annotations

import pytest

from omni_emformer.report import claims as report_claims
from omni_emformer.report.__main__ import write_report
from omni_emformer.report.claims import (
    NOISE,
    NOT,
    REPRODUCED,
    Claims,
    is_better,
    is_on_par,
    together,
)
from omni_emformer.report.experiments import read_experiment
from omni_emformer.report.intervals import Interval
from omni_emformer.report.runs import Runs
from tests.support.made_up_results import GREEDY, SIZES, add_result, section

LEVELS = ("0.50", "0.90")


@pytest.fixture(autouse=True)
def more_sizes(monkeypatch):
    for name, size in (("units-8", 700), ("units-4", 450)):
        monkeypatch.setitem(SIZES, name, size)


@pytest.fixture
def claims(tmp_path):
    """Claims on systems by their errors: of each sub-network, the same for all three seeds."""

    def make(**systems: dict[str, int]) -> Claims:
        folders = []
        for name, errors in {"dense": {"dense": 4}, **systems}.items():
            alone = name in ("pruned", "small_dense", "shallow", "chain", "chain_long")
            for seed in range(3):
                for subnet, wrong in errors.items():
                    level = f"-{subnet}" if alone else ""
                    folder = tmp_path / f"{name}{level}-seed{seed}"
                    changes = {"seed": seed, "train_seconds": 60.0 + seed}
                    add_result(folder, name, subnet, wrong, **changes)
                    folders.append(folder)
        return Claims(Runs([read_experiment(f) for f in dict.fromkeys(folders)]), GREEDY)

    return make


def verdict(claims: Claims, words: str) -> str:
    """Of the claim with these words."""
    (found,) = [one for one in claims.verdicts() if words in one.claim]
    return found.verdict


BETTER = {
    "below zero": ((-0.2, -0.01), REPRODUCED),
    "above zero": ((0.01, 0.2), NOT),
    "around zero": ((-0.2, 0.01), NOISE),
}


@pytest.mark.parametrize("interval, said", BETTER.values(), ids=BETTER)
def test_better_is_a_matter_of_the_sign(interval, said):
    assert is_better(Interval(0.0, *interval)) == said


ON_PAR = {
    "better": ((-0.3, -0.1), REPRODUCED),
    "the same": ((-0.04, 0.04), REPRODUCED),
    "a little worse": ((0.01, 0.04), REPRODUCED),
    "worse": ((0.01, 0.2), NOT),
    "wide": ((-0.2, 0.2), NOISE),
}


@pytest.mark.parametrize("interval, said", ON_PAR.values(), ids=ON_PAR)
def test_on_par_is_a_matter_of_how_much_worse_it_can_be(interval, said):
    assert is_on_par(Interval(0.0, *interval)) == said


def test_a_claim_holds_where_it_holds_on_each_test_set():
    assert together([REPRODUCED, REPRODUCED]) == REPRODUCED
    assert together([REPRODUCED, NOISE]) == NOISE
    assert together([NOISE, REPRODUCED, NOT]) == NOT


@pytest.mark.parametrize("omni, said", [(2, REPRODUCED), (18, NOT), (9, NOISE)])
def test_omni_against_models_pruned_one_by_one(claims, omni, said):
    pruned = dict.fromkeys(LEVELS, 10 if omni != 9 else 9)
    found = claims(omni={"dense": 4, **dict.fromkeys(LEVELS, omni)}, pruned=pruned)
    assert verdict(found, "pruned one by one") == said


@pytest.mark.parametrize("system", ["chain", "chain_long"])
@pytest.mark.parametrize(("errors", "said"), [(4, REPRODUCED), (10, NOISE), (16, NOT)])
def test_a_chain_against_models_pruned_one_by_one(claims, system, errors, said):
    pruned = dict.fromkeys(LEVELS, 10)
    found = claims(**{system: dict.fromkeys(LEVELS, errors)}, pruned=pruned)
    assert verdict(found, "(ours) better than models pruned one by one") == said


def test_a_difference_is_relative_and_of_the_mean_over_the_sizes(claims):
    found = claims(omni={"dense": 4, "0.50": 6, "0.90": 9}, pruned={"0.50": 8, "0.90": 12})
    one = found.verdicts()[1]
    assert one.system == "omni" and one.measured.startswith(
        "0.50, 0.90 (3 seeds): test-clean -25.0 % ["
    )
    each = [(x.sizes, round(x.found["test-clean"].mean, 3)) for x in found.by_size()]
    assert each == [(("0.50",), -0.25), (("0.90",), -0.25)]


@pytest.mark.parametrize("cost, said", [(700.0, REPRODUCED), (769.0, REPRODUCED), (771.0, NOT)])
def test_one_training_costs_what_it_costs_in_whole_passes(claims, tmp_path, cost, said):
    claims(omni={}, pruned=dict.fromkeys(LEVELS, 9))
    for subnet in ("dense", *LEVELS):
        add_result(tmp_path / "omni", "omni", subnet, 5, train_cost=cost, train_passes=1400)
    folders = [tmp_path / "dense-seed0", tmp_path / "omni"]
    folders += [tmp_path / f"pruned-{level}-seed0" for level in LEVELS]
    found = Claims(Runs([read_experiment(f) for f in folders]), GREEDY)
    assert verdict(found, "at most 1.1 dense trainings") == said
    (measured,) = [x.measured for x in found.verdicts() if "at most" in x.claim]
    assert measured.startswith(f"3 sizes: {cost / 700:.2f} (wall-clock ")
    assert measured.endswith("dense and 2 pruned models: 3.00")


@pytest.fixture
def of_updates(claims, tmp_path):
    """Claims on a supernet of so many updates, dense and two pruned models of 500 each."""

    def make(updates: int) -> Claims:
        claims(omni={}, pruned=dict.fromkeys(LEVELS, 9))
        for subnet in ("dense", *LEVELS):
            changes = {"train_updates": updates, "train_cost": 1.4 * updates}
            add_result(tmp_path / "omni", "omni", subnet, 5, **changes)
        folders = [tmp_path / "dense-seed0", tmp_path / "omni"]
        folders += [tmp_path / f"pruned-{level}-seed0" for level in LEVELS]
        return Claims(Runs([read_experiment(f) for f in folders]), GREEDY)

    return make


@pytest.mark.parametrize("updates, said", [(1499, REPRODUCED), (1501, NOT)])
def test_a_longer_training_is_held_against_all_trainings_together(of_updates, updates, said):
    assert verdict(of_updates(updates), "cost less than dense and pruned models") == said


def test_a_claim_on_trainings_of_different_lengths_says_so(of_updates):
    found = [one.claim for one in of_updates(1500).verdicts()]
    assert all(claim.endswith("; here of 1,500 updates against 500") for claim in found)


def test_trainings_of_about_the_same_length_are_compared_as_they_are(of_updates):
    assert not any("; here of" in one.claim for one in of_updates(503).verdicts())


def test_on_par_may_fail_at_one_size_alone(claims):
    pruned = {"0.50": 10, "0.90": 10}
    assert verdict(claims(dsnn={"0.50": 2, "0.90": 2}, pruned=pruned), "on par") == REPRODUCED
    assert verdict(claims(dsnn={"0.50": 0, "0.90": 18}, pruned=pruned), "on par") == NOT


def test_layer_selection_against_dense_and_shallow_models(claims):
    found = claims(
        simple_top_k={"dense": 4, "units-8": 5, "units-4": 19},
        shallow={"units-8": 8, "units-4": 9},
    )
    assert verdict(found, "full size is on par with dense") == REPRODUCED
    assert verdict(found, "dense models of fewer layers") == NOT


def test_a_claim_whose_systems_are_absent_is_left_out(claims, tmp_path):
    assert Claims(claims().runs, GREEDY).verdicts() == []
    found = claims(omni={"dense": 4, **dict.fromkeys(LEVELS, 6)})
    assert [one.claim for one in found.verdicts()] == [
        "all sizes cost at most 1.1 dense trainings, in passes"
    ]


def test_sizes_that_only_one_system_has_are_left_out(claims):
    found = claims(omni={"dense": 4, "0.50": 6, "0.90": 9}, pruned={"0.90": 12})
    assert [one.sizes for one in found.by_size()] == [("0.90",)]


def test_without_an_error_to_compare_with_there_is_no_verdict(claims):
    found = claims(omni=dict.fromkeys(LEVELS, 1), pruned=dict.fromkeys(LEVELS, 0))
    assert not [one for one in found.verdicts() if "pruned" in one.claim]


def test_where_the_dense_model_has_not_learnt_nothing_is_compared(claims, monkeypatch):
    found = claims(omni={"dense": 4, "0.50": 6}, pruned={"0.50": 8})
    assert len(found.by_size()) == 1
    monkeypatch.setattr(report_claims, "LEARNT", 3.9)  # the dense model has 4 %
    assert found.by_size() == []
    assert [one.claim.split()[0] for one in found.verdicts()] == ["all"]


def test_the_page_has_verdicts_and_what_they_rest_on(claims, tmp_path):
    found = claims(omni={"dense": 4, **dict.fromkeys(LEVELS, 6)}, pruned=dict.fromkeys(LEVELS, 9))
    text = write_report(found.runs.experiments, tmp_path / "out").read_text()
    rows = section(text, "Verdicts")[1:]
    assert [(row[0], row[3]) for row in rows] == [
        (one.system, f"**{one.verdict}**") for one in found.verdicts()
    ]
    sizes = section(text, "The verdicts' differences, size by size")[1:]
    assert [row[:3] for row in sizes] == [["omni", "pruned", level] for level in LEVELS]
