# SPDX-License-Identifier: Apache-2.0
"""A k2 training loop that becomes a supernet's by four calls, each marked by `# omni N:`.

Usage (with omni_plugin and k2 or fast_rnnt installed; a few seconds on one core):
  python3 examples/attach_to_a_k2_loop.py

Everything else is what a loop for the pruned RNN-T loss looks like anyway: a model of your own,
here a small one that reads made-up speech, an optimizer, batches, a loss.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omni_plugin import OmniTraining, SparsitySettings

try:
    import k2
except ImportError:
    import fast_rnnt as k2  # the same losses under the same names

NUM_SYMBOLS, BLANK, FEATURE_DIM, DIM = 20, 0, 16, 64
UPDATES = 150


class Batch(NamedTuple):
    """N utterances: ``x`` of shape ``(N, T, F)``, ``y`` of shape ``(N, U)``, all of full length."""

    x: Tensor
    y: Tensor


def make_batch(seed: int, size: int = 16, symbols: int = 6) -> Batch:
    """Made-up speech: each symbol sounds like its own pattern for five frames, in noise."""
    sounds = torch.randn(NUM_SYMBOLS, FEATURE_DIM, generator=torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(seed)
    y = torch.randint(1, NUM_SYMBOLS, (size, symbols), generator=rng)
    x = sounds[y].repeat_interleave(5, dim=1)
    return Batch(x + 0.5 * torch.randn(x.shape, generator=rng), y)


class Block(nn.Module):
    """A residual feed-forward block over a window of three frames."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(DIM)
        self.up = nn.Linear(3 * DIM, 2 * DIM)
        self.down = nn.Linear(2 * DIM, DIM)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        window = F.pad(self.norm(x), (0, 0, 1, 1))
        window = torch.cat([window[:, :-2], window[:, 1:-1], window[:, 2:]], dim=2)
        return x + self.dropout(self.down(self.up(window).relu()))


class Model(nn.Module):
    """A transducer: encoder, stateless decoder, joiner, and the simple joiner of k2's loss."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(FEATURE_DIM, DIM), Block(), Block())
        self.decoder = nn.Embedding(NUM_SYMBOLS, DIM)
        self.joiner = nn.Linear(DIM, NUM_SYMBOLS)
        self.simple_am = nn.Linear(DIM, NUM_SYMBOLS)
        self.simple_lm = nn.Linear(DIM, NUM_SYMBOLS)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Simple and pruned loss a frame."""
        frames = x.size(0) * x.size(1)
        am, lm = self.encoder(x), self.decoder(F.pad(y, (1, 0), value=BLANK))
        boundary = torch.tensor([[0, 0, y.size(1), x.size(1)]]).expand(x.size(0), -1).contiguous()
        shared = {"symbols": y, "termination_symbol": BLANK, "boundary": boundary}
        simple, gradients = k2.rnnt_loss_smoothed(
            lm=self.simple_lm(lm), am=self.simple_am(am), am_only_scale=0.5, reduction="sum",
            return_grad=True, **shared,
        )  # fmt: skip
        ranges = k2.get_rnnt_prune_ranges(*gradients, boundary, s_range=4)
        pruned_am, pruned_lm = k2.do_rnnt_pruning(am=am, lm=lm, ranges=ranges)
        logits = self.joiner(torch.tanh(pruned_am + pruned_lm))
        pruned = k2.rnnt_loss_pruned(logits=logits, ranges=ranges, reduction="sum", **shared)
        return simple / frames, pruned / frames


def transducer_loss(model: nn.Module, batch: Batch) -> Tensor:
    simple, pruned = model(batch.x, batch.y)
    return 0.5 * simple + pruned


def train(model: nn.Module, checkpoint: Path, updates: int = UPDATES) -> OmniTraining:
    """Train a model, or go on from the checkpoint where there is one."""
    settings = SparsitySettings(pattern="8x1", include=("^encoder",), refresh_every=20)
    omni = OmniTraining(model, settings, total_updates=updates)  # omni 1: wrap the model
    print(omni.supernet.coverage())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005)
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        omni.load_state_dict(state["omni"])  # omni 4: go on from its saved state
        start = state["update"]

    model.train()
    for update in range(start, updates):
        batch = make_batch(seed=update)
        optimizer.zero_grad()
        for one in omni.passes(update):  # omni 2: the sub-networks of this update
            with omni.running(one) as net:  # omni 3: run each, with its own backward
                loss = transducer_loss(net, batch)
                (one.weight * loss).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if (update + 1) % 50 == 0:
            print(f"update {update + 1}: sub-network {one.subnet.name}, loss {loss:.3f}")
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            state["omni"] = omni.state_dict()  # omni 4: its state is part of a checkpoint
            torch.save({**state, "update": update + 1}, checkpoint)
    return omni


@torch.no_grad()
def try_subnets(omni: OmniTraining, levels: tuple[float, ...] = (0.0, 0.5, 0.9)) -> list[float]:
    """Bake sub-networks into models with plain weights, which know nothing of the plugin."""
    losses = []
    for level in levels:
        model = Model()
        model.load_state_dict(omni.supernet.bake(level))
        model.eval()
        zeros = sum(int((weight == 0).sum()) for weight in model.encoder.parameters())
        total = sum(weight.numel() for weight in model.encoder.parameters())
        losses.append(float(transducer_loss(model, make_batch(seed=-1, size=64))))
        print(f"sparsity {level}: {zeros} of {total} encoder weights are 0, loss {losses[-1]:.3f}")
    return losses


def main() -> None:
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        omni = train(Model(), Path(folder) / "checkpoint.pt")
    try_subnets(omni)


if __name__ == "__main__":
    main()
