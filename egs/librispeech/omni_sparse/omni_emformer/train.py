# SPDX-License-Identifier: Apache-2.0
"""Stage 9: train a supernet, one model for every sparsity.

Usage:
  python3 -m omni_emformer.train --config conf/demo.yaml --system conf/systems/omni.yaml \\
    --exp-dir exp/synthetic/omni

The same command goes on where an interrupted run was.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from emformer.distributed import start_processes
from emformer.errors import run_main
from emformer.experiment import setup_logging
from emformer.train import get_parser, make_trainer
from omni_emformer.method import OmniMethod
from omni_emformer.system import load_system


def main() -> None:
    parser = get_parser(__doc__)
    parser.set_defaults(exp_dir=Path("exp/synthetic/omni"))
    parser.add_argument("--system", type=Path, default=Path("conf/systems/omni.yaml"))
    args = parser.parse_args()
    processes = start_processes()
    setup_logging(args.exp_dir / "log", "train", processes.rank)
    system = load_system(args.system)
    method = functools.partial(
        OmniMethod, sparsity=system.sparsity, seed=args.seed, rank=processes.rank
    )
    make_trainer(args, processes, method).fit()
    processes.stop()


if __name__ == "__main__":
    sys.exit(run_main(main))
