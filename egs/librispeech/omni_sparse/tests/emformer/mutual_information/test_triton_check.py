# SPDX-License-Identifier: Apache-2.0
"""Which recursion a GPU gets, asked without one."""

import importlib
import sys
from types import ModuleType

import pytest
import torch

from emformer.errors import RecipeError
from emformer.mutual_information import torch_tables, triton_check
from emformer.mutual_information.triton_check import import_trouble, trial_trouble, why_no_triton


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    """Nothing is known from before, and nothing is left for later."""
    monkeypatch.delenv("OMNI_RNNT_RECURSION", raising=False)
    why_no_triton.cache_clear()
    yield
    why_no_triton.cache_clear()


def put_triton(monkeypatch, version):
    triton = ModuleType("triton")
    triton.__version__ = version
    monkeypatch.setitem(sys.modules, "triton", triton)


def put_kernel(monkeypatch, make_tables):
    """What stands for the module of the kernel."""
    module = ModuleType("triton_tables")
    module.make_tables = make_tables
    package = importlib.import_module("emformer.mutual_information")
    monkeypatch.setattr(package, "triton_tables", module, raising=False)


def test_without_triton_the_reason_is_one_line(monkeypatch):
    def refuse(name):
        raise ImportError(f"no {name},\nsorry")

    monkeypatch.setattr(importlib, "import_module", refuse)
    assert why_no_triton() == "cannot import triton (no triton, sorry)"


def test_an_old_triton_is_not_taken(monkeypatch):
    put_triton(monkeypatch, "2.1.0")
    assert import_trouble() == "triton 2.1.0 is older than 3.0"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_the_import_decides(monkeypatch):
    put_triton(monkeypatch, "3.6.0")
    assert why_no_triton() == ""


def test_the_variable_keeps_triton_out(monkeypatch):
    put_triton(monkeypatch, "3.6.0")
    monkeypatch.setenv("OMNI_RNNT_RECURSION", "torch")
    assert why_no_triton() == "OMNI_RNNT_RECURSION=torch"


def test_an_unknown_value_is_refused(monkeypatch):
    monkeypatch.setenv("OMNI_RNNT_RECURSION", "cuda")
    with pytest.raises(RecipeError, match="OMNI_RNNT_RECURSION=cuda: must be torch, or unset"):
        why_no_triton()


def test_a_kernel_that_makes_torchs_tables_passes_the_trial(monkeypatch):
    put_kernel(monkeypatch, torch_tables.make_tables)
    assert trial_trouble("cpu") == ""


def test_a_kernel_that_cannot_be_compiled_fails_the_trial(monkeypatch):
    def make_tables(px, py, boundary, both):
        raise RuntimeError("no C compiler\nfound")

    put_kernel(monkeypatch, make_tables)
    expected = "the Triton kernel does not run here (RuntimeError: no C compiler found)"
    assert trial_trouble("cpu") == expected


def test_a_kernel_that_computes_something_else_fails_the_trial(monkeypatch):
    def make_tables(px, py, boundary, both):
        return torch_tables.make_tables(px, py, boundary, both) + 0.01

    put_kernel(monkeypatch, make_tables)
    assert trial_trouble("cpu") == "the Triton kernel computes something else than torch"


def test_a_failed_trial_is_warned_of_once(monkeypatch, caplog):
    put_triton(monkeypatch, "3.6.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(triton_check, "trial_trouble", lambda device: f"no luck on {device}")
    assert why_no_triton() == why_no_triton() == "no luck on cuda"
    assert [r.getMessage() for r in caplog.records] == [
        "RNN-T recursion by torch operations: no luck on cuda"
    ]
