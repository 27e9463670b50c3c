# SPDX-License-Identifier: Apache-2.0
"""A sub-network in all formats, and where an experiment's exported ones lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emformer.decoding.model import DecodingInfo
from emformer.errors import RecipeError
from emformer.model import Transducer
from emformer.scoring.results import DENSE
from omni_emformer.cards.card import Origin, write_card
from omni_emformer.export.info import INFO, read_info, write_info
from omni_emformer.export.onnx_export import write_onnx
from omni_emformer.export.torchscript import write_torchscript
from omni_emformer.runtime.model import pack_transducers
from omni_emformer.supernet.layer_subnets import subnet_name
from omni_emformer.supernet.plain_checkpoint import write_checkpoint
from omni_plugin.export import new_folder
from omni_plugin.runtime import VALUE_TYPES

FOLDER = "export"
#: Name of a folder's model card.
CARD = "README.md"
_EXPORTED = (".pt", ".onnx", ".packed", ".txt")  # beside them lies what decoding writes


def _write_packed(model: Transducer, info: DecodingInfo, folder: Path) -> None:
    for values in VALUE_TYPES:
        pack_transducers(folder / f"{values}.packed", [lambda: (model, info)], values)


# Packing comes last: it takes what only training uses out of the model.
FORMATS = {
    "checkpoint": write_checkpoint,
    "torchscript": write_torchscript,
    "onnx": write_onnx,
    "packed": _write_packed,
}


def folder_of(exp_dir: Path, subnet: str | float) -> Path:
    """Where a sub-network is exported to, by its name or sparsity."""
    if isinstance(subnet, float):
        subnet = subnet_name(DENSE, subnet)
    return exp_dir / FOLDER / subnet.replace("/", "-")


def export(
    model: Transducer,
    info: DecodingInfo,
    folder: Path,
    formats: Sequence[str] = tuple(FORMATS),
    origin: Origin | None = None,
) -> bool:
    """Write a sub-network; False if the folder holds it already.

    A card that was deleted is written anew, with the results that there are by then.

    Args:
      model: With plain weights of its own, in eval mode on the CPU.
      info: Of the model.
      folder: To be made.
      formats: Which of :data:`FORMATS`.
      origin: Where it comes from, for its model card; without it, there is none.

    Raises:
      RecipeError: The folder holds something else.
    """
    if folder.exists():
        if read_info(folder).weights == info.weights:
            _write_card(info, folder, folder, origin)
            return False
        raise RecipeError(f"{folder} holds other weights; delete it or choose another --out")
    with new_folder(folder) as part:
        write_info(part, info)
        for name, write in FORMATS.items():
            if name in formats:
                write(model, info, part)
        _write_card(info, part, folder, origin)
    return True


def _write_card(info: DecodingInfo, part: Path, folder: Path, origin: Origin | None) -> None:
    """The card of a folder, whose files are still in ``part``."""
    if origin is None:
        return
    files = [path for path in part.iterdir() if path.suffix in _EXPORTED]
    write_card(part / CARD, f"{origin.system} {folder.name}", [info], files, origin)


def exported_subnets(exp_dir: Path, names: Sequence[str | float] | None) -> list[Path]:
    """Folders of exported sub-networks: those named, or all, the largest first.

    Raises:
      RecipeError: There is none.
    """
    if names:
        return [folder_of(exp_dir, name) for name in names]
    found = [path.parent for path in (exp_dir / FOLDER).glob(f"[!.]*/{INFO}")]
    if not found:
        raise RecipeError(f"{exp_dir / FOLDER} has no sub-network; export first (stage 13)")
    return sorted(found, key=lambda folder: (-read_info(folder).num_nonzero, folder.name))
