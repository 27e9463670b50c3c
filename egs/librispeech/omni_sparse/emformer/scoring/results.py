# SPDX-License-Identifier: Apache-2.0
"""results.jsonl: one line for every decoding, from which tables and plots are made."""

import dataclasses
import fcntl
import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

from emformer.errors import RecipeError

SIMULATED = "simulated"
CHUNK_WISE = "chunk-wise"
DENSE = "dense"  # the whole model, as a subnet

# Fields that older lines lack.
_LATER = {
    "subnet", "settings", "weights", "recogs", "train_cost", "normalization", "references"
}  # fmt: skip


@dataclass
class Result:
    """One system decoded on one split by one method in one mode.

    Attributes (`ins`, `del_` and `sub` are counts of words; `del_` is `del` in the file):
        system: name of the system, such as "dense".
        corpus, split, method: what was decoded and how.
        mode: "simulated" (whole utterances under the streaming mask) or "chunk-wise".
        chunk_ms, right_context_ms, left_context_ms: of the encoder, in milliseconds.
        wer, wer_ci95: in percent; the 95 % bootstrap interval is [low, high].
        num_words, num_utts: of the references.
        num_params, num_nonzero: of the deployed model (no training-only projections).
        sparsity: share of zeros over the matrices of the encoder.
        levels: sparsity of each encoder layer; None of one that has no matrices.
        train_updates, train_passes, train_seconds, seed: what the training spent. A pass is
            one forward and backward of one (sub-)network over one batch.
        checkpoint, config, git_revision: where it comes from.
        rtf: seconds of encoder and search for one second of audio.
        subnet: what of the checkpoint was decoded: "dense" for all of it.
        settings: of the method, such as {"beam_size": 4}.
        weights: fingerprint of the decoded weights, see `decoding.model.fingerprint`.
        recogs: file of the texts, relative to the experiment's folder.
        train_cost: the passes of the training in passes of the whole model over a whole batch.
        normalization: rule by which references were read, see `emformer.text`.
        references: fingerprint of the references, see `scoring.references`.

    The last seven came later: of an older line, they are "dense", empty, all of the passes, and
    empty: references were taken as they were written.
    """

    system: str
    corpus: str
    split: str
    method: str
    mode: str
    chunk_ms: float
    right_context_ms: float
    left_context_ms: float
    wer: float
    ins: int
    del_: int
    sub: int
    num_words: int
    num_utts: int
    num_params: int
    num_nonzero: int
    sparsity: float
    levels: list[float | None]
    train_updates: int
    train_passes: int
    train_seconds: float
    seed: int
    checkpoint: str
    config: str
    git_revision: str | None
    rtf: float
    wer_ci95: list[float]
    subnet: str = DENSE
    settings: dict = field(default_factory=dict)
    weights: str = ""
    recogs: str = ""
    train_cost: float = 0.0
    normalization: str = ""
    references: str = ""

    def __post_init__(self):
        if self.mode not in (SIMULATED, CHUNK_WISE):
            raise ValueError(f"mode must be {SIMULATED} or {CHUNK_WISE}, got {self.mode!r}")
        self.train_cost = self.train_cost or float(self.train_passes)

    @property
    def settings_text(self) -> str:
        """Settings of the method, to read and to compare."""
        return settings_text(self.settings)

    def to_dict(self) -> dict:
        """The fields under the names of the file."""
        return {name.rstrip("_"): value for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, record: dict) -> "Result":
        """The inverse of to_dict(). ValueError if a field is missing or unknown."""
        names = {f.name.rstrip("_"): f.name for f in dataclasses.fields(cls)}
        odd = sorted((names.keys() ^ record.keys()) - _LATER)
        if odd:
            raise ValueError(f"fields missing or unknown: {', '.join(odd)}")
        return cls(**{names[name]: value for name, value in record.items()})


def settings_text(settings: dict) -> str:
    """Settings of a method in the order of their names, such as "beam_size 4"."""
    return ", ".join(f"{name} {value}" for name, value in sorted(settings.items()))


def append_result(path: Path, result: Result) -> None:
    """Append one line, whole or not at all to any reader, and see it onto the disk.

    The line goes out in a single write under a lock, so decoders may share the file. Where an
    earlier writer died amid a line, the new one still starts a line of its own.
    """
    line = json.dumps(result.to_dict(), ensure_ascii=False, allow_nan=False) + "\n"
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        size = os.fstat(fd).st_size
        torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        os.write(fd, ("\n" + line if torn else line).encode("utf-8"))
        os.fsync(fd)
    finally:
        os.close(fd)


def read_results(path: Path) -> list[Result]:
    """All results of a file, in order; a line that is not whole is skipped with a warning.

    Raises:
        RecipeError: there is no such file.
    """
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as e:
        raise RecipeError(f"cannot read {path}: {e.strerror}; decode first") from None
    results = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            results.append(Result.from_dict(json.loads(line.decode("utf-8"))))
        except (ValueError, AttributeError) as e:
            logging.warning("%s, line %d: skipped, not a whole result (%s)", path, number, e)
    return results
