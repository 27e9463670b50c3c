# SPDX-License-Identifier: Apache-2.0
"""The Triton kernel in Triton's interpreter, on the CPU, against the tables that torch makes."""

import pytest
import torch

from emformer.mutual_information import torch_tables
from emformer.mutual_information.triton_check import import_trouble
from tests.emformer.mutual_information.lattices import cases, lattice
from tests.support.processes import run_module

pytestmark = pytest.mark.skipif(
    bool(import_trouble()),
    reason=f"TRITON IS MISSING, which comes with torch for CUDA: {import_trouble()}",
)


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory) -> dict:
    out = tmp_path_factory.mktemp("triton") / "tables.pt"
    run = "tests.emformer.mutual_information.interpreted_run"
    done = run_module(run, out, check=False, TRITON_INTERPRET="1", OMP_NUM_THREADS="1")
    if "only 0-dimensional arrays can be converted to Python scalars" in done.stderr:
        pytest.skip("THIS TRITON'S INTERPRETER DOES NOT RUN WITH THIS NUMPY (2.5 or later)")
    assert done.returncode == 0, done.stderr
    return torch.load(out)


@pytest.mark.parametrize("name", cases())
def test_the_kernels_tables_are_torchs(interpreted, name):
    px, py, boundary = cases()[name]
    atol = 1e-4 if px.dtype == torch.float32 else 1e-11
    expected = torch_tables.make_tables(px, py, boundary, True)
    torch.testing.assert_close(interpreted[name], expected, atol=atol, rtol=1e-6)


def test_the_first_table_can_be_made_alone(interpreted):
    expected = torch_tables.make_tables(*lattice("regular", 2, 3, 6), False)
    assert interpreted["one"].shape == expected.shape == (1, 2, 4, 7)
    torch.testing.assert_close(interpreted["one"], expected, atol=1e-4, rtol=1e-6)


def test_no_number_reaches_the_end_of_its_utterance_only(interpreted):
    before, after = interpreted["nan"]
    assert before[:, -1, -1].isnan().tolist() == [False, True]
    assert after[:, 0, 0].isnan().tolist() == [False, True]
