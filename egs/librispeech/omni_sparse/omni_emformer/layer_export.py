# SPDX-License-Identifier: Apache-2.0
"""Writes a sub-network of a layer selection as an experiment of its own: a plain small transducer.

Usage:
  python3 -m omni_emformer.layer_export --exp-dir exp/synthetic/simple_top_k --size units-4 \\
    --out exp/synthetic/units-4
  python3 -m emformer.streaming_decode --exp-dir exp/synthetic/units-4

--epoch, --avg and the other options of emformer.decode that say which weights may follow. Writes
<out>/epoch-1.pt, with the weights as they would be decoded, config.yaml and environment.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from emformer import decode_options
from emformer.averaging import RunningAverage
from emformer.checkpoint import save_checkpoint
from emformer.decode_model import DecodingInfo
from emformer.errors import RecipeError, run_main
from emformer.experiment import describe_experiment
from emformer.model import Transducer
from omni_emformer.layer_subnets import LayerSubnets


def export(model: Transducer, info: DecodingInfo, out: Path) -> Path:
    """Write a model as the checkpoint of an experiment's only epoch; returns its path.

    Raises:
      RecipeError: There is one already.
    """
    path = out / "epoch-1.pt"
    if path.exists():
        raise RecipeError(f"{path} exists already; choose another --out")
    describe_experiment(out, info.config)
    average = RunningAverage(model)
    average.update(model)
    names = ("corpus", "seed", "train_updates", "train_passes", "train_cost", "train_seconds")
    content = {
        "model": model.state_dict(),
        "model_avg": average.state_dict(),
        "method": {},
        "config": info.config.to_dict(),
        "tokens": list(info.tokens),
        "vocab_size": model.vocab_size,
        **{name: getattr(info, name) for name in names},
    }
    save_checkpoint(path, content)
    return path


def main(argv: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python3 -m omni_emformer.layer_export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--size", required=True, help="name of the sub-network, such as units-4")
    parser.add_argument("--out", type=Path, required=True, help="folder of the new experiment")
    args, rest = parser.parse_known_args(argv)
    options = decode_options.get_parser(None).parse_args(rest)
    model, info = LayerSubnets(options).make(args.size)
    path = export(model, info, args.out)
    print(f"{path}: {info.num_params:,} parameters, {info.num_nonzero:,} of them not zero")


if __name__ == "__main__":
    sys.exit(run_main(main))
