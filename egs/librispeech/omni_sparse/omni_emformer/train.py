# SPDX-License-Identifier: Apache-2.0
"""Stage 9: train a system, such as a supernet, which is one model for every sparsity.

Usage:
  python3 -m omni_emformer.train --config conf/demo.yaml --system conf/systems/omni.yaml \\
    --exp-dir exp/synthetic/omni
  python3 -m omni_emformer.train --system conf/systems/pruned.yaml --level 0.7 \\
    --exp-dir exp/synthetic/pruned-0.70
  python3 -m omni_emformer.train --system conf/systems/chain.yaml --level 0.5 \\
    --start-from exp/synthetic/dense --teacher exp/synthetic/dense \\
    --exp-dir exp/synthetic/chain-0.50
  python3 -m omni_emformer.train --system conf/systems/nested.yaml --level 0.5 \\
    --start-from exp/synthetic/chain_long-0.70 --blocks-from exp/synthetic/chain_long-0.50 \\
    --teacher exp/synthetic/dense --exp-dir exp/synthetic/nested-0.50
  python3 -m omni_emformer.train --system conf/systems/omni.yaml --set sparsity.sampler.random=2 \\
    --set training.base_lr=0.002 --exp-dir exp/synthetic/omni-2

The same command goes on where an interrupted run was. Beside what dense training leaves in the
experiment's folder, there is system.yaml, the system as it was trained.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path

from emformer.errors import RecipeError, run_main
from emformer.experiment.logs import setup_logging
from emformer.train import find_finished, get_parser, make_trainer, read_inputs, say_finished
from emformer.training.distributed import start_processes
from emformer.training.method import TrainingMethod
from omni_emformer.supernet.chain import ChainMethod, Start, check_start, load_teacher
from omni_emformer.supernet.growth import GrowthMethod, load_core, start_growth
from omni_emformer.supernet.layer_method import LayerMethod
from omni_emformer.supernet.method import OmniMethod
from omni_emformer.supernet.system import System
from omni_emformer.supernet.system_file import check_same_system, read_system, write_system
from omni_emformer.supernet.system_overrides import load_changed_system, split_overrides


def method_of(system: System, seed: int, rank: int) -> Callable[..., TrainingMethod]:
    """What makes the training method of a system; a chain's may want a ``teacher`` and a ``core``.

    Raises:
      RecipeError: It is not trained.
    """
    if not system.is_trained:
        raise RecipeError(
            f"system {system.name} prunes the dense model and is not trained; the sweep makes it"
        )
    how = {"sparsity": system.sparsity, "seed": seed, "rank": rank}
    if system.layers is not None:
        return functools.partial(LayerMethod, layers=system.layers, **how)
    if system.chain is not None and system.chain.around:
        return functools.partial(GrowthMethod, weight=system.chain.teacher_weight)
    if system.chain is not None and system.chain.teacher_weight:
        return functools.partial(ChainMethod, weight=system.chain.teacher_weight, **how)
    return functools.partial(OmniMethod, **how) if system.sparsity else TrainingMethod


def main() -> None:
    parser = get_parser(__doc__)
    parser.set_defaults(exp_dir=Path("exp/synthetic/omni"))
    parser.add_argument(
        "--system",
        type=Path,
        default=Path("conf/systems/omni.yaml"),
        help="file of conf/systems (default conf/systems/omni.yaml)",
    )
    parser.add_argument("--level", type=float, help="which one, of a system with levels")
    parser.add_argument(
        "--start-from",
        type=Path,
        help="the experiment that a level of a chain goes on from: the level before, or dense",
    )
    parser.add_argument(
        "--teacher",
        type=Path,
        help="the dense experiment that teaches a chain, where chain.teacher_weight is above 0",
    )
    parser.add_argument(
        "--blocks-from",
        type=Path,
        help="where a level that grows has its blocks: the level in the chain that it grows around "
        "(chain.around), or of level 0 the dense experiment",
    )
    args = parser.parse_args()
    processes = start_processes()
    args.overrides, of_system = split_overrides(args.overrides, args.config)
    system = load_changed_system(args.system, args.overrides, of_system).at(args.level)
    method = method_of(system, args.seed, processes.rank)
    check_start(system, args.start_from, args.teacher, args.init_from, args.blocks_from)
    check_same_system(args.exp_dir, system, args.seed)
    inputs = read_inputs(args, system.configure)
    if read_system(args.exp_dir) and find_finished(args, inputs):
        say_finished(args, inputs, processes)
    else:
        setup_logging(args.exp_dir / "log", "train", processes.rank)
        start = None
        if system.chain and not system.chain.around:
            start = Start(system, args, inputs.data)
        elif system.chain:
            core = load_core(args.start_from, args.blocks_from)
            method = functools.partial(method, core=core)
            start = functools.partial(start_growth, core, args.exp_dir)
        if system.chain and system.chain.teacher_weight:
            teacher = load_teacher(args.teacher, inputs.config)
            method = functools.partial(method, teacher=teacher)
        trainer = make_trainer(args, processes, method, inputs, start, system.to_dict())
        if processes.is_main:
            write_system(args.exp_dir, system, args.seed)
        trainer.fit()
    processes.stop()


if __name__ == "__main__":
    sys.exit(run_main(main))
