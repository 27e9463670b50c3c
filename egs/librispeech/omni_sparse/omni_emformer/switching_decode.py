# SPDX-License-Identifier: Apache-2.0
"""Decode chunk by chunk with a supernet that changes its level while it runs.

The levels follow one another in turn, from utterance to utterance or from chunk to chunk. Encoder
states are kept through a change: they are keys and values of the past, which any level can attend
to. DSNN (Wu et al., ICASSP 2021) trains for this; any supernet can do it.

Usage:
  python3 -m omni_emformer.switching_decode --exp-dir exp/synthetic/dsnn --subnets 0.9 0.5 0
  python3 -m omni_emformer.switching_decode --exp-dir exp/synthetic/dsnn --subnets 0.9 0.5 0 \\
    --every chunk

Other options are those of emformer.streaming_decode. Utterances that are decoded at once
(--num-decode-streams) change together, so it is 1 where each utterance has a level of its own.
Writes what decoding writes to <exp-dir>/switching, with a line in its results.jsonl, whose sizes
and sparsities are means over the levels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle

from torch import Tensor, nn

from emformer import streaming_decode
from emformer.decoding.model import DecodingInfo
from emformer.decoding.run import DecodingRun, open_experiment
from emformer.encoder import States
from emformer.errors import RecipeError, run_main
from emformer.options import fraction
from emformer.scoring.results import CHUNK_WISE
from omni_emformer.supernet.subnets import Subnets
from omni_plugin import SuperNet

UTTERANCE, CHUNK = "utterance", "chunk"


class Switching(nn.Module):
    """A transducer whose encoder changes its level in turn; all else is the model's.

    Args:
      supernet: Of a transducer.
      levels: One after the other.
      every: ``utterance`` or ``chunk``.
    """

    def __init__(self, supernet: SuperNet, levels: Sequence[float], every: str) -> None:
        super().__init__()
        self.supernet, self.every = supernet, every
        self._levels = cycle([supernet.subnet(level) for level in levels])

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.supernet.model, name)

    def encode_chunk(self, x: Tensor, states: States | None) -> tuple[Tensor, States]:
        """As :meth:`Transducer.encode_chunk`, at the level whose turn it is."""
        if states is None or self.every == CHUNK:
            self.supernet.set_active_subnet(next(self._levels))
        with self.supernet.masked() as model:
            return model.encode_chunk(x, states)


def load(args: argparse.Namespace) -> tuple[nn.Module, DecodingInfo]:
    """The switching model that the options name.

    Raises:
      RecipeError: The checkpoint holds no supernet, or has no such level.
    """
    subnets = Subnets(args)
    if subnets.supernet is None:
        raise RecipeError(f"{subnets.info.checkpoint} holds no supernet; there is one level only")
    infos = [subnets.make(level)[1] for level in args.subnets]
    model = Switching(subnets.supernet, args.subnets, args.every).eval()
    name = "-".join(f"{level:.2f}" for level in args.subnets)
    number = len(infos)
    info = replace(
        subnets.info,
        subnet=f"{name} by {args.every}",
        tail=f"{subnets.info.tail}_switching-{name}-by-{args.every}",
        num_nonzero=round(sum(i.num_nonzero for i in infos) / number),
        sparsity=sum(i.sparsity for i in infos) / number,
        levels=[sum(x) / number for x in zip(*(i.levels for i in infos), strict=True)],
    )
    return model, info


def get_parser() -> argparse.ArgumentParser:
    parser = streaming_decode.get_parser(__doc__)
    group = parser.add_argument_group("switching")
    group.add_argument(
        "--subnets",
        type=fraction,
        nargs="+",
        required=True,
        metavar="SPARSITY",
        help="switched between, in this order and again from the first",
    )
    group.add_argument(
        "--every",
        choices=[UTTERANCE, CHUNK],
        default=UTTERANCE,
        help=f"when it is switched (default {UTTERANCE})",
    )
    parser.add_old_spelling("--levels", "--subnets")
    parser.set_defaults(num_decode_streams=None)
    return parser


def main(argv: list[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    if args.num_decode_streams is None:
        args.num_decode_streams = 1 if args.every == UTTERANCE else 100
    open_experiment(args.exp_dir, "switching-decode")
    model, info = load(args)
    args.exp_dir = args.exp_dir / "switching"
    run = DecodingRun(args, CHUNK_WISE, lambda _: (model, info))
    for split in run.splits:
        streaming_decode.decode_split(run, split)


if __name__ == "__main__":
    sys.exit(run_main(main))
