#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A recipe with the functions of icefall's, and none of the plugin's."""

import argparse
import copy
import logging
import random
from pathlib import Path

import torch
import torch.multiprocessing as mp
from asr_datamodule import FEATURES, VOCAB, AsrDataModule
from icefall.checkpoint import load_checkpoint, update_averaged_model
from icefall.checkpoint import save_checkpoint as save_checkpoint_impl
from icefall.utils import AttributeDict, MetricsTracker, str2bool
from model import Transducer
from torch.nn.parallel import DistributedDataParallel as DDP


def add_model_arguments(parser):
    parser.add_argument("--num-encoder-layers", type=int, default=1)
    parser.add_argument("--encoder-dim", type=int, default=32)
    parser.add_argument("--lstm", type=str2bool, default=False)


def get_parser():
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--world-size", type=int, default=1)
    parser.add_argument("--master-port", type=int, default=12354)
    parser.add_argument("--num-epochs", type=int, default=2)
    parser.add_argument("--start-epoch", type=int, default=1)
    parser.add_argument("--start-batch", type=int, default=0)
    parser.add_argument("--exp-dir", type=str, default="tiny/exp")
    parser.add_argument("--average-period", type=int, default=2)
    parser.add_argument("--save-every-n", type=int, default=5)
    parser.add_argument("--use-fp16", type=str2bool, default=False)
    parser.add_argument("--seed", type=int, default=42)
    add_model_arguments(parser)
    return parser


def get_params():
    return AttributeDict(
        {"batch_idx_train": 0, "best_valid_loss": float("inf"), "train_loss": 0.0, "valid": []}
    )


def fix_random_seed(seed):
    random.seed(seed)
    torch.manual_seed(seed)


def get_transducer_model(params):
    return Transducer(FEATURES, params.encoder_dim, params.num_encoder_layers, VOCAB, params.lstm)


def load_checkpoint_if_available(params, model, model_avg=None):
    if params.start_batch > 0:
        filename = params.exp_dir / f"checkpoint-{params.start_batch}.pt"
    elif params.start_epoch > 1:
        filename = params.exp_dir / f"epoch-{params.start_epoch - 1}.pt"
    else:
        return None
    saved = load_checkpoint(filename, model=model, model_avg=model_avg)
    for key in ("batch_idx_train", "best_valid_loss", "valid"):
        params[key] = saved[key]
    if params.start_batch > 0:
        params["start_epoch"] = saved["cur_epoch"]
    return saved


def save_checkpoint(params, model, model_avg, optimizer, sampler, scaler, rank, name):
    save_checkpoint_impl(
        filename=params.exp_dir / name,
        model=model,
        model_avg=model_avg,
        params=params,
        optimizer=optimizer,
        sampler=sampler,
        scaler=scaler,
        rank=rank,
    )


def compute_loss(params, model, sp, batch, is_training, warmup=1.0):
    with torch.set_grad_enabled(is_training):
        y = torch.tensor(batch["supervisions"]["text"])
        simple_loss, pruned_loss = model(x=batch["inputs"], y=y)
        loss = 0.5 * simple_loss + warmup * pruned_loss
    assert loss.requires_grad == is_training
    info = MetricsTracker()
    info["frames"] = int(batch["supervisions"]["num_frames"].sum())
    info["loss"] = loss.detach().item()
    info["simple_loss"] = simple_loss.detach().item()
    info["pruned_loss"] = pruned_loss.detach().item()
    return loss, info


def compute_validation_loss(params, model, sp, valid_dl, world_size=1):
    model.eval()
    tot_loss = MetricsTracker()
    for batch in valid_dl:
        loss, loss_info = compute_loss(
            params=params, model=model, sp=sp, batch=batch, is_training=False
        )
        assert loss.requires_grad is False
        tot_loss = tot_loss + loss_info
    return tot_loss


def train_one_epoch(
    params, model, optimizer, sp, train_dl, valid_dl, scaler, model_avg=None, world_size=1, rank=0
):
    model.train()
    for batch in train_dl:
        params.batch_idx_train += 1
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=params.use_fp16):
            loss, loss_info = compute_loss(
                params=params, model=model, sp=sp, batch=batch, is_training=True
            )
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        logging.info("batch %d %s", params.batch_idx_train, loss_info)
        if rank == 0 and params.batch_idx_train % params.average_period == 0:
            update_averaged_model(params=params, model_cur=model, model_avg=model_avg)
        if params.batch_idx_train % params.save_every_n == 0:
            save_checkpoint(
                params=params,
                model=model,
                model_avg=model_avg,
                optimizer=optimizer,
                sampler=train_dl.sampler,
                scaler=scaler,
                rank=rank,
                name=f"checkpoint-{params.batch_idx_train}.pt",
            )
    valid_info = compute_validation_loss(params=params, model=model, sp=sp, valid_dl=valid_dl)
    logging.info("validation %s", valid_info)
    params.valid = [*params.valid, dict(valid_info)]


def setup_dist(rank, world_size, master_port):
    torch.distributed.init_process_group("nccl", rank=rank, world_size=world_size)


def scan_pessimistic_batches_for_oom(params, model, train_dl, optimizer, sp):
    batch = next(iter(train_dl))
    loss, _ = compute_loss(params=params, model=model, sp=sp, batch=batch, is_training=True)
    loss.backward()
    optimizer.zero_grad()


def run(rank, world_size, args):
    params = get_params()
    params.update(vars(args))
    fix_random_seed(params.seed)
    if world_size > 1:
        setup_dist(rank, world_size, params.master_port)
    head = f"({rank}/{world_size})"
    logging.basicConfig(level=logging.INFO, format=f"{head} %(message)s", force=True)
    params.exp_dir.mkdir(parents=True, exist_ok=True)
    model = get_transducer_model(params)
    model_avg = copy.deepcopy(model).to(torch.float64) if rank == 0 else None
    checkpoints = load_checkpoint_if_available(params=params, model=model, model_avg=model_avg)
    if world_size > 1:
        model = DDP(model, device_ids=[rank], find_unused_parameters=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    if checkpoints:
        optimizer.load_state_dict(checkpoints["optimizer"])
    state = checkpoints["sampler"] if params.start_batch > 0 else None
    data = AsrDataModule(args)
    train_dl = data.train_dataloaders(rank, world_size, state)
    if not checkpoints:
        scan_pessimistic_batches_for_oom(
            params=params, model=model, train_dl=train_dl, optimizer=optimizer, sp=None
        )
    scaler = torch.cuda.amp.GradScaler(enabled=False)
    for epoch in range(params.start_epoch, params.num_epochs + 1):
        fix_random_seed(params.seed + epoch - 1)
        train_dl.sampler.set_epoch(epoch - 1)
        params.cur_epoch = epoch
        train_one_epoch(
            params=params,
            model=model,
            model_avg=model_avg,
            optimizer=optimizer,
            sp=None,
            train_dl=train_dl,
            valid_dl=data.valid_dataloaders(),
            scaler=scaler,
            world_size=world_size,
            rank=rank,
        )
        save_checkpoint(
            params=params,
            model=model,
            model_avg=model_avg,
            optimizer=optimizer,
            sampler=train_dl.sampler,
            scaler=scaler,
            rank=rank,
            name=f"epoch-{epoch}.pt",
        )
    if world_size > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def main():
    parser = get_parser()
    AsrDataModule.add_arguments(parser)
    args = parser.parse_args()
    args.exp_dir = Path(args.exp_dir)
    world_size = args.world_size
    if world_size > 1:
        mp.spawn(run, args=(world_size, args), nprocs=world_size, join=True)
    else:
        run(rank=0, world_size=1, args=args)


torch.set_num_threads(1)

if __name__ == "__main__":
    main()
