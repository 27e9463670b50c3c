# SPDX-License-Identifier: Apache-2.0
"""The text of a model card. What no file tells is said to be unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emformer.clock import clock
from emformer.data.corpus import load_corpus
from emformer.data.features import SAMPLE_RATE
from emformer.decoding.model import DecodingInfo
from emformer.errors import RecipeError
from emformer.experiment.description import (
    package_versions,
    read_environment,
    training_command,
)
from emformer.experiment.revision import git_revision
from emformer.experiment.whole_file import write_whole
from emformer.scoring.results import Result
from omni_emformer.cards.rates import rates, runtime_of, weights_of
from omni_emformer.cards.running import how_to_run
from omni_emformer.supernet.system_file import read_system
from omni_plugin.report import markdown_table

UNKNOWN = "unknown"
_DENSE = "dense"  # what has no system.yaml


@dataclass(frozen=True)
class Origin:
    """Where exported files come from.

    Args:
      exp_dir: The experiment that trained the model.
      command: What writes the files.
      licence: Of the model; empty if nobody said.
      also: Experiments that trained further sizes.
    """

    exp_dir: Path
    command: str = ""
    licence: str = ""
    also: Sequence[Path] = ()

    @property
    def exp_dirs(self) -> list[Path]:
        """All experiments."""
        return [self.exp_dir, *self.also]

    @property
    def system(self) -> str:
        """What was trained there, by its name."""
        names = [str(read_system(path).get("name", _DENSE)) for path in self.exp_dirs]
        return " and ".join(dict.fromkeys(names))


def write_card(
    path: Path, title: str, infos: Sequence[DecodingInfo], files: Iterable[Path], origin: Origin
) -> bool:
    """Write a model card, whole or not at all; False where there is one, which stays.

    Args:
      path: Of the card, beside the files.
      title: What the model is called.
      infos: The sub-networks, the largest first.
      files: What was exported.
      origin: Where it comes from.

    Raises:
      RecipeError: A file of the experiment is damaged.
    """
    if path.exists():
        return False
    sizes = {file.name: file.stat().st_size for file in sorted(files)}
    found = rates(infos, [*origin.exp_dirs, path.parent])
    write_whole(path, card(title, infos, sizes, found, origin))
    return True


def card(
    title: str,
    infos: Sequence[DecodingInfo],
    files: Mapping[str, int],
    found: Sequence[Result],
    origin: Origin,
) -> str:
    """A card's text.

    Args:
      title, infos, origin: As :func:`write_card` has them.
      files: Bytes of each file, by name.
      found: What is known of the word error rates.
    """
    names, model = [info.subnet for info in infos], infos[0].config.model
    sections = [
        f"# {title}",
        _what(infos, origin),
        _facts(infos, origin),
        f"## Sizes\n\n{_sizes(infos)}",
        f"## Word error rates\n\n{_rates(found)}",
        f"## How to run it\n\n{how_to_run(files, names, model)}",
        f"## Files\n\n{_files(files)}",
        f"## How it was made\n\n{_made(infos, origin)}",
    ]
    return "\n\n".join(sections) + "\n"


def _what(infos: Sequence[DecodingInfo], origin: Origin) -> str:
    model = infos[0].config.model
    which = f"the sub-network `{infos[0].subnet}`"
    if len(infos) > 1:
        which = f"{len(infos)} sub-networks, one of which is chosen when it runs,"
    return (
        f"A streaming speech recogniser, which writes down speech while it is spoken: {which} of "
        f"the system `{origin.system}` of omni_sparse. It is a transducer (RNN-T) with an Emformer "
        f"encoder of {model.num_layers} layers of dimension {model.encoder_dim}."
    )


def _facts(infos: Sequence[DecodingInfo], origin: Origin) -> str:
    info, model = infos[0], infos[0].config.model
    most = model.chunk_ms + model.right_context_ms
    rows = [
        ("licence", origin.licence or f"{UNKNOWN}: none was named by `--licence`"),
        ("language", UNKNOWN),
        ("training data", _data(info.corpus)),
        ("training", "; ".join(dict.fromkeys(_training(one) for one in infos))),
        ("seed", str(info.seed)),
        ("sound", f"{SAMPLE_RATE:,} Hz, one channel"),
        (
            "streaming",
            f"chunks of {model.chunk_ms} ms with {model.right_context_ms} ms of look-ahead and "
            f"{model.left_context_ms} ms of left context",
        ),
        (
            "latency",
            f"{model.right_context_ms} to {most} ms from a sound until its chunk can be computed; "
            "computing it comes on top",
        ),
        ("output", f"{len(info.tokens)} symbols, pieces of words"),
    ]
    return markdown_table(["", ""], [(f"**{name}**", text) for name, text in rows], 2)


def _data(corpus: str) -> str:
    hours = f"how much speech that is: {UNKNOWN}"
    try:
        found = load_corpus(corpus)
    except RecipeError:  # a file of one's own, which lies elsewhere
        return f"corpus `{corpus}`; its splits and source: {UNKNOWN}; {hours}"
    made = f"source `{found.source}`" if found.source else f"source {UNKNOWN}"
    return f"corpus `{corpus}` ({made}), split {', '.join(found.train)}; {hours}"


def _training(info: DecodingInfo) -> str:
    return (
        f"{info.train_updates:,} updates in {clock(info.train_seconds)}; checkpoint "
        f"`{info.checkpoint}` ({info.name})"
    )


def _sizes(infos: Sequence[DecodingInfo]) -> str:
    head = ["sub-network", "parameters", "not zero", "zeros in the encoder's matrices", "by layer"]
    rows = [
        [
            info.subnet,
            f"{info.num_params:,}",
            f"{info.num_nonzero:,}",
            f"{100 * info.sparsity:.1f} %",
            " ".join("-" if level is None else f"{level:.2f}" for level in info.levels),
        ]
        for info in infos
    ]
    return markdown_table(head, rows)


def _rates(found: Sequence[Result]) -> str:
    if not found:
        return f"{UNKNOWN.capitalize()}: no results.jsonl has a decoding of these weights."
    head = ["sub-network", "test set", "by", "search", "streaming", "WER % [95 %]"]
    rows = [
        [
            r.subnet,
            f"{r.corpus} {r.split}",
            runtime_of(r),
            f"{r.method} ({r.settings_text})" if r.settings else r.method,
            r.mode,
            f"{r.wer:.2f} [{r.wer_ci95[0]:.2f}, {r.wer_ci95[1]:.2f}]",
        ]
        for r in found
    ]
    note = (
        "Intervals are over utterances of one training, not over trainings. The rates are of these "
        "test sets, and tell nothing of other voices, microphones or texts. Files of another kind "
        "than a row's, such as int8 ones, hold the same weights and may say other texts."
    )
    return f"{markdown_table(head, rows, text_columns=5)}\n\n{note}"


def _files(files: Mapping[str, int]) -> str:
    return markdown_table(["file", "bytes"], [[f"`{n}`", f"{size:,}"] for n, size in files.items()])


def _made(infos: Sequence[DecodingInfo], origin: Origin) -> str:
    now = {"git_revision": git_revision() or UNKNOWN, **package_versions()}
    fingerprints = ", ".join(f"{info.subnet} `{weights_of(info.weights)}`" for info in infos)
    lines = [
        f"- Trained with {_versions(read_environment(origin.exp_dir))}.",
        f"- Exported with {_versions(now)}.",
        f"- Fingerprints of the weights: {fingerprints}.",
    ]
    commands: list[str] = []
    for path in origin.exp_dirs:
        commands += training_command(path) or [f"# the training's command is {UNKNOWN}"]
    commands += [origin.command or f"# the export's command is {UNKNOWN}"]
    return "\n".join([*lines, "", "```", *commands, "```"])


def _versions(found: Mapping[str, str]) -> str:
    """Packages and their versions, and the recipe's revision."""
    packages = ", ".join(f"{k} {v}" for k, v in found.items() if k != "git_revision")
    code = found.get("git_revision", UNKNOWN)
    return f"{packages or f'packages: {UNKNOWN}'}; omni_sparse at {code}"
