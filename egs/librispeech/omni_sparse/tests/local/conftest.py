# SPDX-License-Identifier: Apache-2.0
"""Made-up audio and corpora; no test needs a downloaded one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import soundfile
from lhotse import AudioSource, Recording, SupervisionSegment

from emformer.data.manifests import manifest_paths, write_manifest
from tests.support.waves import save_wave

WORDS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")


@pytest.fixture(autouse=True)
def always_one_thread(one_thread):
    """Tiny tensors only lose by threads, above all where other processes compute too."""


@pytest.fixture(scope="session")
def fsdd_recordings(tmp_path_factory) -> Path:
    """A made-up FSDD: 3 speakers, 10 digits, recordings 0 to 7 (5 test, 2 training, 1 dev).

    Shared by all tests: copy it before spoiling anything.
    """
    root = tmp_path_factory.mktemp("fsdd")
    for s, speaker in enumerate(("anna", "bert", "carl")):
        for digit in range(10):
            for index in range(8):
                path = root / "recordings" / f"{digit}_{speaker}_{index}.wav"
                save_wave(path, 0.1 + 0.01 * digit, 8000, 1, seed=100 * s + 10 * digit + index)
    return root


@pytest.fixture
def write_audio(tmp_path):
    """``write_audio(path, seconds=.., rate=.., channels=.., seed=..)`` writes a file."""

    def write(path, seconds=1.0, rate=16000, channels=1, seed=0) -> Path:
        return save_wave(tmp_path / path, seconds, rate, channels, seed)

    return write


@dataclass
class TinyCorpus:
    """A corpus of its own YAML file: train has 6 utterances, dev 2, test 2."""

    root: Path
    yaml: Path
    data_dir: Path
    recordings: dict[str, list[Recording]] = field(default_factory=dict)
    supervisions: dict[str, list[SupervisionSegment]] = field(default_factory=dict)

    def paths(self, split: str):
        return manifest_paths(self.data_dir, "tiny", split)

    def audio(self, name: str) -> Path:
        return self.root / "audio" / f"{name}.wav"

    @staticmethod
    def recording(path: Path, name: str) -> Recording:
        """A manifest that states what the header says, without lhotse's checks."""
        header = soundfile.info(path)
        return Recording(
            id=name,
            sources=[AudioSource("file", list(range(header.channels)), str(path))],
            sampling_rate=header.samplerate,
            num_samples=header.frames,
            duration=header.frames / header.samplerate,
        )

    def replace(self, split: str, number: int, path: Path) -> None:
        """Let an utterance point to another audio file, described truly."""
        name = self.recordings[split][number].id
        self.recordings[split][number] = self.recording(path, name)

    def save(self) -> None:
        for split, recordings in self.recordings.items():
            write_manifest(recordings, self.paths(split).recordings)
            write_manifest(self.supervisions[split], self.paths(split).supervisions)

    def options(self, *more: str) -> list[str]:
        return ["--corpus", str(self.yaml), "--data-dir", str(self.data_dir), *more]


@pytest.fixture
def tiny(tmp_path, write_audio) -> TinyCorpus:
    yaml = tmp_path / "tiny.yaml"
    yaml.write_text("prefix: tiny\ntrain: [train]\ndev: [dev]\ntest: [test]\nvocab_size: 20\n")
    corpus = TinyCorpus(root=tmp_path, yaml=yaml, data_dir=tmp_path / "data")
    number = 0
    for split, size in (("train", 6), ("dev", 2), ("test", 2)):
        corpus.recordings[split], corpus.supervisions[split] = [], []
        for n in range(size):
            name = f"{split}-{n}"
            seconds = 0.5 + 0.07 * number
            write_audio(f"audio/{name}.wav", seconds=seconds, seed=number)
            recording = corpus.recording(corpus.audio(name), name)
            corpus.recordings[split].append(recording)
            corpus.supervisions[split].append(
                SupervisionSegment(
                    id=name,
                    recording_id=name,
                    start=0.0,
                    duration=recording.duration,
                    text=f"{WORDS[number % 10]} {WORDS[(3 * number + 1) % 10]}",
                    speaker=f"speaker-{n % 2}",
                )
            )
            number += 1
    corpus.save()
    return corpus
