# SPDX-License-Identifier: Apache-2.0
"""A report's first sentences are made from its figures."""

from __future__ import annotations

from omni_emformer.report.experiments import read_experiment
from omni_emformer.report.runs import Runs
from omni_emformer.report.summary import summary
from tests.support.made_up_results import GREEDY, add_result

SPLITS = (("test-clean", 0), ("test-other", 4))


def told(*folders) -> str:
    return summary(Runs([read_experiment(folder) for folder in folders]), GREEDY)


def write(folder, system, rates, **changes):
    for split, more in SPLITS:
        for subnet, errors in rates.items():
            add_result(folder, system, subnet, errors + more, split=split, **changes)
    return folder


def test_the_best_of_all_and_of_the_small_ones_are_named_with_their_rates(tmp_path):
    dense = write(tmp_path / "dense", "dense", {"dense": 4})
    omni = write(tmp_path / "omni", "omni", {"dense": 5, "0.50": 6, "0.90": 9})
    found = told(dense, omni)
    assert found.startswith(
        "By greedy_search, chunk-wise, the lowest word error rate is that of **dense**: "
        "4.00 % [3.00, 5.00] on test-clean and 8.00 % [7.00, 9.00] on test-other. With at most "
        "500 non-zero parameters, 50 % of the largest network's, it is that of **omni 0.90**: "
    )


def test_each_test_set_has_its_own_best(tmp_path):
    dense, omni = tmp_path / "dense", tmp_path / "omni"
    for folder, (clean, other) in ((dense, (4, 9)), (omni, (5, 8))):
        add_result(folder, folder.name, "dense", clean)
        add_result(folder, folder.name, "dense", other, split="test-other")
    best = told(dense, omni).split(". ")[0]
    assert "**dense**: 4.00 % [3.00, 5.00] on test-clean; that of **omni dense**: 8.00 %" in best


def test_no_small_network_is_said_to_be_so(tmp_path):
    dense = write(tmp_path / "dense", "dense", {"dense": 4})
    assert "No network with at most 500 non-zero parameters" in told(dense)


def test_what_was_trained_otherwise_is_not_the_best(tmp_path):
    dense = write(tmp_path / "dense", "dense", {"dense": 4})
    longer = write(tmp_path / "longer", "longer", {"dense": 1}, train_updates=5000)
    assert "**longer" not in told(dense, longer)


def test_what_all_sizes_cost_is_in_passes_of_the_reference(tmp_path):
    dense = write(tmp_path / "dense", "dense", {"dense": 4}, train_cost=500.0)
    omni = write(tmp_path / "omni", "omni", {"0.50": 6, "0.90": 9}, train_cost=650.0)
    assert "in passes of one training of dense: omni 1.30 (2 sizes)." in told(dense, omni)


def test_mute_networks_leave_nothing_to_tell(tmp_path):
    dense = write(tmp_path / "dense", "dense", {"dense": 4}, wer=99.0)
    assert told(dense) == (
        "By greedy_search, chunk-wise, no network says anything that could be compared."
    )
