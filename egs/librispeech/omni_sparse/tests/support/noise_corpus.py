# SPDX-License-Identifier: Apache-2.0
"""A corpus whose utterances are noise: audio and manifests without stored features."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import soundfile
from lhotse import Recording, SupervisionSegment
from lhotse.cut import MonoCut


def write_cuts(
    folder: Path, split: str, seconds: Sequence[float], text: str = "ONE TWO THREE"
) -> None:
    """Noise of these durations as audio, and its manifest in ``folder / "fbank"``."""
    cuts = []
    for n, duration in enumerate(seconds):
        name, path = f"{split}-{n}", folder / f"{split}-{n}.wav"
        rng = np.random.default_rng([n, len(split)])
        soundfile.write(path, rng.uniform(-0.5, 0.5, int(16000 * duration)), 16000)
        recording = Recording.from_file(path, recording_id=name)
        supervision = SupervisionSegment(name, name, 0.0, recording.duration, text=text)
        cuts.append(
            MonoCut(
                name, 0.0, recording.duration, 0, recording=recording, supervisions=[supervision]
            )
        )
    with gzip.open(folder / "fbank" / f"tiny_cuts_{split}.jsonl.gz", "wt") as f:
        f.writelines(json.dumps(cut.to_dict()) + "\n" for cut in cuts)


def write_corpus(root: Path, splits: dict[str, Sequence[float]]) -> SimpleNamespace:
    """Test splits by their utterances' seconds; the corpus's ``yaml`` and the folder ``data``."""
    data, yaml = root / "data", root / "tiny.yaml"
    (data / "fbank").mkdir(parents=True)
    for split, seconds in splits.items():
        write_cuts(data, split, seconds)
    yaml.write_text(
        f"prefix: tiny\ntrain: [train]\ndev: [dev]\ntest: [{', '.join(splits)}]\nvocab_size: 8\n"
    )
    return SimpleNamespace(data=data, yaml=yaml)
