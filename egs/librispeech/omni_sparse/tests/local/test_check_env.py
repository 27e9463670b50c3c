# SPDX-License-Identifier: Apache-2.0
"""local.check_env: what it accepts and what it says."""

import importlib
import math
import sys

import pytest

from emformer import rnnt_backend
from emformer.errors import RecipeError
from local import check_env


@pytest.mark.parametrize(
    ("arch_list", "capability", "expected"),
    [
        (["sm_37", "sm_80", "sm_86"], (8, 6), True),
        (["sm_37", "sm_80", "sm_86"], (8, 9), True),  # the same major version, older minor
        (["sm_37", "sm_86"], (8, 0), False),
        (["sm_37", "sm_80", "sm_86"], (9, 0), False),
        (["sm_80", "compute_80"], (9, 0), True),  # compiled for the GPU when it is first used
        (["sm_90a"], (9, 0), True),
        (["sm_100", "sm_120"], (12, 0), True),
        (["sm_90", "compute_120"], (10, 0), False),
        ([], (8, 0), False),
    ],
)
def test_which_gpus_a_torch_runs_on(arch_list, capability, expected):
    assert check_env.runs_on(arch_list, *capability) is expected


def test_loss_is_right_here():
    assert abs(check_env.uniform_loss("cpu") - (6 * math.log(5) - math.log(10))) < 1e-4


def test_wrong_loss_is_an_error(monkeypatch):
    monkeypatch.setattr(check_env, "uniform_loss", lambda device: 7.0)
    with pytest.raises(RecipeError, match=r"loss of 7\.0000 where 7\.3540 is right"):
        check_env.check_loss(None, ["cpu"])


@pytest.mark.parametrize(
    ("name", "reason", "expected"),
    [
        ("k2", "", "on a GPU by the CUDA code of k2"),
        ("triton", "fast_rnnt has none", "on a GPU by a Triton kernel (fast_rnnt has none)"),
        ("torch", "no Triton", "on a GPU by torch operations (no Triton)"),
    ],
)
def test_what_computes_the_recursion_on_a_gpu_is_told(monkeypatch, capsys, name, reason, expected):
    monkeypatch.setattr(rnnt_backend, "recursion_on_gpu", lambda: (name, reason))
    check_env.check_loss(None, ["cpu"])
    assert capsys.readouterr().out.splitlines()[1].split(maxsplit=2)[2] == expected


def test_everything_needed_is_here(capsys):
    check_env.check_needed("k2")
    assert "MISSING" not in capsys.readouterr().out


def test_what_is_missing_is_named_with_the_remedy(monkeypatch, tmp_path, capsys):
    real = importlib.import_module

    def import_module(name):
        if name in ("yaml", "soundfile"):
            raise ImportError(f"no {name}\nfor you")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(RecipeError) as e:
        check_env.check_needed("current")
    assert "soundfile, pyyaml" in str(e.value)
    assert "./install.sh --set current" in str(e.value)
    assert "-m pip install soundfile pyyaml" in str(e.value)
    assert "\n" not in str(e.value)
    assert "MISSING: no yaml for you" in capsys.readouterr().out


def test_our_own_environment_is_mended_by_install_sh(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / ".omni_sparse").write_text("")
    assert check_env.remedy("k2", ["torch"]) == "run ./install.sh --set k2 --force"
