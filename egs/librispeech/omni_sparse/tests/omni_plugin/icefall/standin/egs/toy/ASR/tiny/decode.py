#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Decodes frame by frame, and writes files as icefall's decode.py does."""

import argparse
from pathlib import Path

import torch
from asr_datamodule import make_batch
from icefall.checkpoint import load_checkpoint
from icefall.utils import str2bool
from train import add_model_arguments, get_params, get_transducer_model


def get_parser():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epoch", type=int, default=30)
    parser.add_argument("--avg", type=int, default=9)
    parser.add_argument("--use-averaged-model", type=str2bool, default=True)
    parser.add_argument("--exp-dir", type=str, default="tiny/exp")
    parser.add_argument("--decoding-method", type=str, default="greedy_search")
    add_model_arguments(parser)
    return parser


@torch.no_grad()
def main():
    params = get_params()
    params.update(vars(get_parser().parse_args()))
    assert params.avg == 1 and not params.use_averaged_model
    model = get_transducer_model(params)
    exp_dir = Path(params.exp_dir)
    load_checkpoint(exp_dir / f"epoch-{params.epoch}.pt", model, strict=True)
    model.eval()
    results = exp_dir / params.decoding_method
    results.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("test-clean", "test-other")):
        batch = make_batch(-100 - number)
        y = torch.tensor(batch["supervisions"]["text"]).repeat_interleave(5, dim=1)
        am = model.encoder(batch["inputs"])
        said = model.joiner(model.joiner.encoder_proj(am), torch.zeros_like(am)).argmax(-1)
        wer = 100 * (said != y).float().mean()
        suffix = f"epoch-{params.epoch}-avg-{params.avg}"
        path = results / f"wer-summary-{name}-{suffix}-{params.decoding_method}.txt"
        path.write_text(f"settings\tWER\n{params.decoding_method}\t{wer:.2f}\n")


if __name__ == "__main__":
    main()
