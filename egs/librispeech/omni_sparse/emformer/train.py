# SPDX-License-Identifier: Apache-2.0
"""Stage 6: train the dense streaming transducer.

Usage:
  python3 -m emformer.train --config conf/demo.yaml --exp-dir exp/synthetic/dense
  torchrun --nproc_per_node 4 -m emformer.train --config conf/librispeech.yaml \\
    --corpus librispeech --exp-dir exp/librispeech/dense --dtype float16
  python3 -m emformer.train --config conf/demo.yaml --set training.base_lr=0.002 \\
    --set training.spec_augment=null --exp-dir exp/synthetic/plain

The same command goes on where an interrupted run was. With --init-from a training starts from the
weights of another one, of the same word pieces.
"""

from __future__ import annotations

import argparse
import functools
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import sentencepiece as spm

from emformer.config import Config, TrainingConfig, load_config
from emformer.data.asr_datamodule import AsrDataModule
from emformer.data.tokenizer import load_tokenizer, symbols, text_pipeline
from emformer.errors import RecipeError, run_main
from emformer.experiment.checkpoint import load_checkpoint, load_newest, numbered
from emformer.experiment.description import describe_experiment
from emformer.experiment.logs import setup_logging
from emformer.experiment.same_run import check_same_run
from emformer.experiment.trackers import TRACKERS, check_tracker, open_tracker
from emformer.model import Transducer, make_model, num_deployed_parameters
from emformer.options import Parser, positive_float, positive_int, str2bool
from emformer.overrides import add_set_option
from emformer.training.distributed import Processes, start_processes
from emformer.training.init_from import check_symbols, read_source, take_weights
from emformer.training.method import TrainingMethod
from emformer.training.precision import DTYPES
from emformer.training.rng import seed_everything
from emformer.training.trainer import Trainer


def get_parser(description: str | None = __doc__) -> argparse.ArgumentParser:
    """Options of training, whatever the method."""
    parser = Parser(description)
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("conf/demo.yaml"),
        help="model and training settings (default conf/demo.yaml)",
    )
    parser.add_argument(
        "--exp-dir",
        type=Path,
        default=Path("exp/synthetic/dense"),
        help="where checkpoints and logs go; a run that was stopped goes on from what is there "
        "(default exp/synthetic/dense)",
    )
    parser.add_argument("--lang-dir", type=Path, help="default: <data-dir>/lang_bpe_<V>")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another run (default 0)")
    parser.add_argument(
        "--dtype",
        choices=sorted(DTYPES),
        default="float32",
        help="of what autocast lowers (default float32); weights stay float32",
    )
    parser.add_argument("--num-epochs", type=positive_int, help="default: the configuration's")
    parser.add_argument(
        "--max-duration", type=positive_float, help="seconds; default: the configuration's"
    )
    parser.add_argument("--base-lr", type=positive_float, help="default: the configuration's")
    add_set_option(
        parser, "in place of what the files say, such as model.num_layers=4; may be repeated"
    )
    parser.add_argument(
        "--init-from",
        type=Path,
        help="start from the weights of another experiment's folder, or of a checkpoint; a run "
        "that goes on does not read it",
    )
    parser.add_argument(
        "--scan-oom",
        type=str2bool,
        metavar="BOOL",
        help="first try the batches that need most memory (default: only on a GPU)",
    )
    parser.add_argument(
        "--tracker",
        choices=["none", *TRACKERS],
        default="none",
        help="send metrics and settings to Weights & Biases or MLflow, too, whose package must be "
        "installed and logged in; a run that goes on does so in the tracker as well (default none)",
    )
    AsrDataModule.add_arguments(parser)
    return parser


class Inputs(NamedTuple):
    """What the options of a training name."""

    config: Config
    data: AsrDataModule
    tokenizer: spm.SentencePieceProcessor


def read_inputs(
    args: argparse.Namespace, configure: Callable[[Config, int], Config] | None = None
) -> Inputs:
    """Read what the options name; ``configure`` changes a configuration, given the vocabulary.

    Raises:
      RecipeError: A file is missing or wrong, or two options say the same setting.
    """
    names = ("num_epochs", "max_duration", "base_lr", "init_from")
    own = {name: getattr(args, name) for name in names}
    own["init_from"] = None if args.init_from is None else str(args.init_from)
    for one in args.overrides:
        section, _, name = one.name.partition(".")
        if section == "training" and own.get(name) is not None:
            raise RecipeError(f"{one}: --{name.replace('_', '-')} says it, too; give one of them")
    config = load_config(args.config, args.overrides).with_training(**own)
    data = AsrDataModule.from_args(args)
    lang_dir = args.lang_dir or data.data_dir / f"lang_bpe_{data.corpus.vocab_size}"
    tokenizer = load_tokenizer(lang_dir)
    if configure is not None:
        config = configure(config, tokenizer.get_piece_size())
    return Inputs(config, data, tokenizer)


def find_finished(args: argparse.Namespace, inputs: Inputs) -> dict[str, Any] | None:
    """The last epoch's checkpoint, if it is there; found without a look at the data.

    Raises:
      RecipeError: It is of another run.
    """
    path = numbered(args.exp_dir, "epoch").get(inputs.config.training.num_epochs)
    if path is None:
        return None
    try:
        state = load_checkpoint(path)
    except RecipeError:
        return None  # the trainer names it and goes on from the one before
    tokens, rule = symbols(inputs.tokenizer), text_pipeline(inputs.tokenizer).rule
    check_same_run(path, state, inputs.config, args.seed, tokens, rule)
    return state


def say_finished(args: argparse.Namespace, inputs: Inputs, processes: Processes) -> None:
    """Not into a log file: nothing is written where all is done, since that may be forbidden."""
    if processes.is_main:
        epochs = inputs.config.training.num_epochs
        print(f"{args.exp_dir}: all {epochs} epochs are trained", file=sys.stderr)


def make_trainer(
    args: argparse.Namespace,
    processes: Processes,
    method_class: Callable[[TrainingConfig, int], TrainingMethod],
    inputs: Inputs | None = None,
    prepare: Callable[[Transducer], None] | None = None,
    more_settings: Mapping[str, Any] | None = None,
) -> Trainer:
    """A trainer of the options.

    Args:
      args: The options.
      processes: This process's place among the run's.
      method_class: Says what a step trains.
      inputs: What the options name; read by default.
      prepare: Changes the new model's weights before the method sees them.
      more_settings: What a tracker shows beside the configuration, sections by name.

    Raises:
      RecipeError: Something is missing, or of another experiment.
    """
    check_tracker(args.tracker)
    config, data, tokenizer = inputs or read_inputs(args)
    data.check_found()
    # The initial weights are the same on all ranks.
    seed_everything(args.seed, "weights")
    model = make_model(config.model, tokenizer.get_piece_size())
    logging.info(f"number of model parameters: {num_deployed_parameters(model)}")
    if config.training.init_from:
        config = _init_from(args.exp_dir, config, model, tokenizer)
    if prepare is not None:
        prepare(model)
    trainer = Trainer(
        args.exp_dir,
        config,
        model,
        method_class,
        data,
        tokenizer,
        processes,
        args.seed,
        args.dtype,
        args.scan_oom,
        functools.partial(
            open_tracker,
            args.tracker,
            args.exp_dir,
            {
                **config.to_dict(),
                **(more_settings or {}),
                "corpus": data.corpus.name,
                "dtype": args.dtype,
                "seed": args.seed,
                "world_size": processes.world_size,
            },
        ),
    )
    # Only now, since the trainer refuses to go on in the folder of another experiment.
    if processes.is_main:
        describe_experiment(args.exp_dir, trainer.config)
    return trainer


def _init_from(
    exp_dir: Path, config: Config, model: Transducer, tokenizer: spm.SentencePieceProcessor
) -> Config:
    """Give a model the weights that it starts from; the configuration with their checkpoint.

    Raises:
      RecipeError: It is of another model or other word pieces, or is none.
    """
    given = config.training.init_from
    if load_newest(exp_dir, lambda _: None) is not None:  # the trainer tells of damage
        logging.info(f"{exp_dir} goes on from its own checkpoint; {given} is not read")
        return config
    source = read_source(Path(given))
    check_symbols(source, symbols(tokenizer), text_pipeline(tokenizer).rule)
    take_weights(source, model)
    return config.with_training(init_from=str(source.path))


def main() -> None:
    args = get_parser().parse_args()
    processes = start_processes()
    inputs = read_inputs(args)
    finished = find_finished(args, inputs)
    # With a state, it is of another method, which the trainer says.
    if finished is not None and not finished["method"]:
        say_finished(args, inputs, processes)
    else:
        setup_logging(args.exp_dir / "log", "train", processes.rank)
        make_trainer(args, processes, TrainingMethod, inputs).fit()
    processes.stop()


if __name__ == "__main__":
    sys.exit(run_main(main))
