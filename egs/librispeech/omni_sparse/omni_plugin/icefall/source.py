# SPDX-License-Identifier: Apache-2.0
"""Which of a recipe's checkpoints a sub-network is made of, and their average."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from omni_plugin.errors import OmniError


@dataclass(frozen=True)
class Source:
    """Checkpoints of a recipe, chosen as its decode.py chooses them.

    Args:
      exp_dir: Where they are.
      epoch, iter: Up to which; ``iter`` counts if it is not 0.
      avg: How many are averaged.
      use_averaged_model: Whether by the running mean over the batches that they carry.
    """

    exp_dir: Path
    epoch: int = 30
    iter: int = 0
    avg: int = 1
    use_averaged_model: bool = True

    @property
    def name(self) -> str:
        last = f"iter-{self.iter}" if self.iter else f"epoch-{self.epoch}"
        return f"{last}-avg-{self.avg}" + ("-use-averaged-model" * self.use_averaged_model)

    def files(self) -> list[Path]:
        """The checkpoints, oldest first; the first only starts the running mean, if there is one.

        Raises:
          OmniError: One is missing.
        """
        number = self.avg + self.use_averaged_model
        if self.iter:
            from icefall.checkpoint import find_checkpoints

            found = find_checkpoints(self.exp_dir, iteration=-self.iter)[:number][::-1]
            files = [Path(name) for name in found]
        else:
            first = self.epoch - number + 1
            # As decode.py does: fewer where the run is shorter than what is averaged.
            first = first if self.use_averaged_model else max(1, first)
            files = [self.exp_dir / f"epoch-{n}.pt" for n in range(first, self.epoch + 1)]
            files = [files[0], files[-1]] if self.use_averaged_model else files
        missing = [path for path in files if not path.is_file()]
        if missing or (self.iter and len(files) < number):
            raise OmniError(
                f"{missing[0] if missing else self.exp_dir}: not enough checkpoints for "
                f"{self.name}; choose other --epoch, --iter, --avg or --use-averaged-model"
            )
        return [files[0], files[-1]] if self.use_averaged_model else files


def load(path: Path) -> dict[str, Any]:
    """A recipe's checkpoint, with all that the recipe stored beside the weights.

    Raises:
      OmniError: It is of no supernet.
    """
    checkpoint = load_any(path)
    if "omni" not in checkpoint:
        raise OmniError(f"{path}: not a supernet's checkpoint; train by `train` of omni_plugin")
    return checkpoint


def load_any(path: Path) -> dict[str, Any]:
    """A checkpoint on the CPU, objects that are no tensors included, as icefall loads its own."""
    return torch.load(path, map_location="cpu", weights_only=False)


def averaged(source: Source, last: Mapping[str, Any]) -> dict[str, Tensor]:
    """Dense weights, averaged by icefall's own functions, in the dtypes of the model."""
    files = source.files()
    if len(files) == 1:
        return last["model"]
    from icefall.checkpoint import average_checkpoints, average_checkpoints_with_averaged_model

    if source.use_averaged_model:
        mean = average_checkpoints_with_averaged_model(str(files[0]), str(files[-1]))
    else:
        mean = average_checkpoints(files)
    return {name: value.to(last["model"][name].dtype) for name, value in mean.items()}
