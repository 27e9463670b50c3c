# SPDX-License-Identifier: Apache-2.0
"""What release 0.1.0 wrote, before the code moved into rooms, is still read.

files/experiment-0.1.0.tar.xz is an experiment of it: a supernet of one layer of 8, trained for an
epoch on 64 synthetic utterances, its sweep, and its export at 0.9.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import torch

from emformer.decoding import options as decode_options
from emformer.decoding.streams import encode_chunk_by_chunk
from emformer.experiment.checkpoint import load_checkpoint
from emformer.scoring.references import references_of
from emformer.scoring.results import read_results
from omni_emformer.export.info import read_info
from omni_emformer.report.experiments import read_experiment
from omni_emformer.runtime.model import load_packed
from omni_emformer.supernet.options import open_subnets
from omni_emformer.sweep.experiment_sweep import done_cells

ARCHIVE = Path(__file__).resolve().parents[1] / "files" / "experiment-0.1.0.tar.xz"


@pytest.fixture(scope="module")
def exp_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder / "omni"


@pytest.fixture(scope="module")
def subnets(exp_dir):
    return open_subnets(decode_options.get_parser(None).parse_args(["--exp-dir", str(exp_dir)]))


def test_its_checkpoint_has_the_sub_networks_that_its_results_are_of(exp_dir, subnets):
    wanted = {result.subnet: result for result in read_results(exp_dir / "results.jsonl")}
    assert list(wanted) == ["dense", "0.50", "0.70", "0.80", "0.90"]
    for name, result in wanted.items():
        _, info = subnets.make(0 if name == "dense" else float(name))
        assert (info.subnet, info.weights) == (name, result.weights)
        assert (info.num_params, info.num_nonzero) == (result.num_params, result.num_nonzero)


def test_its_training_could_go_on(exp_dir, subnets):
    state = load_checkpoint(exp_dir / "epoch-1.pt")
    assert state["update"] > 0 and {"optimizer", "method", "rng", "sampler"} <= state.keys()
    assert state["model"].keys() == subnets.model.state_dict().keys()


def test_its_sweep_is_done(exp_dir):
    results = read_results(exp_dir / "results.jsonl")
    references = {r.split: references_of(exp_dir, r) for r in results}
    assert len(done_cells(exp_dir, references)) == len(results) == 10
    others = {**references, "test-clean": "another text"}
    assert {cell.split for cell in done_cells(exp_dir, others)} == {"test-other"}


def test_its_packed_file_is_the_sub_network(exp_dir, subnets):
    folder = exp_dir / "export" / "0.90"
    packed, packed_info = load_packed(folder / "float32.packed", "0.90")
    baked, info = subnets.make(0.9)
    assert read_info(folder).weights == info.weights
    assert packed_info.weights == f"{info.weights}-packed-float32"
    generator = torch.Generator().manual_seed(0)
    x, x_lens = torch.randn(2, 120, 80, generator=generator) - 5, torch.tensor([120, 90])
    with torch.no_grad():
        chunks = [encode_chunk_by_chunk(model.eval(), x, x_lens) for model in (baked, packed)]
        for (one, _), (other, _) in zip(*chunks, strict=True):
            torch.testing.assert_close(other, one, atol=1e-4, rtol=0)


def test_a_report_is_made_of_it(exp_dir):
    experiment = read_experiment(exp_dir)
    assert experiment.newest.system == "omni"
    # The texts that differences are made from lie beside it.
    assert experiment.scores(experiment.results[0]) is not None
