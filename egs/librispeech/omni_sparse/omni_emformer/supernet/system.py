# SPDX-License-Identifier: Apache-2.0
"""A system: what is trained, as a YAML file of conf/systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from emformer.config import Config
from emformer.errors import RecipeError
from emformer.overrides import Override, check_names, merge, named_with, setting_names
from emformer.yaml_file import read_yaml
from omni_emformer.supernet.calibrated_settings import RecipeCalibration
from omni_emformer.supernet.chain_settings import ChainSettings
from omni_emformer.supernet.small_dense import narrower, shallower
from omni_plugin import OmniError, SparsitySettings
from omni_plugin.layer_selection import LayerSelectionSettings

_OF_SPARSITY = ("sparsity", "one_shot", "match_sparsity")
_SETTINGS = {
    **dict.fromkeys(_OF_SPARSITY, SparsitySettings),
    "calibrated": RecipeCalibration,
    "chain": ChainSettings,
    "layers": LayerSelectionSettings,
}


@dataclass(frozen=True)
class System:
    """A way to train a model of any configuration.

    Args:
      name: Of the file.
      sparsity: Settings of its supernet; None for none.
      layers: Settings of its layer selection, with ``sparsity`` or alone; None for none.
      one_shot: How it prunes the dense model; such a system has no training of its own.
      calibrated: The same in closed form, by the dense model's outputs on some training speech.
      chain: How each level's training goes on from the one before, with ``sparsity``.
      match_sparsity: Its model is dense and narrower, with as many parameters as this sparsity
        leaves at a level; see :func:`omni_emformer.supernet.small_dense.narrower`.
      match_depth: Its model is dense and has fewer layers: a level is the share left out.
      model: Settings of the model in place of the configuration's.
      levels: Each takes a training of its own.
      level: The one that this is.
    """

    name: str
    sparsity: SparsitySettings | None = None
    layers: LayerSelectionSettings | None = None
    one_shot: SparsitySettings | None = None
    calibrated: RecipeCalibration | None = None
    chain: ChainSettings | None = None
    match_sparsity: SparsitySettings | None = None
    match_depth: bool = False
    model: Mapping[str, Any] = field(default_factory=dict)
    levels: tuple[float, ...] = ()
    level: float | None = None

    @property
    def is_trained(self) -> bool:
        """Whether it has a training of its own."""
        return self.one_shot is None and self.calibrated is None

    def at(self, level: float | None) -> System:
        """The system of one training.

        Raises:
          RecipeError: It has no such level, or needs one.
        """
        if level is None and not self.levels:
            return self
        if level not in self.levels:
            known = ", ".join(map(str, self.levels)) or "none"
            raise RecipeError(f"--level {level}: the levels of system {self.name} are {known}")
        sparsity, chain = self.sparsity, self.chain
        if chain is not None and chain.around:
            sparsity = None  # what grows is a matter of its two networks
        elif sparsity is not None:
            sparsity = replace(sparsity, max_sparsity=level, valid_levels=(level,))
        if chain is not None:
            chain = replace(chain, shares=(chain.shares[self.levels.index(level)],))
        return replace(self, sparsity=sparsity, chain=chain, levels=(), level=level)

    def configure(self, config: Config, vocab_size: int) -> Config:
        """The configuration with this system's model, and a chain's training.

        Raises:
          RecipeError: There is no such setting, or the model cannot be so small.
        """
        if self.chain is not None:
            config = self.chain.configure(config, f"system {self.name}: chain")
        data = {**asdict(config), "model": {**asdict(config.model), **self.model}}
        model = Config.from_dict(data, f"system {self.name}").model
        if self.match_depth:
            model = shallower(model, self.level)
        if self.match_sparsity is not None:
            model = narrower(model, vocab_size, self.match_sparsity, self.level)
        return replace(config, model=model)

    def to_dict(self) -> dict[str, Any]:
        """What is trained, as plain types: settings of a supernet with their defaults."""
        found = {"name": self.name, "level": self.level, "model": dict(self.model)}
        found["match_depth"] = self.match_depth
        for name in ("sparsity", "layers", "chain"):
            settings = getattr(self, name)
            found[name] = settings and settings.to_dict()
        if self.match_sparsity is not None:
            matched = self.match_sparsity.to_dict()
            found["match_sparsity"] = {k: matched[k] for k in ("pattern", "include", "exclude")}
        return {name: value for name, value in found.items() if value}


def system_settings() -> list[str]:
    """Names of all settings that a section of a system can have, such as ``chain.epochs``."""
    return [n for section, kind in _SETTINGS.items() for n in setting_names(kind, f"{section}.")]


def sections_of(path: str | Path) -> set[str]:
    """Sections of a system's file, or of the file that it is like.

    Raises:
      RecipeError: It is missing, is no YAML, or has a section that no system has.
    """
    return set(_sections(Path(path)))


def load_system(path: str | Path, overrides: Sequence[Override] = ()) -> System:
    """Read a YAML file whose sections are fields of :class:`System`.

    A file may begin with ``like: other.yaml``, a file beside it: it then says all that one says,
    but for what it says itself, setting by setting. ``overrides`` stand over both; a section is
    what makes a system, so they need one that is there.

    Raises:
      RecipeError: The file is missing, is no YAML, or has an unknown or impossible setting.
    """
    path = Path(path)
    given = _sections(path)
    for one in overrides:
        if one.section not in given:
            raise RecipeError(f"{one}: {path} has no section {one.section}")
    check_names(overrides, system_settings(), str(path))
    given = merge(given, overrides, str(path))
    where = named_with(str(path), overrides)
    if not isinstance(given.get("model", {}), dict):
        raise RecipeError(f"{where}: model: expected settings, found {given['model']!r}")
    try:
        for name, kind in _SETTINGS.items():
            if name in given:
                given[name] = kind.from_dict(given[name], name)
    except OmniError as e:
        raise RecipeError(f"{where}: {e}") from e
    kinds = [name for name in (*_OF_SPARSITY, "calibrated", "match_depth") if given.get(name)]
    if "layers" in given and kinds != ["sparsity"]:
        kinds.append("layers")
    if len(kinds) > 1:
        raise RecipeError(f"{where}: {kinds[0]} and {kinds[1]} are two systems; make two files")
    grows = "chain" in given and bool(given["chain"].around)
    given["levels"] = _levels(where, given.get("levels"), grows, *kinds)
    if "chain" in given:
        _check_chain(where, kinds, given["levels"], given["chain"])
    return System(path.stem, **given)


def _sections(path: Path, may_be_like: bool = True) -> dict[str, Any]:
    """The file's sections, with those of the file it is like."""
    data = read_yaml(path, "system", "see conf/systems")
    known = [f.name for f in fields(System) if f.name not in ("name", "level")]
    if not data or set(data) - {*known, "like"}:
        raise RecipeError(f"{path}: a system has the sections {', '.join(known)}, and no other")
    if "like" not in data:
        return data
    if not may_be_like:
        raise RecipeError(f"{path}: a file that others are like cannot itself be like another")
    try:
        whole = _sections(path.parent / str(data.pop("like")), may_be_like=False)
    except RecipeError as e:
        raise RecipeError(f"{path}: like: {e}") from e
    for name, own in data.items():
        both = isinstance(own, dict) and isinstance(whole.get(name), dict)
        whole[name] = {**whole[name], **own} if both else own
    return whole


def _levels(where: str, levels: Any, grows: bool, kind: str = "") -> tuple[float, ...]:
    """Levels as a file says them, of a system of that kind; only what grows has a level of 0."""
    if levels is None:
        if kind.startswith("match"):
            raise RecipeError(f"{where}: {kind} needs levels")
        return ()
    if kind in ("", "one_shot", "calibrated", "layers"):
        raise RecipeError(f"{where}: levels need sparsity, match_sparsity or match_depth")
    numbers = isinstance(levels, list) and all(isinstance(x, float) for x in levels)
    if not (numbers and all(0 < x < 1 or (grows and x == 0) for x in levels)):
        raise RecipeError(f"{where}: levels is {levels!r}; give a list of numbers between 0 and 1")
    return tuple(levels)


def _check_chain(where: str, kinds: list[str], levels: tuple, chain: ChainSettings) -> None:
    """A chain prunes, ever more, or grows, and knows how long."""
    if kinds != ["sparsity"]:
        raise RecipeError(f"{where}: a chain needs the section sparsity, and no other kind")
    if not levels or sorted(set(levels), reverse=bool(chain.around)) != list(levels):
        way = "descend, as it grows" if chain.around else "ascend"
        raise RecipeError(f"{where}: levels is {list(levels)}; a chain's levels {way}")
    if chain.around and levels[0] >= chain.core:
        raise RecipeError(f"{where}: level {levels[0]} is not below chain.core, {chain.core}")
    if len(chain.shares) != len(levels):
        raise RecipeError(
            f"{where}: chain.shares has {len(chain.shares)} numbers for {len(levels)} levels"
        )
