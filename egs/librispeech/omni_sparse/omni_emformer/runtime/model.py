# SPDX-License-Identifier: Apache-2.0
"""Transducers as packed files: written from a trained model's sub-networks, loaded for decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from emformer.config import Config
from emformer.decoding.model import DecodingInfo
from emformer.errors import RecipeError
from emformer.model import Transducer, make_model
from omni_emformer.runtime.description import check_description, describe
from omni_emformer.runtime.encoder import PackedEmformer
from omni_plugin import OmniError
from omni_plugin.options import said_of
from omni_plugin.runtime import PackedFile, use_packed, write_packed

_TRAINING_ONLY = ("simple_am_proj", "simple_lm_proj")
_OF_ALL = ("config", "tokens")  # what the sub-networks of a file share


def pack_transducers(
    path: Path,
    makers: Sequence[Callable[[], tuple[Transducer, DecodingInfo]]],
    values: str = "float32",
    own_values: bool = False,
) -> None:
    """Write sub-networks of a model to one file, where each is called by its ``info.subnet``.

    Args:
      path: Of the file, which must not exist.
      makers: Give the sub-networks, with plain weights of their own; one is in memory at a time.
      values: ``float32`` or ``int8``.
      own_values: Whether they may be of several trainings, each with values of its own where it
        differs from those before it; architecture and symbols are the same.

    Raises:
      RecipeError: They do not go into one file, or there is one at ``path``.
    """
    meta: dict[str, Any] = {"infos": {}}

    def states() -> Iterator[tuple[str, dict[str, Tensor]]]:
        for make in makers:
            model, info = make()
            config, tokens = info.config.to_dict(), list(info.tokens)
            about = {name: value for name, value in asdict(info).items() if name not in _OF_ALL}
            first = meta.setdefault("config", config)
            if own_values and config != first and config["model"] == first["model"]:
                about["config"] = config  # of a training of its own
                config = first
            if config != first:
                raise OmniError(f"{info.subnet} is of another architecture than those before it")
            if meta.setdefault("tokens", tokens) != tokens:
                raise OmniError(f"{info.subnet} has another vocabulary than those before it")
            meta["transducer"] = describe(model, info.tokens)
            # What is decoded is not bit by bit what the checkpoint gives.
            about["tail"] += f"_packed-{values}"
            about["weights"] += f"-packed-{values}"
            meta["infos"][info.subnet] = about
            yield info.subnet, _deployed(model).state_dict()

    try:
        # meta is complete once all sub-networks were given.
        write_packed(path, _deployed(makers[0]()[0]), states(), values, meta, own_values)
    except (OmniError, OSError) as e:
        raise RecipeError(str(e)) from e


def packed_subnets(path: Path) -> list[str]:
    """Names of a packed file's sub-networks, the one with the most parameters in use first.

    Raises:
      RecipeError: The file is damaged or no such file, or of no transducer.
    """
    try:
        file = PackedFile(path)
        used = {name: file.meta["infos"][name]["num_nonzero"] for name in file.subnets}
        return sorted(file.subnets, key=lambda name: -used[name])
    except OmniError as e:
        raise RecipeError(str(e)) from e
    except (KeyError, TypeError) as e:
        raise _of_no_transducer(path) from e


def packed_infos(path: Path) -> list[DecodingInfo]:
    """What a packed file tells of its sub-networks, in the order of :func:`packed_subnets`.

    Raises:
      RecipeError: The file is damaged or no such file, or of no transducer.
    """
    return [packed_info(path, name) for name in packed_subnets(path)]


def packed_info(path: Path, subnet: str) -> DecodingInfo:
    """What a packed file tells of a sub-network.

    Raises:
      RecipeError: As :func:`load_packed`.
    """
    try:
        file = PackedFile(path)
        file.bytes_of(subnet)
        return _info(file, subnet, path)
    except OmniError as e:
        raise RecipeError(str(e)) from e
    except (AttributeError, KeyError, TypeError) as e:
        raise _of_no_transducer(path) from e


def _info(file: PackedFile, subnet: str, path: Path) -> DecodingInfo:
    about = {"config": file.meta["config"], **file.meta["infos"][subnet]}
    about["config"] = Config.from_dict(about["config"], str(path))
    return DecodingInfo(tokens=file.meta["tokens"], **about)


def load_packed(path: Path, subnet: str) -> tuple[Transducer, DecodingInfo]:
    """A sub-network of a packed file, ready for streaming decoding on the CPU.

    Its encoder's states are those of :class:`PackedEmformer`. ``use_packed`` makes it another
    sub-network of the file; a search that goes on is told by its ``model_changed``.

    Raises:
      RecipeError: The file is damaged or no such file, or has no such sub-network.
    """
    try:
        file = PackedFile(path)
        with said_of(str(path)):
            check_description(file.meta.get("transducer"))
        tokens, config = file.meta["tokens"], Config.from_dict(file.meta["config"], str(path))
        model = _deployed(make_model(config.model, len(tokens))).eval()
        use_packed(model, file, subnet)
        info = _info(file, subnet, path)
    except OmniError as e:
        raise RecipeError(str(e)) from e
    except (AttributeError, KeyError, TypeError) as e:
        raise _of_no_transducer(path) from e
    model.encoder.emformer = PackedEmformer(model.encoder.emformer)
    return model, info


def _of_no_transducer(path: Path) -> RecipeError:
    return RecipeError(f"{path}: a packed file, but of no transducer of this version")


def _deployed(model: Transducer) -> Transducer:
    """The model, in place, without what only training uses."""
    for name in _TRAINING_ONLY:
        setattr(model, name, nn.Identity())
    return model
