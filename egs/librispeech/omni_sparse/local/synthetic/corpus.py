# SPDX-License-Identifier: Apache-2.0
"""Plans a synthetic corpus and speaks it, shard by shard."""

from __future__ import annotations

import os
import random
import zlib
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soundfile
import yaml

from emformer.errors import RecipeError
from local.synthetic.espeak import Espeak, Voice
from local.synthetic.grammar import Grammar, draw_sentences
from local.synthetic.noise import add_noise, draw_pause
from local.synthetic.resample import resample

SAMPLING_RATE = 16000
# Utterances that one fresh process speaks. espeak-ng's sound depends on what it said before, so
# the corpus is the same for any number of jobs only if shards never change.
SHARD_SIZE = 200
# Name of the file in the audio folder that says that all splits are spoken.
COMPLETE = "complete"


def corpus_dir(name: str) -> Path:
    """Where ``grammar.yaml`` and ``speakers.yaml`` of a corpus of conf/corpus lie."""
    here = Path(__file__).parent
    return here if name == "synthetic" else here / name


def read_speakers(folder: Path) -> dict[str, dict]:
    """Split -> who speaks in it, how noisily, and how many utterances."""
    return yaml.safe_load((folder / "speakers.yaml").read_text())


@dataclass(frozen=True)
class Utterance:
    """One planned recording: ``spoken`` is its text as the synthesizer is given it."""

    id: str
    speaker: str
    text: str
    spoken: str
    voice: Voice
    snr_db: float
    pauses: bool
    seed: int


def plan_corpus(
    sizes: dict[str, int], seed: int, folder: Path | None = None
) -> dict[str, list[Utterance]]:
    """What is said by whom in each split.

    All sets but training hold whole clauses, each once, and none of them is in another set.
    Training also has words and short phrases and draws them again and again.

    Args:
      sizes: Split name -> number of utterances.
      seed: The plan is a function of ``sizes``, ``seed`` and the folder's files alone. Test and
        dev splits are drawn first, so that they do not change with the size of the training split;
        split ``search`` last, so that it changes none of the others.
      folder: See :func:`corpus_dir`; default: that of the corpus ``synthetic``.

    Raises:
      RecipeError: No speakers are known for a split, or its sentences are too few.
    """
    folder = folder or corpus_dir("synthetic")
    grammar = Grammar.load(folder / "grammar.yaml")
    settings = read_speakers(folder)
    held_out: set[str] = set()
    plan = {}
    order = {"train": 1, "search": 2}
    for split in sorted(sizes, key=lambda name: (order.get(name, 0), name)):
        if split not in settings:
            raise RecipeError(f"{folder}/speakers.yaml: no speakers for split {split!r}")
        rng = random.Random(f"{seed} {split}")
        if split == "train":
            sentences = draw_sentences(grammar, sizes[split], rng, held_out, repeat=True)
        else:
            sentences = draw_sentences(grammar, sizes[split], rng, held_out, start="CLAUSE")
        # What comes later says none of it; only training repeats itself.
        held_out.update(sentences)
        plan[split] = [
            _utterance(split, i, text, grammar.to_speak(text), settings[split], rng)
            for i, text in enumerate(sentences)
        ]
    return plan


def _utterance(
    split: str, index: int, text: str, spoken: str, settings: dict, rng: random.Random
) -> Utterance:
    accent, variant = rng.choice(settings["accents"]), rng.choice(settings["variants"])
    voice = Voice(
        name=f"{accent}+{variant}",
        rate=rng.randint(*settings["rate"]),
        pitch=rng.randint(*settings["pitch"]),
        pitch_range=rng.randint(30, 70),
    )
    speaker = f"{accent}-{variant}".lower().replace(" ", "")
    return Utterance(
        id=f"{speaker}-{split}-{index:05d}",
        speaker=speaker,
        text=text,
        spoken=spoken,
        voice=voice,
        snr_db=rng.uniform(*settings["snr_db"]),
        pauses=settings.get("pauses", False),
        seed=rng.getrandbits(31),
    )


def speak_split(utterances: list[Utterance], out_dir: Path, nj: int, progress) -> list[Path]:
    """Speak a split into ``out_dir`` with ``nj`` processes; finished shards are kept as they are.

    Returns:
      The transcript of each shard, tab-separated lines ``id, speaker, path, text``,
      the path relative to ``out_dir``'s parent.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    shards = [utterances[i : i + SHARD_SIZE] for i in range(0, len(utterances), SHARD_SIZE)]
    paths = [out_dir / f"shard-{i:03d}.tsv" for i in range(len(shards))]
    pairs = zip(shards, paths, strict=True)
    todo = [(shard, path) for shard, path in pairs if not path.exists()]
    if not todo:
        return paths
    # A fresh process a shard: see SHARD_SIZE.
    with get_context("spawn").Pool(nj, maxtasksperchild=1) as pool:
        for _ in progress(pool.imap_unordered(partial(_speak_shard, out_dir), todo), len(todo)):
            pass
    return paths


def _speak_shard(out_dir: Path, task: tuple[list[Utterance], Path]) -> None:
    utterances, transcript = task
    espeak = Espeak()
    lines = []
    for utterance in utterances:
        path = out_dir / utterance.speaker / f"{utterance.id}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, render(espeak, utterance), SAMPLING_RATE, subtype="PCM_16")
        where = path.relative_to(out_dir.parent)
        lines.append(f"{utterance.id}\t{utterance.speaker}\t{where}\t{utterance.text}\n")
    # The transcript is renamed into place last: it says that the shard is whole.
    part = transcript.with_suffix(".part")
    part.write_text("".join(lines))
    os.replace(part, transcript)


def render(espeak: Espeak, utterance: Utterance) -> np.ndarray:
    """Samples of one utterance at 16 kHz, float32, of shape ``(num_samples,)``."""
    espeak.seed(utterance.seed)
    speech = espeak.say(utterance.spoken, utterance.voice)
    speech = resample(speech, espeak.sampling_rate, SAMPLING_RATE)
    rng = np.random.default_rng(utterance.seed)
    if not utterance.pauses:
        return add_noise(speech, utterance.snr_db, rng)
    before, after = (round(draw_pause(rng) * SAMPLING_RATE) for _ in range(2))
    return add_noise(speech, utterance.snr_db, rng, before, after)


def fingerprint(sizes: dict[str, int], seed: int, folder: Path | None = None) -> str:
    """Identifies what is in a corpus: its plan's inputs and the files that shape it."""
    here = Path(__file__).parent
    files = sorted([*here.glob("*.py"), *(folder or here).glob("*.yaml")])
    text = repr(sorted(sizes.items())) + str(seed) + "".join(f.read_text() for f in files)
    return f"{zlib.crc32(text.encode()):08x}"
