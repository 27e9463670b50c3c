# SPDX-License-Identifier: Apache-2.0
"""Checkpoints as icefall writes, reads and averages them."""

import re
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel as DDP

ANY = {"weights_only": False}


def save_checkpoint(
    filename, model, model_avg=None, params=None, optimizer=None, scaler=None, sampler=None, rank=0
):
    if rank != 0:
        return
    if isinstance(model, DDP):
        model = model.module
    checkpoint = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "grad_scaler": scaler.state_dict(),
        "sampler": sampler.state_dict(),
    }
    if model_avg is not None:
        checkpoint["model_avg"] = model_avg.to(torch.float32).state_dict()
    for key, value in params.items():
        assert key not in checkpoint
        checkpoint[key] = value
    torch.save(checkpoint, filename)


def load_checkpoint(filename, model, model_avg=None, strict=False):
    checkpoint = torch.load(filename, map_location="cpu", **ANY)
    model.load_state_dict(checkpoint.pop("model"), strict=strict)
    if model_avg is not None and "model_avg" in checkpoint:
        model_avg.load_state_dict(checkpoint.pop("model_avg"), strict=strict)
    return checkpoint


def find_checkpoints(out_dir, iteration=0):
    numbers = [int(re.search(r"(\d+)\.pt", p.name)[1]) for p in Path(out_dir).glob("checkpoint-*")]
    kept = sorted((n for n in numbers if n <= -iteration or not iteration), reverse=True)
    return [f"{out_dir}/checkpoint-{n}.pt" for n in kept]


def average_checkpoints(filenames):
    states = [torch.load(name, **ANY)["model"] for name in filenames]
    return {key: sum(state[key] for state in states) / len(states) for key in states[0]}


def average_checkpoints_with_averaged_model(filename_start, filename_end):
    start, end = (torch.load(name, **ANY) for name in (filename_start, filename_end))
    period = end["average_period"]
    first, last = (c["batch_idx_train"] // period * period for c in (start, end))
    assert last > first
    return {
        key: (value * last - start["model_avg"][key] * first) / (last - first)
        for key, value in end["model_avg"].items()
    }


def update_averaged_model(params, model_cur, model_avg):
    if isinstance(model_cur, DDP):
        model_cur = model_cur.module
    share = params.average_period / params.batch_idx_train
    current = model_cur.state_dict()
    for key, value in model_avg.state_dict().items():
        value.mul_(1 - share).add_(current[key], alpha=share)
