# SPDX-License-Identifier: Apache-2.0
"""Values of a configuration, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from omni_plugin.errors import OmniError

T = TypeVar("T")


def named(kinds: Mapping[str, T], what: str, name: str) -> T:
    """What is registered under a name.

    Raises:
      OmniError: Nothing is; ``what`` says what it would be.
    """
    if name not in kinds:
        raise OmniError(f"{what} {name!r} is unknown; known: {', '.join(kinds)}")
    return kinds[name]


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
            needs = "a name and options" if "Mapping" in kinds[name] else f"of type {kinds[name]}"
            raise OmniError(f"{where}.{name}: {value!r} is not {needs}")
        values[name] = tuple(value) if kinds[name].startswith("tuple") else value
    return values


def _fits(value: Any, kind: str) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind.startswith("tuple"):
        inner = kind[len("tuple[") :].split(",")[0]
        return isinstance(value, (list, tuple)) and all(_fits(item, inner) for item in value)
    if kind.startswith("Mapping"):
        return isinstance(value, Mapping) and "name" in value
    if kind.endswith("None"):
        return value is None or isinstance(value, Mapping)
    if kind == "float":
        return number
    if kind == "int":
        return number and isinstance(value, int)
    return isinstance(value, {"str": str, "bool": bool}[kind])
