#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Connected digits from the Free Spoken Digit Dataset: audio and manifests.

Usage (a checkout of the dataset, or a folder with 8 kHz recordings/{digit}_{speaker}_{index}.wav):
    python3 -m local.prepare_fsdd --corpus fsdd --fsdd-dir download/free-spoken-digit-dataset \
        --data-dir data/fsdd

Each utterance joins 3 to 7 recordings of one speaker, with 50 to 250 ms of silence around each, at
16 kHz. Splits (see local/digits.py):
    train       recordings 5 to 44 of the training speakers' digits, several times in other contexts
    dev         recordings 45 to 49 of the same, never trained on
    test-clean  the official test recordings (0 to 4) of the training speakers, --test-passes times
    test-other  (corpus fsdd) every recording, once, of a speaker left out of training
With the corpus fsdd_all no speaker is left out and there is no test-other. The words of test-clean
are repeats of few recordings (50 a speaker) in different company: count speakers and recordings,
not words, when judging how sure a figure is.
The times of the words are kept in the supervisions ("alignment"), for measuring delays.
"""

from __future__ import annotations

import logging
import random
import shutil
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch
from lhotse import Recording, SupervisionSegment
from lhotse.augmentation import get_or_create_resampler
from lhotse.supervision import AlignmentItem

from emformer.data.bad_items import BadItems
from emformer.data.corpus import Corpus, load_corpus
from emformer.data.manifests import audio_is_found, manifest_paths, write_manifest
from emformer.data.store import digest, is_done, mark_done
from emformer.errors import RecipeError, run_main
from emformer.options import (
    Parser,
    add_bad_option,
    add_data_options,
    positive_int,
    start_logging,
)
from local.digits import (
    WORDS,
    Spoken,
    Utterance,
    choose_held_out,
    parse_name,
    plan,
    split_recordings,
)

SOURCE_RATE = 8000
MIN_GAP, MAX_GAP = 0.050, 0.250  # seconds of silence


def read_recordings(
    fsdd_dir: Path, max_bad_fraction: float
) -> tuple[dict[Spoken, np.ndarray], str]:
    """Read the good recordings (samples in [-1, 1)); bad ones are named, counted and left out.

    Returns the samples and a digest of the files they came from.
    """
    folder = fsdd_dir / "recordings"
    if not folder.is_dir():
        raise RecipeError(
            f"no folder {folder}; give --fsdd-dir a checkout of the Free Spoken Digit Dataset "
            "(git clone https://github.com/Jakobovski/free-spoken-digit-dataset)"
        )
    paths = sorted(folder.glob("*.wav"))
    if not paths:
        raise RecipeError(f"no .wav files in {folder}")
    bad = BadItems("fsdd")
    found: dict[Spoken, np.ndarray] = {}
    for path in paths:
        spoken = parse_name(path)
        if spoken is None:
            bad.add("file name not {digit}_{speaker}_{index}.wav", path.name)
            continue
        try:
            samples, rate = soundfile.read(path, dtype="float32")
        except (OSError, RuntimeError):  # RuntimeError is the base of soundfile's own error
            bad.add("unreadable", spoken.name, path)
            continue
        if samples.ndim != 1:
            bad.add("stereo", spoken.name, path)
        elif rate != SOURCE_RATE:
            bad.add(f"sample rate {rate} (want {SOURCE_RATE})", spoken.name, path)
        elif len(samples) == 0:
            bad.add("empty", spoken.name, path)
        else:
            found[spoken] = samples
    bad.report(len(paths), max_bad_fraction)
    return found, digest(paths)


class Joiner:
    """Makes the waveform of an utterance, resampling each recording once."""

    def __init__(self, samples: dict[Spoken, np.ndarray], sample_rate: int, seed: int) -> None:
        self.samples = samples
        self.sample_rate = sample_rate
        self.seed = seed
        self.resample = get_or_create_resampler(SOURCE_RATE, sample_rate)
        self.cache: dict[Spoken, np.ndarray] = {}

    def read(self, spoken: Spoken) -> np.ndarray:
        if spoken not in self.cache:
            resampled = self.resample(torch.from_numpy(self.samples[spoken])[None])[0].numpy()
            self.cache[spoken] = np.clip(resampled, -1.0, 1.0 - 2.0**-15)
        return self.cache[spoken]

    def join(self, utterance: Utterance) -> tuple[np.ndarray, list[AlignmentItem]]:
        """Samples in [-1, 1) and the time of each word."""
        rng = random.Random(f"{self.seed}-gaps-{utterance.id}")

        def gap() -> np.ndarray:
            return np.zeros(int(rng.uniform(MIN_GAP, MAX_GAP) * self.sample_rate), np.float32)

        pieces = [gap()]
        length = len(pieces[0])
        words = []
        for spoken in utterance.parts:
            samples = self.read(spoken)
            words.append(
                AlignmentItem(
                    symbol=WORDS[spoken.digit],
                    start=round(length / self.sample_rate, 5),
                    duration=round(len(samples) / self.sample_rate, 5),
                )
            )
            pieces += [samples, gap()]
            length += len(samples) + len(pieces[-1])
        return np.concatenate(pieces), words


def write_split(
    utterances: list[Utterance], joiner: Joiner, folder: Path
) -> tuple[list[Recording], list[SupervisionSegment]]:
    """Write the audio of a split; the folder is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    recordings, supervisions = [], []
    for utterance in utterances:
        samples, words = joiner.join(utterance)
        path = folder / f"{utterance.id}.flac"
        soundfile.write(path, samples, joiner.sample_rate, subtype="PCM_16")
        recording = Recording.from_file(path, recording_id=utterance.id)
        recordings.append(recording)
        supervisions.append(
            SupervisionSegment(
                id=utterance.id,
                recording_id=utterance.id,
                start=0.0,
                duration=recording.duration,
                text=utterance.text,
                language="English",
                speaker=utterance.parts[0].speaker,
                custom={"recordings": [spoken.name for spoken in utterance.parts]},
                alignment={"word": words},
            )
        )
    return recordings, supervisions


def held_out_option(corpus: Corpus, wanted: str | None) -> str:
    """The default follows the corpus; a contradiction between the two is refused."""
    has_other = "test-other" in corpus.splits
    if wanted is None:
        return "last" if has_other else "none"
    if has_other and wanted == "none":
        raise RecipeError(
            f"corpus {corpus.name} has a test-other; without a held-out speaker use fsdd_all"
        )
    if not has_other and wanted != "none":
        raise RecipeError(
            f"corpus {corpus.name} has no test-other; with a held-out speaker use fsdd"
        )
    return wanted


def main(argv: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    add_data_options(parser, corpus="fsdd")
    parser.add_argument("--fsdd-dir", required=True, help="folder that contains recordings/")
    parser.add_argument("--held-out-speaker", help="a name, 'last' (default for fsdd) or 'none'")
    parser.add_argument(
        "--train-utts", type=positive_int, default=2000, help="made for training (default 2000)"
    )
    parser.add_argument(
        "--test-passes", type=positive_int, default=4, help="uses of a test recording"
    )
    parser.add_argument(
        "--seed", type=int, default=42, help="another seed, other sequences of digits (default 42)"
    )
    add_bad_option(parser)
    args = parser.parse_args(argv)
    start_logging()
    torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other

    corpus = load_corpus(args.corpus)
    data_dir = Path(args.data_dir)
    found, source = read_recordings(Path(args.fsdd_dir), args.max_bad_fraction)
    speakers = sorted({spoken.speaker for spoken in found})
    held_out = choose_held_out(speakers, held_out_option(corpus, args.held_out_speaker))
    facts = {
        "recordings": source,
        "held_out": held_out,
        "train_utts": args.train_utts,
        "test_passes": args.test_passes,
        "seed": args.seed,
        "sample_rate": corpus.sample_rate,
    }
    marker = data_dir / "manifests" / f".{corpus.prefix}.done"
    files = [manifest_paths(data_dir, corpus.prefix, split) for split in corpus.splits]
    outputs = [f.recordings for f in files] + [f.supervisions for f in files]
    # Until release 0.1, recordings pointed to where the data folder was at that time.
    if is_done(marker, facts, outputs, ("data_dir",)) and audio_is_found(outputs[0]):
        logging.info("%s is already prepared", corpus.name)
        return 0
    marker.unlink(missing_ok=True)

    splits = split_recordings(list(found), held_out)
    planned = plan(splits, args.seed, args.train_utts, args.test_passes)
    if set(planned) != set(corpus.splits):
        raise RecipeError(f"corpus {corpus.name} must name the splits {', '.join(planned)}")
    joiner = Joiner(found, corpus.sample_rate, args.seed)
    for split, utterances in planned.items():
        recordings, supervisions = write_split(utterances, joiner, data_dir / "audio" / split)
        paths = manifest_paths(data_dir, corpus.prefix, split)
        write_manifest(recordings, paths.recordings)
        write_manifest(supervisions, paths.supervisions)
        logging.info("%s: %d utterances", split, len(utterances))
    mark_done(marker, facts)
    logging.info("speakers %s; held out: %s", ", ".join(speakers), held_out or "none")
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
