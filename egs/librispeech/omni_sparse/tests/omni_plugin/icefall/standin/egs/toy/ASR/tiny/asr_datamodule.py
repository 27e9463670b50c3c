# SPDX-License-Identifier: Apache-2.0
"""Made-up speech, batched by a sampler that has no length, as lhotse's have none."""

import torch
from torch.utils.data import DataLoader

VOCAB, FEATURES = 16, 8


def make_batch(seed, size=4, frames=20, symbols=4):
    """Each symbol sounds like its own pattern for five frames, in noise."""
    sounds = torch.randn(VOCAB, FEATURES, generator=torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(seed)
    y = torch.randint(1, VOCAB, (size, symbols), generator=rng)
    x = sounds[y].repeat_interleave(frames // symbols, dim=1)
    return {
        "inputs": x + 0.3 * torch.randn(x.shape, generator=rng),
        "supervisions": {"text": y.tolist(), "num_frames": torch.full((size,), frames)},
    }


class Batches:
    def __getitem__(self, seed):
        return make_batch(seed)


class Sampler:
    """Batch numbers of an epoch, dealt out to ranks."""

    def __init__(self, number, rank, world_size):
        self.number, self.rank, self.world_size = number, rank, world_size
        self.epoch, self.done, self._restored = 0, 0, False

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        start = self.done if self._restored else 0
        self._restored = False
        for done in range(start + 1, self.number + 1):
            self.done = done
            yield (self.epoch * self.number + done) * self.world_size + self.rank

    def state_dict(self):
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state):
        self.epoch, self.done, self._restored = state["epoch"], state["done"], True


class AsrDataModule:
    def __init__(self, args):
        self.args = args

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--num-batches", type=int, default=8)

    def train_dataloaders(self, rank, world_size, sampler_state_dict=None):
        sampler = Sampler(self.args.num_batches, rank, world_size)
        if sampler_state_dict:
            sampler.load_state_dict(sampler_state_dict)
        return DataLoader(Batches(), sampler=sampler, batch_size=None)

    def valid_dataloaders(self):
        return DataLoader(Batches(), sampler=[-1, -2], batch_size=None)
