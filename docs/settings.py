# SPDX-License-Identifier: Apache-2.0
"""Writes settings.md: every setting of the YAML files, from the dataclasses that read them.

Usage, from the root of the repository:
  . egs/librispeech/omni_sparse/path.sh && python3 docs/settings.py

What a setting does is said once, in the docstring of its class. tests/docs/test_settings.py holds
that the page is up to date.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

from emformer.config import ModelConfig, SpecAugmentConfig, TrainingConfig
from emformer.data.corpus import Corpus
from omni_emformer.supernet.calibrated_settings import RecipeCalibration
from omni_emformer.supernet.chain_settings import ChainSettings
from omni_emformer.supernet.system import System
from omni_plugin import DistillationSettings, SparsitySettings
from omni_plugin.layer_selection import SELECTORS, LayerSelectionSettings
from omni_plugin.sampling import RAMPS, SAMPLERS

PAGE = Path(__file__).with_name("settings.md")

_SECTION = re.compile(r"^(?:Args|Attributes|Options):\n((?:(?: .*)?\n)+)", re.MULTILINE)
_REQUIRED = "must be given"

HEAD = """\
<!-- Made by `python3 docs/settings.py` from the docstrings of the classes; edit these. -->

# Settings

Three kinds of YAML files say what is done: a *system* (`conf/systems`, `--systems`) what is trained
and how, a *configuration* (`conf`, `--config`) the model and its training, which are the same for
all systems, and a *corpus* (`conf/corpus`, `--corpus`) the data. An unknown setting, one of another
type and one that cannot be are refused in one line. [Systems](systems.md) has the files that are
there and how to write another one, [How it works](method.md) the terms and formulas.

A single value is changed without a file: `./run.sh --set "training.base_lr=0.002
sparsity.sampler.random=2"`, which every system takes whose file has that section; `--set` of
`python3 -m emformer.train` and `python3 -m omni_emformer.train` is the same for one training. What
was trained keeps its settings, and a run that goes on must be given the same ones.

Shares of the run are shares of its updates, 0 to 1.
"""


def documented(cls: type) -> dict[tuple[str, ...], str]:
    """What the docstrings of a class and of those it is derived from say of each setting.

    Names that share a text are one key. What a class says goes before what those above it say.
    """
    found: dict[tuple[str, ...], str] = {}
    for one in reversed(cls.__mro__):
        section = _SECTION.search(inspect.cleandoc(one.__doc__ or "") + "\n")
        if section is None:
            continue
        lines = section[1].rstrip().splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        for line in lines:
            if len(line) - len(line.lstrip()) == indent:
                names, _, text = line.strip().partition(": ")
                found[tuple(names.split(", "))] = text
            else:
                found[next(reversed(found))] += f" {line.strip()}"
    return found


def value(given: Any) -> str:
    """A value as YAML has it."""
    if given is None:
        return "null"
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, float):
        return f"{given:.4g}"
    if isinstance(given, (list, tuple)):
        return f"[{', '.join(map(value, given))}]"
    if isinstance(given, Mapping):
        return f"{{{', '.join(f'{name}: {value(one)}' for name, one in given.items())}}}"
    return str(given) if given != "" else "''"


def default(one: Field) -> str:
    """The default of a field, for a table."""
    given = one.default if one.default_factory is MISSING else one.default_factory()
    if given is MISSING:
        return _REQUIRED
    return "its own defaults" if is_dataclass(given) else f"`{value(given)}`"


def prose(text: str) -> str:
    """Text of a docstring as Markdown in a cell of a table."""
    text = re.sub(r":(?:class|func|mod|meth|attr|data):`~?([^`]+)`", r"`\1`", text)
    text = text.replace("``", "`").replace("|", "\\|").replace("<", "&lt;")
    text = re.sub(r"\bNone\b", "`null`", text)
    return text[:1].upper() + text[1:]


def table(cls: type, defaults: Mapping[str, str]) -> str:
    """A row for each setting that has a default, or none, in order.

    Raises:
      ValueError: The docstrings say nothing of one.
    """
    rows, texts = [], documented(cls)
    for names, text in texts.items():
        own = [name for name in names if name in defaults]
        if own:
            joined = "<br>".join(f"`{name}`" for name in own)
            rows.append((joined, "<br>".join(defaults[name] for name in own), prose(text)))
    missing = set(defaults) - {name for names in texts for name in names}
    if missing:
        raise ValueError(f"the docstring of {cls.__name__} says nothing of {min(missing)}")
    lines = ["| setting | default | what it does |", "| :--- | :--- | :--- |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def of_fields(cls: type, without: Iterable[str] = ()) -> str:
    """The table of a dataclass."""
    return table(cls, {f.name: default(f) for f in fields(cls) if f.name not in without})


def of_options(kinds: Mapping[str, type], where: str) -> str:
    """What is registered under names, each with a table of its options."""
    parts = []
    for name, cls in kinds.items():
        first = inspect.getdoc(cls).split("\n\n")[0].replace("\n", " ")
        rows = {option: f"`{value(given)}`" for option, given in cls.defaults.items()}
        parts += [f"`{where}: {{name: {name}}}`: {prose(first)}", table(cls, rows)]
    return "\n\n".join(parts)


def of_ramps() -> str:
    """The ramps, which have the same options."""
    lines = [
        f"- `{name}`: {prose(inspect.getdoc(cls).splitlines()[0])}" for name, cls in RAMPS.items()
    ]
    return (
        "`name`, and `start` and `end`, the shares of the run between which the highest sparsity "
        "in play rises:\n\n" + "\n".join(lines)
    )


def page() -> str:
    """The whole page."""
    sections = {
        "## A system's file": "Its sections; those that name a kind of system exclude one another. "
        "`like: other.yaml`, a file beside it, takes all from there but what the file says itself."
        "\n\n" + of_fields(System, without=("name", "level")),
        "## sparsity": "Of `sparsity`, `one_shot` and `match_sparsity`.\n\n"
        + of_fields(SparsitySettings),
        "### sparsity.sampler": of_options(SAMPLERS, "sampler"),
        "### sparsity.ramp": of_ramps(),
        "### sparsity.distillation": of_fields(DistillationSettings),
        "## layers": of_fields(LayerSelectionSettings),
        "### layers.selector": of_options(SELECTORS, "selector"),
        "## calibrated": of_fields(RecipeCalibration),
        "## chain": of_fields(ChainSettings),
        "## A configuration's file": "Sections `model` and `training`.",
        "### model": of_fields(ModelConfig),
        "### training": of_fields(TrainingConfig),
        "### training.spec_augment": of_fields(SpecAugmentConfig),
        "## A corpus's file": of_fields(Corpus, without=("name",)),
    }
    return "\n\n".join([HEAD.rstrip(), *(f"{k}\n\n{v}" for k, v in sections.items())]) + "\n"


def main() -> None:
    part = PAGE.with_suffix(".part")
    part.write_text(page())
    os.replace(part, PAGE)
    print(PAGE)


if __name__ == "__main__":
    main()
