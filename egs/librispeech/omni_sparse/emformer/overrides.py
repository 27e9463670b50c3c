# SPDX-License-Identifier: Apache-2.0
"""Single settings of a YAML file from the command line: ``--set training.base_lr=0.002``."""

from __future__ import annotations

import argparse
import copy
import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_args, get_type_hints

import yaml

from emformer.errors import RecipeError

_NAME = r"[A-Za-z_]\w*(?:\.\w+)*"
_BETWEEN = re.compile(rf"[\s,]+(?={_NAME}=)")
# YAML 1.1 takes 1e-3 for a word, since it has no point.
_EXPONENT = re.compile(r"[+-]?\d+[eE][+-]?\d+")


@dataclass(frozen=True)
class Override:
    """A setting in place of what a file says.

    Args:
      name: Sections and name, such as ``sparsity.sampler.parts``.
      value: As YAML gives it.
      text: As the command line had it.
    """

    name: str
    value: Any
    text: str

    @property
    def section(self) -> str:
        return self.name.partition(".")[0]

    def __str__(self) -> str:
        return f"--set {self.text}"


def parse_overrides(text: str) -> list[Override]:
    """One setting, or several with spaces or commas between them.

    A value may hold spaces and commas: the next setting begins where a name and an equals sign do.

    Raises:
      argparse.ArgumentTypeError: It is none, or a value is missing or no YAML.

    >>> [(one.name, one.value) for one in parse_overrides("a.b=[1, 2], c.d=1e-3 e.f=null")]
    [('a.b', [1, 2]), ('c.d', 0.001), ('e.f', None)]
    """
    return [_parse(part) for part in _BETWEEN.split(text.strip(" ,\n\t"))]


def _parse(text: str) -> Override:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not re.fullmatch(_NAME, name):
        raise argparse.ArgumentTypeError(
            f"'{text}' is no setting; write its sections, its name and its value, such as "
            "training.base_lr=0.002"
        )
    if "." not in name:
        raise argparse.ArgumentTypeError(
            f"'{text}' names no section; write it in front, such as training.base_lr=0.002"
        )
    if not value:
        raise argparse.ArgumentTypeError(f"'{text}' has no value; write null for none")
    if _EXPONENT.fullmatch(value):
        return Override(name, float(value), text)
    try:
        return Override(name, yaml.safe_load(value), text)
    except (yaml.YAMLError, ValueError, RecursionError) as e:  # ValueError: no such date
        problem = " ".join(str(getattr(e, "problem", None) or e).split())
        raise argparse.ArgumentTypeError(f"'{text}': the value is not YAML: {problem}") from e


class _Extend(argparse.Action):
    """Adds to what the option gave before."""

    def __call__(self, parser, namespace, values, option_string=None):
        found = [*getattr(namespace, self.dest), *values]
        try:
            check_once(found)
        except RecipeError as e:
            parser.error(str(e))
        setattr(namespace, self.dest, found)


def add_set_option(parser: argparse.ArgumentParser, text: str) -> None:
    """Adds ``--set``, as ``overrides``: a list of :class:`Override`, empty without it.

    Args:
      parser: Or a group of its options.
      text: Its help: of which files.
    """
    parser.add_argument(
        "--set",
        dest="overrides",
        type=parse_overrides,
        action=_Extend,
        default=[],
        metavar="NAME=VALUE",
        help=text,
    )


def check_once(overrides: Sequence[Override]) -> None:
    """A setting is given once, and not a part of another that is given.

    Raises:
      RecipeError: Names the two.
    """
    for number, later in enumerate(overrides):
        for earlier in overrides[:number]:
            short, long = sorted((earlier.name, later.name), key=len)
            if f"{long}.".startswith(f"{short}."):
                raise RecipeError(f"{earlier} and {later} are of one setting; give one of them")


def setting_names(cls: type, prefix: str = "") -> list[str]:
    """Names of the settings of a dataclass, and of dataclasses within it by ``section.name``.

    >>> from emformer.config import Config
    >>> "training.spec_augment.p" in setting_names(Config)
    True
    """
    hints, found = get_type_hints(cls), []
    for f in fields(cls):
        found.append(prefix + f.name)
        for kind in (hints[f.name], *get_args(hints[f.name])):
            if is_dataclass(kind):
                found += setting_names(kind, f"{prefix}{f.name}.")
    return found


def check_names(overrides: Iterable[Override], known: Sequence[str], where: str) -> None:
    """Settings must be known, or options within one that is.

    Args:
      overrides: Of one file.
      known: All names of settings that such a file can have.
      where: The file.

    Raises:
      RecipeError: Names the first that is not, and what it may have been.
    """
    for one in overrides:
        if not any(one.name == name or _holds(name, one.name, known) for name in known):
            raise RecipeError(f"{one}: {where} has no such setting{near(one.name, known)}")


def _holds(name: str, inner: str, known: Sequence[str]) -> bool:
    """Whether a known setting is what holds another, whose options no list tells."""
    return inner.startswith(f"{name}.") and not any(k.startswith(f"{name}.") for k in known)


def near(name: str, known: Sequence[str]) -> str:
    """The end of a message: known names that are like one, or nothing."""
    last = name.rpartition(".")[2]
    same = [k for k in known if "." in k and k.rpartition(".")[2] == last]
    alike = difflib.get_close_matches(name, known, n=3, cutoff=0.75)
    found = list(dict.fromkeys([*same, *alike]))[:3]
    return f"; did you mean {' or '.join(found)}?" if found else ""


def merge(data: dict[str, Any], overrides: Iterable[Override], where: str) -> dict[str, Any]:
    """What a file says, with other values; neither is changed.

    A mapping given as a value, as in ``sparsity.sampler={name: single}``, stands in place of the
    whole setting; a name within it, as in ``sparsity.sampler.parts=2``, leaves the rest as it was.

    Raises:
      RecipeError: What should hold a setting is a value itself.
    """
    data = copy.deepcopy(data)
    for one in overrides:
        *sections, last = one.name.split(".")
        inner = data
        for depth, section in enumerate(sections):
            if inner.get(section) is None:
                inner[section] = {}
            if not isinstance(inner[section], dict):
                outer = ".".join(sections[: depth + 1])
                raise RecipeError(f"{one}: {outer} of {where} is {inner[section]!r}, no section")
            inner = inner[section]
        inner[last] = copy.deepcopy(one.value)
    return data


def named_with(where: str, overrides: Iterable[Override]) -> str:
    """How messages call a file with other values in it."""
    return " ".join([where, *(["with"] if overrides else []), *map(str, overrides)])
