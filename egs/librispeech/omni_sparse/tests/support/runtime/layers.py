# SPDX-License-Identifier: Apache-2.0
"""Block-sparse weights and a small model, for the tests of the runtime."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from omni_plugin import SuperNet
from omni_plugin.runtime import BlockMatrix, load_library, native, write_packed
from omni_plugin.runtime.blocks import Band
from tests.support.processes import run_module

COMPILER = shlex.split(os.environ.get("CC", "cc"))

#: Sub-networks of packed files.
LEVELS = ["0", "0.5", "0.9"]
#: Instruction sets, in the order of omni_plugin.runtime.native.UNITS.
INSTRUCTIONS = ["plain", "avx2", "avx512", "vnni"]


def use_instructions(name: str, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a C file's functions be those of an instruction set; skips where there are none."""
    library, number = load_library(source), INSTRUCTIONS.index(name)
    if library is None:
        assert shutil.which(COMPILER[0]) is None, f"{source} could not be compiled"
        pytest.skip("NO C COMPILER: compiled code is not tested")
    if number > library.cpu:
        pytest.skip(f"this processor has no {name}")
    monkeypatch.setattr(library, "cpu", number)


def sparse_weight(rows: int, cols: int, sparsity: float, seed: int = 0) -> Tensor:
    """A weight in which about a share of the 8x1 blocks is zero."""
    rng = torch.Generator().manual_seed(seed)
    keep = torch.rand(-(-rows // 8), cols, generator=rng) >= sparsity
    weight = torch.randn(rows, cols, generator=rng) / cols**0.5
    return weight * keep.repeat_interleave(8, 0)[:rows]


def int8_matrix(rows: int, cols: int, sparsity: float, seed: int = 0) -> BlockMatrix:
    """A matrix of bytes and scales."""
    rng = torch.Generator().manual_seed(seed)
    matrix = BlockMatrix.from_dense(sparse_weight(rows, cols, sparsity, seed))
    shape = matrix.band.values.shape
    values = torch.randint(-127, 128, shape, generator=rng).to(torch.int8)
    band = Band(matrix.band.counts, matrix.band.columns, values)
    bias, scales = (torch.rand(len(matrix.bias), generator=rng) for _ in range(2))
    return BlockMatrix(rows, cols, band, bias, scales * 0.01)


def model() -> nn.Module:
    """Linear layers with rows that are whole blocks and that are not, one without a bias."""
    torch.manual_seed(0)
    linears = nn.Linear(20, 27), nn.Linear(27, 16, bias=False), nn.Linear(16, 9)
    return nn.Sequential(linears[0], nn.LayerNorm(27), linears[1], nn.ReLU(), linears[2])


def supernet() -> SuperNet:
    """It does not cover the last layer."""
    return SuperNet(model(), "8x1", exclude=["^4"])


def write_levels(
    path: Path, net: SuperNet, levels: Sequence[str] = LEVELS, values: str = "float32", **more
) -> Path:
    """A packed file of a supernet's sub-networks of these levels; ``more`` as for write_packed."""
    write_packed(path, net.model, ((level, net.bake(level)) for level in levels), values, **more)
    return path


def own_states() -> dict[str, dict[str, Tensor]]:
    """States of three trainings: the second differs from the first in all but the last bias, the
    third is the second one pruned, with another norm."""
    net, other = supernet(), supernet()
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in other.model.named_parameters():
            if name != "4.bias":
                parameter.add_(torch.randn_like(parameter))
    states = {"0": net.bake("0"), "0.5": other.bake("0.5"), "0.9": other.bake("0.9")}
    states["0.9"]["1.weight"] = torch.full((27,), 0.5)
    return states


def write_own(path: Path, values: str = "float32") -> Path:
    """A packed file of :func:`own_states`."""
    write_packed(path, model(), own_states().items(), values, {"a": "b"}, own_values=True)
    return path


def run_apart(module: str, *words: str, **environment: str) -> str:
    """Runs a module of the tests in a process of its own, which must not crash; what it says."""
    return run_module(module, *words, OMP_NUM_THREADS="1", **environment).stdout


def run_sanitized(source: Path, folder: Path, module: str, *words: str) -> str:
    """The same with ``--library``, a C file compiled with an address sanitizer.

    The sanitizer ends the process at the first access to memory that is not its own. Skips where
    the compiler has none.
    """
    try:
        more = ("-fsanitize=address", "-g1", "-O0")
        made = native.compile_library(COMPILER, source, folder, more)
        command = [*COMPILER, "-print-file-name=libasan.so"]
        runtime = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as e:
        pytest.skip(f"THE COMPILER HAS NO ADDRESS SANITIZER: {e}")
    if not Path(runtime).is_file():
        pytest.skip("THE COMPILER HAS NO ADDRESS SANITIZER")
    sanitized = {"LD_PRELOAD": runtime, "ASAN_OPTIONS": "detect_leaks=0"}
    return run_apart(module, "--library", str(made), *words, **sanitized)
