# SPDX-License-Identifier: Apache-2.0
"""lhotse cuts to batches."""

from __future__ import annotations

import argparse
import gzip
import random
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.dataset import K2SpeechRecognitionDataset
from lhotse.dataset.input_strategies import OnTheFlyFeatures, PrecomputedFeatures
from lhotse.lazy import LazyIteratorChain
from torch.utils.data import DataLoader

from emformer.config import TrainingConfig
from emformer.data.corpus import Corpus, load_corpus
from emformer.data.cut_filter import CutFilter
from emformer.data.cut_finder import CutFinder
from emformer.data.lhotse_compat import DynamicBucketingSampler
from emformer.errors import RecipeError
from emformer.options import str2bool

# Most buckets a small set can fill: lhotse wants at least one cut in each.
_CUTS_PER_BUCKET = 20
# About 200 MB.
_CUTS_IN_MEMORY = 100_000


class AsrDataModule:
    """Loaders of a corpus's splits.

    Args:
      corpus: Names of the splits.
      data_dir: Holds ``fbank/<prefix>_cuts_<split>.jsonl.gz``.
      on_the_fly: Compute features from audio while loading.
      musan: Mix MUSAN noise into training cuts (``fbank/musan_cuts.jsonl.gz``).
    """

    def __init__(
        self, corpus: Corpus, data_dir: Path, on_the_fly: bool = False, musan: bool = False
    ) -> None:
        self.corpus = corpus
        self.data_dir = data_dir
        self.on_the_fly = on_the_fly
        self.musan = musan
        self._split_sizes: list[int] | None = None
        self._kept: tuple[CutFilter, list[Cut]] | None = None
        self._whole: set[Path] = set()  # manifests that were checked

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        group = parser.add_argument_group("data")
        group.add_argument(
            "--corpus", default="synthetic", help="a name of conf/corpus, or a YAML file"
        )
        group.add_argument("--data-dir", type=Path, help="default: data/<corpus>")
        group.add_argument(
            "--on-the-fly-feats",
            type=str2bool,
            default=False,
            metavar="BOOL",
            help="compute features from the sound instead of reading those stored",
        )
        group.add_argument(
            "--enable-musan", type=str2bool, metavar="BOOL", help="default: the corpus's"
        )

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> AsrDataModule:
        """Build from the options of :meth:`add_arguments`."""
        corpus = load_corpus(args.corpus)
        data_dir = args.data_dir or Path("data") / corpus.name
        musan = corpus.musan if args.enable_musan is None else args.enable_musan
        return cls(corpus, data_dir, args.on_the_fly_feats, musan)

    # Cuts.

    def cuts(self, split: str) -> CutSet:
        """The cuts of a split, read lazily.

        Raises:
          RecipeError: The manifest is missing or damaged, or (while it is read) what a cut names
            is not found.
        """
        return self._load(f"{self.corpus.prefix}_cuts_{split}.jsonl.gz", stage=3)

    def _load(self, name: str, stage: int) -> CutSet:
        path = self.data_dir / "fbank" / name
        if not path.exists():
            raise RecipeError(f"{path}: no such manifest; make it with run.sh --stage {stage}")
        if path not in self._whole:
            _check_whole(path, stage)
            self._whole.add(path)
        return CutSet.from_jsonl_lazy(path).map(CutFinder(path, self.on_the_fly, stage))

    def check_found(self) -> None:
        """Look at all that training reads, since it gets to some of it late.

        Raises:
          RecipeError: As :meth:`cuts`.
        """
        self.train_cuts()  # read through before anything is trained
        self.valid_cuts()
        if self.musan:
            self.noise()

    def noise(self) -> CutSet:
        """MUSAN, in memory."""
        return self._load("musan_cuts.jsonl.gz", stage=4).to_eager()

    def train_cuts(self) -> CutSet:
        """All training splits in one, each spread over the whole."""
        cuts = [self.cuts(split) for split in self.corpus.train]
        if len(cuts) == 1:
            return cuts[0]
        if self._split_sizes is None:
            self._split_sizes = [sum(1 for _ in split) for split in cuts]
        return CutSet.mux(*cuts, weights=self._split_sizes, seed=0)

    def valid_cuts(self) -> list[Cut]:
        """What training validates on: dev, or half of it where nothing else is for searches."""
        step = 1 if self.corpus.search else 2
        return [cut for split in self.corpus.dev for cut in list(self.cuts(split))[::step]]

    def search_cuts(self) -> list[Cut]:
        """What sub-networks are chosen on, and nothing else sees."""
        if self.corpus.search:
            return [cut for split in self.corpus.search for cut in self.cuts(split)]
        return [cut for split in self.corpus.dev for cut in list(self.cuts(split))[1::2]]

    def test_splits(self) -> list[str]:
        return list(self.corpus.test)

    # Loaders.

    def train_dataloader(
        self,
        cut_filter: CutFilter,
        config: TrainingConfig,
        seed: int,
        epoch: int,
        skip: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> DataLoader:
        """Batches of an epoch: a function of the seed, the epoch and the rank alone.

        Args:
          cut_filter: Decides which cuts are trained on.
          config: ``max_duration``, ``num_buckets``, ``num_workers``, ``shortest_first``.
          seed: The run's seed.
          epoch: From 1.
          skip: Batches at the head of the epoch that an interrupted run has had already.
          rank, world_size: The DDP rank and their number.
        """
        sampler = self.train_sampler(cut_filter, config, seed, epoch, rank, world_size)
        shortest_first = config.shortest_first if epoch == 1 else 0
        shuffled = ShuffledBatches(sampler, f"{seed} {epoch}", shortest_first)
        return DataLoader(
            self.train_dataset(seed, epoch),
            sampler=_Skip(shuffled, skip),
            batch_size=None,
            num_workers=config.num_workers,
            prefetch_factor=8 if config.num_workers else _NO_PREFETCH,
            pin_memory=torch.cuda.is_available(),  # copied to the GPU while it computes
        )

    def train_dataset(self, seed: int, epoch: int) -> K2SpeechRecognitionDataset:
        """Turns the cuts of a batch of training into tensors."""
        transforms = []
        if self.musan:
            transforms.append(_SeededMix(self.noise(), f"{seed} {epoch}"))
        return K2SpeechRecognitionDataset(
            input_strategy=self._input_strategy(), cut_transforms=transforms
        )

    def train_sampler(
        self,
        cut_filter: CutFilter,
        config: TrainingConfig,
        seed: int,
        epoch: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> DynamicBucketingSampler:
        """The sampler of an epoch of training."""
        num_buckets = min(config.num_buckets, cut_filter.num_kept // _CUTS_PER_BUCKET)
        sampler = DynamicBucketingSampler(
            self._trained_on(cut_filter),
            max_duration=config.max_duration,
            num_buckets=num_buckets,
            # lhotse cannot estimate a single bucket: all cuts are then below this boundary.
            duration_bins=None if num_buckets > 1 else [config.max_cut_duration + 1],
            shuffle=True,
            drop_last=False,
            # lhotse adds the epoch to its seed: far apart, so that no two seeds share an order.
            seed=zlib.crc32(f"sampler {seed}".encode()),
            rank=rank,
            world_size=world_size,
        )
        sampler.set_epoch(epoch)
        return sampler

    def _trained_on(self, cut_filter: CutFilter) -> CutSet:
        """Training cuts that are not left out; in memory, if they are few.

        To read and judge the 16,000 of `synthetic` anew for each epoch would let its first batch
        wait for seconds.
        """
        if not 0 < cut_filter.num_kept <= _CUTS_IN_MEMORY:
            return self.train_cuts().filter(cut_filter)
        if self._kept is None or self._kept[0] is not cut_filter:
            self._kept = cut_filter, list(self.train_cuts().filter(cut_filter))
        return CutSet(LazyIteratorChain(self._kept[1]))  # lhotse warns of lists

    def valid_dataloader(
        self, cut_filter: CutFilter, max_duration: float, rank: int = 0, world_size: int = 1
    ) -> DataLoader:
        """The validation half of the dev splits, in order, shared out over the ranks."""
        kept = [cut for cut in self.valid_cuts() if cut_filter(cut)]
        return self.plain_dataloader(kept[rank::world_size], max_duration)

    def test_dataloader(self, split: str, max_duration: float = 300.0) -> DataLoader:
        """A split for decoding; a batch has its cuts in ``batch["supervisions"]["cut"]``."""
        return self.plain_dataloader(self.cuts(split), max_duration)

    def plain_dataloader(self, cuts: Iterable[Cut], max_duration: float) -> DataLoader:
        """Any cuts, as :meth:`test_dataloader`."""
        # Longest first: little padding, and running out of memory shows at once.
        ordered = sorted(cuts, key=lambda cut: (-cut.duration, cut.id))
        batches = _Batches(ordered, max_duration)
        dataset = K2SpeechRecognitionDataset(
            input_strategy=self._input_strategy(), return_cuts=True
        )
        return DataLoader(dataset, sampler=batches, batch_size=None, num_workers=0)

    def _input_strategy(self):
        if not self.on_the_fly:
            return PrecomputedFeatures()
        from emformer.data.features import make_extractor

        # One cut at a time: in a batch, lhotse's own extractor lets the last frames of shorter cuts
        # see padding in place of their mirrored end.
        return OnTheFlyFeatures(make_extractor(), use_batch_extract=False)


def _check_whole(path: Path, stage: int) -> None:
    """Read a gzip file to its checksum, so that damage does not show in the middle of an epoch."""
    try:
        with gzip.open(path) as f:
            while f.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error) as e:
        raise RecipeError(
            f"{path}: damaged ({e}); delete it and make it with run.sh --stage {stage}"
        ) from e


_NO_PREFETCH = None if torch.__version__ >= "2" else 2  # torch 1.13 refuses None


class _Batches(torch.utils.data.Sampler):
    """Consecutive cuts, at most ``max_duration`` seconds a batch with padding."""

    def __init__(self, cuts: list, max_duration: float) -> None:
        self.batches: list[CutSet] = []
        batch: list = []
        for cut in cuts:
            if batch and (len(batch) + 1) * batch[0].duration > max_duration:
                self.batches.append(CutSet.from_cuts(batch))
                batch = []
            batch.append(cut)
        if batch:
            self.batches.append(CutSet.from_cuts(batch))

    def __iter__(self) -> Iterator[CutSet]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class ShuffledBatches(torch.utils.data.Sampler):
    """A sampler's batches in another order.

    A bucketing sampler runs out of some lengths before others, so an epoch's last batches are all
    of the same few lengths. A model trained on those in a row unlearns the other lengths:
    validation loss rose by half within the last 24 batches of an epoch of 524.

    Args:
      sampler: Gives batches.
      key: The order is a function of it. DDP ranks share it, so that they go on having batches of
        like lengths at the same time.
      shortest_first: Batches at the start that are the shortest of those held, in order of length.
      buffer_size: Batches held to choose from; a corpus of fewer is shuffled as a whole.
    """

    def __init__(self, sampler, key: str, shortest_first: int = 0, buffer_size: int = 2000) -> None:
        self.sampler, self.key, self.buffer_size = sampler, key, buffer_size
        self.shortest_first = shortest_first

    def __iter__(self) -> Iterator[CutSet]:
        rng = random.Random(self.key)
        held: list[CutSet] = []
        shortest = self.shortest_first
        for batch in self.sampler:
            if shortest and len(held) == self.buffer_size:
                yield from _take_shortest(held, shortest)
                shortest = 0
            if len(held) < self.buffer_size:
                held.append(batch)
                continue
            chosen = rng.randrange(self.buffer_size)
            yield held[chosen]
            held[chosen] = batch
        yield from _take_shortest(held, shortest)
        rng.shuffle(held)
        yield from held


def _take_shortest(batches: list[CutSet], number: int) -> list[CutSet]:
    """Removes the shortest batches from a list and returns them, the shortest first."""
    if not number:
        return []
    by_length = sorted(range(len(batches)), key=lambda i: _longest(batches[i]))[:number]
    taken = [batches[i] for i in by_length]
    for i in sorted(by_length, reverse=True):
        del batches[i]
    return taken


def _longest(batch: CutSet) -> float:
    """Seconds of a batch's longest cut: what the others are padded to."""
    return max(cut.duration for cut in batch)


class _Skip(torch.utils.data.Sampler):
    """A sampler without its first batches; they are drawn but never loaded."""

    def __init__(self, sampler, skip: int) -> None:
        self.sampler = sampler
        self.skip = skip

    def __iter__(self) -> Iterator[CutSet]:
        return islice(iter(self.sampler), self.skip, None)


class _SeededMix:
    """Mixes noise into a batch; the draw depends on the epoch and the batch's cuts alone.

    A generator kept in the worker would make a resumed run differ.
    """

    def __init__(self, noise: CutSet, seed: str) -> None:
        self.noise = noise
        self.seed = seed

    def __call__(self, cuts: CutSet) -> CutSet:
        first = next(iter(cuts)).id
        return cuts.mix(
            self.noise,
            snr=(10, 20),
            mix_prob=0.5,
            preserve_id="left",
            seed=random.Random(f"{self.seed} {first}").getrandbits(31),
        )


def batch_texts(batch: dict[str, Any]) -> list[str]:
    """Texts of a batch in the order of its inputs; a cut with several supervisions is refused.

    Raises:
      RecipeError: A cut does not have exactly one supervision.
    """
    supervisions = batch["supervisions"]
    if supervisions["sequence_idx"].tolist() != list(range(batch["inputs"].size(0))):
        raise RecipeError("a cut has no text or several; run local/validate_manifest.py")
    return supervisions["text"]
