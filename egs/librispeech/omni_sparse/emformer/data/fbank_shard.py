# SPDX-License-Identifier: Apache-2.0
"""Checks audio, computes features, stores them: the work of one process, and the pool of them."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lhotse import Features, LilcomChunkyWriter, MonoCut, NumpyFilesWriter
from lhotse.features import FeatureExtractor
from lhotse.utils import fastcopy, is_module_available

from emformer.data.audio_check import load_checked
from emformer.data.bad_items import BadItems
from emformer.data.features import SAMPLE_RATE, make_extractor
from emformer.data.manifests import source_of
from emformer.errors import RecipeError

BATCH_SECONDS = 600.0  # audio of one call of a batched extractor
SHARD_CUTS = 500  # cuts of one job: often enough for progress, the same whatever the number of jobs


@dataclass(frozen=True)
class ShardJob:
    """What a worker process is sent.

    Attributes:
        index: number of the shard; results are put together in this order.
        cuts: cuts with recordings.
        folder: where features go; None only checks the audio (features on the fly).
        device: device of the extractor.
        backend: see :func:`emformer.data.features.make_extractor`.
    """

    index: int
    cuts: list[MonoCut]
    folder: Path | None
    device: str = "cpu"
    backend: str | None = None


@dataclass(frozen=True)
class ShardResult:
    """The good cuts, with features if asked for, and the (reason, id, path) of the others."""

    cuts: list[MonoCut]
    bad: list[tuple[str, str, str]]


def open_writer(folder: Path, index: int) -> LilcomChunkyWriter | NumpyFilesWriter:
    """Compressed archives where lilcom is installed, plain numpy files otherwise."""
    target = folder / f"feats-{index:04d}"
    if is_module_available("lilcom"):
        folder.mkdir(parents=True, exist_ok=True)
        return LilcomChunkyWriter(target)
    return NumpyFilesWriter(target)


def run_shard(job: ShardJob) -> ShardResult:
    """Process one shard; never raises for bad audio."""
    torch.set_num_threads(1)  # the processes are the parallelism
    bad = BadItems("")
    done: list[MonoCut] = []
    if job.folder is None:
        done = [cut for cut in job.cuts if load_checked(cut, bad) is not None]
        return ShardResult(done, bad.items)
    extractor = make_extractor(job.device, job.backend)
    with open_writer(job.folder, job.index) as writer:
        for batch in batches(job.cuts):
            loaded = [(cut, load_checked(cut, bad)) for cut in batch]
            good = [(cut, samples) for cut, samples in loaded if samples is not None]
            features = extract(extractor, [samples for _, samples in good])
            for (cut, _), feats in zip(good, features, strict=True):
                if not np.isfinite(feats).all():
                    bad.add("features not finite", cut.id, source_of(cut.recording))
                    continue
                key = writer.write(f"{len(done):06d}", feats)
                done.append(with_features(cut, feats, extractor, writer, key))
    return ShardResult(done, bad.items)


def batches(cuts: list[MonoCut]) -> list[list[MonoCut]]:
    """Group consecutive cuts to about BATCH_SECONDS."""
    groups: list[list[MonoCut]] = []
    seconds = 0.0
    for cut in cuts:
        if not groups or seconds + cut.duration > BATCH_SECONDS:
            groups.append([])
            seconds = 0.0
        groups[-1].append(cut)
        seconds += cut.duration
    return groups


def extract(extractor: FeatureExtractor, waves: list[np.ndarray]) -> list[np.ndarray]:
    """Features of shape (T, 80) for each wave.

    Only kaldifeat takes a list of waves; lhotse's own extractor would pad them first, which changes
    the last frames of the shorter ones, so it gets them one by one.
    """
    if not waves:
        return []
    if extractor.name.startswith("kaldifeat"):
        tensors = [torch.from_numpy(wave) for wave in waves]
        features = extractor.extract_batch(tensors, sampling_rate=SAMPLE_RATE)
        return [feats.cpu().numpy() for feats in features]
    return [extractor.extract(wave, sampling_rate=SAMPLE_RATE) for wave in waves]


def with_features(
    cut: MonoCut,
    feats: np.ndarray,
    extractor: FeatureExtractor,
    writer: LilcomChunkyWriter | NumpyFilesWriter,
    key: str,
) -> MonoCut:
    """Attach the manifest of a stored feature matrix to the cut."""
    features = Features(
        type=extractor.name,
        num_frames=feats.shape[0],
        num_features=feats.shape[1],
        frame_shift=extractor.frame_shift,
        sampling_rate=SAMPLE_RATE,
        start=cut.start,
        duration=cut.duration,
        storage_type=writer.name,
        storage_path=str(writer.storage_path),
        storage_key=key,
        recording_id=cut.recording_id,
        channels=cut.channel,
    )
    return fastcopy(cut, features=features)


def run_pool(
    cuts: list[MonoCut],
    folder: Path | None,
    bad: BadItems,
    nj: int,
    device: str = "cpu",
    backend: str | None = None,
) -> list[MonoCut]:
    """Process all cuts in ``nj`` processes; the outcome, also on disk, does not depend on ``nj``.

    Args:
        cuts: cuts with recordings.
        folder: where features go; None only checks the audio.
        bad: gets the cuts that have to be left out.
    Returns:
        the good cuts, in order.
    Raises:
        RecipeError: a worker process was killed, as happens when memory runs out.
    """
    pieces = [cuts[start : start + SHARD_CUTS] for start in range(0, len(cuts), SHARD_CUTS)]
    jobs = [ShardJob(n, piece, folder, device, backend) for n, piece in enumerate(pieces)]
    done: list[MonoCut] = []
    try:
        with _mapper(min(nj, len(jobs))) as mapper:
            for n, result in enumerate(mapper(run_shard, jobs), start=1):
                done += result.cuts
                bad.items += result.bad
                logging.info("%s: %d of %d parts", bad.where, n, len(jobs))
    except BrokenProcessPool as e:
        raise RecipeError(f"{bad.where}: a worker process was killed; try a smaller --nj") from e
    return done


@contextmanager
def _mapper(nj: int) -> Iterator:
    """``map`` in this process, or over a pool of ``nj``."""
    if nj <= 1:
        threads = torch.get_num_threads()
        try:
            yield map
        finally:
            torch.set_num_threads(threads)
        return
    # Not forked: torch's and MKL's threads do not survive a fork.
    with ProcessPoolExecutor(nj, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool.map
