# SPDX-License-Identifier: Apache-2.0
"""One update under torchrun and what each rank draws; see test_ddp.py.

Usage: torchrun ... -m tests.omni_plugin.supernet.ddp_run OUT
"""

from __future__ import annotations

import random
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from omni_plugin.sampling import CubicRamp, LevelSpace, Schedule, make_sampler
from omni_plugin.supernet import SuperNet
from tests.support.torch_models import mixed, tokens

UPDATES = 40
SAMPLERS = ("single", "per-rank", "split", "sandwich")
#: Sub-networks of an update, by rank.
EQUAL = [["dense", 0.5], ["dense", 0.5]]
OWN = [[0.25, 0.75], [0.5, "dense"]]


def loss_of(out: Tensor) -> Tensor:
    return out.square().mean()


def draws(supernet: SuperNet, rank: int) -> dict[str, list]:
    """Levels of all passes of all updates, by the sampler's name."""
    space, schedule = LevelSpace(0.9, layer_spread=0.2), Schedule(0.9, CubicRamp(0.1, 0.5))
    found = {}
    for name in SAMPLERS:
        sampler = make_sampler(name, supernet, space, schedule, UPDATES, seed=3, rank=rank)
        passes = [sampler.passes(update) for update in range(UPDATES)]
        found[name] = [[list(one.subnet.levels) for one in update] for update in passes]
    return found


def update(rank: int, choices: list, quiet: bool, unused: bool) -> dict[str, Tensor]:
    """Weights after one step of SGD; a forward and a backward for each sub-network.

    Args:
      rank: It has a batch of its own.
      choices: The sub-networks, in order.
      quiet: Exchange gradients in the last backward only.
      unused: DDP looks for parameters without gradient.
    """
    supernet = SuperNet(mixed())
    model = DistributedDataParallel(supernet, find_unused_parameters=unused)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for number, choice in enumerate(choices, start=1):
        supernet.set_active_subnet(choice)
        with model.no_sync() if quiet and number < len(choices) else nullcontext():
            loss_of(model(tokens(rank))).backward()
    optimizer.step()
    supernet.refresh_ranks()
    return {**supernet.model.state_dict(), **{f"{k} ranks": v for k, v in supernet.ranks().items()}}


def main() -> None:
    out = Path(sys.argv[1])
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    # The global generators differ between ranks, as they do in training.
    torch.manual_seed(rank), random.seed(rank)
    content = {
        f"{name} quiet={quiet} unused={unused}": update(rank, choices[rank], quiet, unused)
        for name, choices in (("equal", EQUAL), ("own", OWN))
        for quiet in (False, True)
        for unused in (False, True)
    }
    content["draws"] = draws(SuperNet(mixed()), rank)
    torch.save(content, out / f"rank-{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
