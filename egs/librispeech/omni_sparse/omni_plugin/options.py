# SPDX-License-Identifier: Apache-2.0
"""Values of a configuration, checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any, TypeVar

from omni_plugin.errors import OmniError

T = TypeVar("T")

#: What is validated and decoded where nothing is said, as far as a run's sparsities go.
VALID_LEVELS = (0.0, 0.5, 0.7, 0.8, 0.9)


def named(kinds: Mapping[str, T], what: str, name: str) -> T:
    """What is registered under a name.

    Raises:
      OmniError: Nothing is; ``what`` says what it would be.
    """
    if not isinstance(name, str) or name not in kinds:
        raise OmniError(f"{what} {name!r} is unknown; known: {', '.join(kinds)}")
    return kinds[name]


@contextmanager
def said_of(where: str) -> Iterator[None]:
    """Errors within it say first where the fault stands."""
    try:
        yield
    except OmniError as e:
        raise OmniError(f"{where}: {e}") from None


@contextmanager
def called(own: str, where: str) -> Iterator[None]:
    """Errors within it have ``where`` in place of the name that settings give themselves."""
    try:
        yield
    except OmniError as e:
        text = str(e)
        begin = text.startswith((f"{own}.", f"{own}:"))
        raise OmniError(where + text[len(own) :] if begin else text) from None


def check_rules(rules: Iterable[str], where: str) -> None:
    """Raises OmniError where a rule is no regular expression."""
    for rule in rules:
        try:
            re.compile(rule)
        except re.error as e:
            raise OmniError(f"{where}: {rule!r} is not a regular expression: {e}") from None


def with_defaults(
    owner: str, defaults: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The defaults, and over them what is given.

    Raises:
      OmniError: An option is unknown or of another type than its default; ``owner`` has it.
    """
    for name, value in given.items():
        if name not in defaults:
            known = ", ".join(defaults) or "none"
            raise OmniError(f"{owner} has no option {name!r}; known: {known}")
        kind = type(defaults[name])
        if type(value) not in ((int, float) if kind is float else (kind,)):
            raise OmniError(
                f"{owner}: option {name} is {value!r}; it must be of type {kind.__name__}"
            )
    return {**defaults, **given}


def checked(cls: type, data: Any, where: str) -> dict[str, Any]:
    """Arguments of a dataclass from plain types, as a YAML file gives them; tuples for lists.

    Raises:
      OmniError: An unknown key or a value of another type; ``where`` says where it stands.
    """
    if not isinstance(data, Mapping):
        raise OmniError(f"{where}: expected settings (key: value), found {data!r}")
    kinds = {f.name: str(f.type) for f in fields(cls)}
    values = {}
    for name, value in data.items():
        if name not in kinds:
            raise OmniError(f"{where}: unknown {name!r}; known: {', '.join(kinds)}")
        if not _fits(value, kinds[name]):
            raise OmniError(f"{where}.{name}: {value!r} is not {_needs(name, value, kinds[name])}")
        values[name] = tuple(value) if isinstance(value, list) else value
    return values


def _needs(name: str, value: Any, kind: str) -> str:
    if "Mapping" in kind:
        like = value if isinstance(value, str) else "..."
        return f"a name and options; write {name}: {{name: {like}}}"
    if kind.startswith("tuple") and not isinstance(value, (list, tuple)):
        return f"of type {kind}; write [{value!r}]"
    return f"of type {kind}"


def check_fields(settings: Any, where: str) -> None:
    """For ``__post_init__`` of a frozen dataclass: :func:`checked`, and tuples in place of lists.

    Raises:
      OmniError: A value is of another type; ``where`` says whose.
    """
    given = {f.name: getattr(settings, f.name) for f in fields(settings)}
    for name, value in checked(type(settings), given, where).items():
        object.__setattr__(settings, name, value)


def sizes(levels: Iterable[float] | None, most: float) -> list[float]:
    """Sparsities that are validated and decoded: ascending, with the extremes.

    Args:
      levels: As settings say; None for those of :data:`VALID_LEVELS` that do not exceed ``most``.
      most: The highest sparsity.

    >>> sizes(None, 0.7), sizes((0.25,), 0.7)
    ([0.0, 0.5, 0.7], [0.0, 0.25, 0.7])
    """
    if levels is None:
        levels = [level for level in VALID_LEVELS if level <= most]
    return sorted({0.0, *levels, most})


def plain(settings: Any) -> dict[str, Any]:
    """A dataclass as a configuration file holds it: plain types, with lists for tuples."""
    return _plain(asdict(settings))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (tuple, list)) else value


def _fits(value: Any, kind: str) -> bool:
    if kind.endswith(" | None"):
        return value is None or _fits(value, kind.removesuffix(" | None"))
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind.startswith("tuple"):
        inner = kind[len("tuple[") :].split(",")[0]
        return isinstance(value, (list, tuple)) and all(_fits(item, inner) for item in value)
    if kind.startswith("Mapping"):
        return isinstance(value, Mapping) and "name" in value
    if kind not in ("float", "int", "str", "bool"):  # settings within settings
        return isinstance(value, Mapping) or type(value).__name__ == kind
    if kind == "float":
        return number
    if kind == "int":
        return number and isinstance(value, int)
    return isinstance(value, {"str": str, "bool": bool}[kind])
