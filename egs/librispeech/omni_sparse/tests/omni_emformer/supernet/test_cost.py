# SPDX-License-Identifier: Apache-2.0
"""What a training cost is recorded in passes over whole batches."""

import pytest

from emformer.decode import get_parser
from emformer.decoding.model import load_decoding_model
from emformer.experiment.checkpoint import load_checkpoint
from emformer.scoring.results import Result
from tests.support import training
from tests.support.supernets import trainer

# Ramps from the start, so that no update is of the dense network alone.
RAMP = {"name": "cubic", "start": 0.0, "end": 0.0}
WAYS = {
    "single": ({"name": "single"}, 1, 1.0),
    "split": ({"name": "split", "parts": 2}, 2, 1.0),
    "sandwich": ({"name": "sandwich", "random": 1}, 3, 3.0),
}


@pytest.mark.parametrize("sampler, passes, cost", WAYS.values(), ids=WAYS)
def test_a_pass_costs_its_share_of_the_batch(tiny_data, tmp_path, sampler, passes, cost):
    config = training.write_config(tmp_path / "tiny.yaml", num_epochs=1)
    run = trainer(tiny_data, config, tmp_path / "exp", sampler=sampler, ramp=RAMP)
    run.fit()
    state = load_checkpoint(tmp_path / "exp" / "epoch-1.pt")
    assert state["train_passes"] == passes * state["train_updates"]
    assert state["train_cost"] == pytest.approx(cost * state["train_updates"])
    again = trainer(tiny_data, config, tmp_path / "exp", sampler=sampler, ramp=RAMP)
    assert again.cost == state["train_cost"]
    options = get_parser("").parse_args(["--exp-dir", str(tmp_path / "exp")])
    assert load_decoding_model(options)[1].train_cost == state["train_cost"]


def test_a_result_older_than_the_figure_counts_every_pass_whole():
    fields = Result.__dataclass_fields__
    line = {name.rstrip("_"): 7 for name in fields} | {"mode": "simulated"}
    line.pop("train_cost")
    assert Result.from_dict(line).train_cost == 7.0
    assert Result.from_dict({**line, "train_cost": 3.5}).train_cost == 3.5
