# SPDX-License-Identifier: Apache-2.0
"""The notebook docs/tutorial.ipynb, whose cells run here without jupyter."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from tests.support.processes import RECIPE

CELLS = json.loads((RECIPE.parents[2] / "docs" / "tutorial.ipynb").read_text())["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the cells define, run one after another."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    found: dict[str, Any] = {}
    with torch.random.fork_rng():
        for cell in CODE:
            exec("".join(cell["source"]), found)
    return found


def test_the_supernets_sparsest_is_far_better_than_pruning_in_one_shot(names):
    supernet, one_shot = names["found"].values()
    assert supernet[-1] < 0.75 * one_shot[-1]


def test_the_supernets_full_size_is_near_the_dense_models(names):
    assert names["found"]["supernet"][0] < 1.2 * names["error_rate"](names["dense"])


def test_the_size_written_out_has_its_zeros(names):
    covered = [names["small"][number].weight for number in (0, 2)]
    zeros = sum(int((weight == 0).sum()) for weight in covered)
    assert zeros == pytest.approx(0.8 * sum(weight.numel() for weight in covered), rel=1e-3)


def test_the_plot_has_a_line_for_each_way(names):
    assert [line.get_label() for line in names["axes"].get_lines()] == list(names["found"])


def test_what_is_stored_with_the_cells_is_what_they_print_and_draw():
    """And no warning of the machine where they ran."""
    outputs = [output for cell in CODE for output in cell["outputs"]]
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1
