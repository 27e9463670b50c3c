# SPDX-License-Identifier: Apache-2.0
"""Faults of recipes and machines that are worked around, each only if it is named."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from torch import nn


def cpu_ddp(train: dict[str, Any]) -> None:
    """Several processes on the CPU: icefall's own ``setup_dist`` knows NCCL only."""
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    def setup_dist(rank: int, world_size: int, master_port: int | None = None) -> None:
        os.environ.setdefault("MASTER_ADDR", "localhost")
        os.environ.setdefault("MASTER_PORT", str(master_port or 12354))
        distributed.init_process_group("gloo", rank=rank, world_size=world_size)

    class CpuDDP(DistributedDataParallel):
        def __init__(self, module: nn.Module, device_ids: object = None, **options: Any) -> None:
            super().__init__(module, **options)

    train["setup_dist"], train["DDP"] = setup_dist, CpuDDP


def torch_typo(train: dict[str, Any]) -> None:
    """lstm_transducer_stateless3 says ``torch_.autocast`` for its ``torch_autocast``."""
    train["torch_"] = SimpleNamespace(autocast=train["torch_autocast"])


def streaming_high_freq(train: dict[str, Any]) -> None:
    """zipformer/streaming_decode.py leaves ``mel_opts.high_freq`` at 0; the features have -400."""
    import kaldifeat

    original = kaldifeat.FbankOptions

    def options() -> Any:
        made = original()
        made.mel_opts.high_freq = -400
        return made

    kaldifeat.FbankOptions = options


#: By name, a function of the names in train.py.
WORKAROUNDS: dict[str, Callable[[dict[str, Any]], None]] = {
    "cpu-ddp": cpu_ddp,
    "streaming-high-freq": streaming_high_freq,
    "torch-typo": torch_typo,
}
