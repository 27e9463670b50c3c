# SPDX-License-Identifier: Apache-2.0
"""Each kind of number is trained in, or refused in one line before the work."""

import math

import pytest
import torch

from emformer.errors import RecipeError
from emformer.report import read_metrics
from emformer.train import get_parser, make_trainer
from emformer.training import precision
from emformer.training.distributed import Processes
from emformer.training.precision import DTYPES, check_dtype, cpu_has_bfloat16
from omni_emformer.supernet.system import load_system
from omni_emformer.train import method_of
from tests.support.processes import RECIPE
from tests.support.training import words

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
SYSTEMS = ("dense", "omni", "dsnn", "iterative_zero_out", "combined")


def train(system: str, *options: str):
    """An epoch of a system, as its train.py does it."""
    args = get_parser().parse_args(list(options))
    method = method_of(load_system(RECIPE / f"conf/systems/{system}.yaml"), 0, 0)
    trainer = make_trainer(args, Processes(0, 0, 1), method)
    trainer.fit()
    return trainer


@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_trains_in_every_type_or_refuses_it_before_it_reads_any_cut(
    tiny_data, tiny_config, tmp_path, monkeypatch, system, dtype
):
    options = words(tiny_data, tiny_config, tmp_path / "exp", "--dtype", dtype)
    options += ["--num-epochs", "1", "--scan-oom", "false"]
    refused = dtype == "float16" or (dtype == "bfloat16" and not cpu_has_bfloat16())
    if refused and not torch.cuda.is_available():
        monkeypatch.setattr("emformer.training.trainer.CutFilter", None)
        with pytest.raises(RecipeError, match=f"--dtype {dtype} needs a GPU.*; use float32$"):
            train(system, *options)
        return
    trainer = train(system, *options)
    losses = [r["loss"] for r in read_metrics(tmp_path / "exp") if r["group"] == "train"]
    assert trainer.skipped == 0
    assert losses and all(map(math.isfinite, losses))


def test_the_layer_norm_of_torch_1_13_does_not_take_what_autocast_gives_it_on_a_cpu():
    assert cpu_has_bfloat16() is not torch.__version__.startswith("1.13")


@pytest.mark.parametrize("name", sorted(DTYPES))
def test_a_gpu_has_all_types_but_older_ones_no_bfloat16(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")
    for has_it in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has_it=has_it: has_it)
        if has_it or name != "bfloat16":
            check_dtype(name, GPU)
        else:
            with pytest.raises(RecipeError, match="bfloat16: Tesla V100 lacks it; use float16"):
                check_dtype(name, GPU)


def test_where_the_cpu_has_bfloat16_it_is_allowed(monkeypatch):
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: True)
    check_dtype("bfloat16", CPU)
