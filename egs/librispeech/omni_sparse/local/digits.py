# SPDX-License-Identifier: Apache-2.0
"""Plans connected-digit utterances from recordings of single digits. No audio is touched here.

The dataset's own split is kept: recordings 0 to 4 of every digit and speaker are for testing, the
others for training. The last tenth of the training recordings (45 to 49 of 5 to 49) makes the dev
set and is never trained on. A held-out speaker is in no other set.

Within a split each recording is used equally often: the recordings of a speaker are shuffled and
chopped into utterances, then shuffled again, and so on. So a test word occurs several times, each
time between other neighbours; these repeats are not independent, and a confidence interval that
takes them for independent is too narrow.
"""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from emformer.errors import RecipeError

WORDS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
FILE_NAME = re.compile(r"(\d)_([^_]+)_(\d+)")
NUM_TEST = 5  # the official split: indices below this are the test recordings
MIN_DIGITS, MAX_DIGITS = 3, 7  # in an utterance
DEV_PASSES = 2
HELD_OUT_PASSES = 1


@dataclass(frozen=True, order=True)
class Spoken:
    """One recording of one digit."""

    speaker: str
    digit: int
    index: int

    @property
    def name(self) -> str:
        return f"{self.digit}_{self.speaker}_{self.index}"


@dataclass(frozen=True)
class Utterance:
    """Recordings of one speaker to be joined, in order."""

    id: str
    parts: tuple[Spoken, ...]

    @property
    def text(self) -> str:
        return " ".join(WORDS[p.digit] for p in self.parts)


def parse_name(path: Path) -> Spoken | None:
    """``7_jackson_32.wav`` to its three fields; None for a file with another kind of name."""
    match = FILE_NAME.fullmatch(path.stem)
    return Spoken(match[2], int(match[1]), int(match[3])) if match else None


def choose_held_out(speakers: list[str], wanted: str) -> str | None:
    """The speaker left out of training.

    "last" takes the last in alphabetical order: a rule that needs no knowledge of the speakers and
    gives the same answer on every machine. "none" leaves nobody out.
    """
    if wanted == "none":
        return None
    if len(speakers) < 2:
        raise RecipeError(
            f"a speaker cannot be left out of {len(speakers)}; use --held-out-speaker none "
            "with --corpus fsdd_all"
        )
    if wanted == "last":
        return max(speakers)
    if wanted not in speakers:
        raise RecipeError(f"no speaker '{wanted}' to leave out; there are {', '.join(speakers)}")
    return wanted


def split_recordings(spoken: list[Spoken], held_out: str | None) -> dict[str, list[Spoken]]:
    """Deal the recordings out to train, dev, test-clean and, with a held-out speaker, test-other.

    test-other holds all the recordings of the held-out speaker, who is not in training at all: a
    figure on 500 words is worth more than one on the official 50, and contains these.
    """
    splits: dict[str, list[Spoken]] = {"train": [], "dev": [], "test-clean": []}
    training: dict[tuple[str, int], list[Spoken]] = {}
    for item in sorted(spoken):
        if item.speaker == held_out:
            splits.setdefault("test-other", []).append(item)
        elif item.index < NUM_TEST:
            splits["test-clean"].append(item)
        else:
            training.setdefault((item.speaker, item.digit), []).append(item)
    for items in training.values():
        num_dev = math.ceil(len(items) / 10)
        splits["train"] += items[:-num_dev]
        splits["dev"] += items[-num_dev:]
    for name, items in splits.items():
        if not items:
            raise RecipeError(
                f"no recordings are left for the split {name}; of each digit there must be some "
                f"with index below {NUM_TEST} (test) and two or more above (training and dev)"
            )
    return splits


def chop(items: list[Spoken], rng: random.Random) -> list[list[Spoken]]:
    """Cut a list into pieces of MIN_DIGITS to MAX_DIGITS, using every item once.

    A list shorter than MIN_DIGITS gives one short piece.
    """
    pieces = []
    start = 0
    while start < len(items):
        left = len(items) - start
        sizes = [
            n for n in range(MIN_DIGITS, MAX_DIGITS + 1) if n == left or n + MIN_DIGITS <= left
        ]
        size = rng.choice(sizes) if sizes else left
        pieces.append(items[start : start + size])
        start += size
    return pieces


def plan_speaker(
    items: list[Spoken], split: str, seed: int, *, passes: int = 0, utterances: int = 0
) -> list[Utterance]:
    """Utterances of one speaker: whole ``passes`` over the recordings, or just ``utterances``."""
    speaker = items[0].speaker
    rng = random.Random(f"{seed}-{split}-{speaker}")
    pieces: list[list[Spoken]] = []
    for done in count():
        if (done >= passes) if passes else (len(pieces) >= utterances):
            break
        shuffled = items[:]
        rng.shuffle(shuffled)
        pieces += chop(shuffled, rng)
    if not passes:
        pieces = pieces[:utterances]
    return [Utterance(f"{split}-{speaker}-{n:05d}", tuple(piece)) for n, piece in enumerate(pieces)]


def plan(
    splits: dict[str, list[Spoken]], seed: int, train_utts: int, test_passes: int
) -> dict[str, list[Utterance]]:
    """All utterances of all splits; training speakers get equal shares of ``train_utts``."""
    planned: dict[str, list[Utterance]] = {}
    for split, items in splits.items():
        speakers = sorted({item.speaker for item in items})
        planned[split] = []
        for n, speaker in enumerate(speakers):
            own = [item for item in items if item.speaker == speaker]
            if split == "train":
                share = (train_utts + len(speakers) - 1 - n) // len(speakers)
                planned[split] += plan_speaker(own, split, seed, utterances=share) if share else []
                continue
            passes = {"dev": DEV_PASSES, "test-other": HELD_OUT_PASSES}.get(split, test_passes)
            planned[split] += plan_speaker(own, split, seed, passes=passes)
    return planned
