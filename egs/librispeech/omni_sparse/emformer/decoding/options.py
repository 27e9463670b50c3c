# SPDX-License-Identifier: Apache-2.0
"""The command line that decode.py and streaming_decode.py share."""

import argparse
import dataclasses
from pathlib import Path

from emformer.config import ModelConfig
from emformer.data.asr_datamodule import AsrDataModule
from emformer.decoding.search import METHODS
from emformer.errors import RecipeError
from emformer.options import Parser, positive_int, str2bool

# Settings of each method, by the name of their option.
_SETTINGS = {
    "greedy_search": (),
    "modified_beam_search": ("beam_size",),
    "fast_beam_search": ("beam", "max_contexts", "max_states"),
}
_IN_MS = {
    "chunk_ms": "length of a chunk",
    "right_context_ms": "look-ahead after a chunk",
    "left_context_ms": "the past that attention sees",
}
# Frames are encoder frames.
_MODEL = {
    "feature_dim": "mel bins",
    "frontend": "stack or conv",
    "subsampling": "10 ms frames an encoder frame",
    "stack_window": "10 ms frames that the front end stacks",
    "encoder_dim": "width of the Emformer",
    "num_heads": "heads of attention",
    "ffn_dim": "width of the feed-forward units",
    "num_layers": "layers of the Emformer",
    "dropout": "of the Emformer, in training",
    "activation": "of the feed-forward units",
    "segment": "frames of a chunk",
    "right_context": "frames of look-ahead after a chunk",
    "left_context": "frames of the past that attention sees",
    "decoder_dim": "width of the decoder",
    "context_size": "symbols that the decoder sees",
    "joiner_dim": "width of the joiner",
}


def get_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of all options that decoding has in both modes."""
    parser = Parser(description)
    checkpoint = parser.add_argument_group("checkpoint")
    checkpoint.add_argument("--exp-dir", type=Path, required=True, help="where training wrote")
    add_weights_options(checkpoint)
    AsrDataModule.add_arguments(parser)
    parser.set_defaults(corpus=None)  # the checkpoint knows it
    data = parser.add_argument_group("what to decode")
    data.add_argument("--splits", nargs="+", help="default: the corpus's test splits")
    data.add_argument("--max-duration", type=float, default=300.0, help="seconds loaded at once")
    data.add_argument("--system-name", default="dense", help="in results.jsonl (default dense)")
    parser.add_old_spelling("--system", "--system-name")
    _add_search_options(parser.add_argument_group("search"))
    parser.add_old_spelling("--method", "--methods")
    parser.add_old_spelling("--decoding-method", "--methods")
    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", help="default: cuda where there is one, else cpu")
    machine.add_argument("--num-threads", type=positive_int, help="of torch; default: torch's own")
    _add_checked_options(parser)
    return parser


def add_weights_options(group) -> None:
    """The options that say which weights of an experiment are decoded."""
    group.add_argument("--epoch", type=positive_int, help="of epoch-N.pt; default: the newest")
    group.add_argument(
        "--iter", type=positive_int, help="of checkpoint-N.pt, whose weights are taken as they are"
    )
    group.add_argument("--avg", type=positive_int, default=1, help="epochs averaged (default 1)")
    group.add_argument(
        "--use-averaged-model",
        type=str2bool,
        metavar="BOOL",
        help="average over all updates of these epochs (default true), not over their last weights",
    )


def add_methods_option(group) -> None:
    """The option that says how is searched, ``methods``."""
    group.add_argument(
        "--methods",
        nargs="+",
        choices=list(METHODS),
        default=["greedy_search"],
        metavar="METHOD",
        help=f"one or several of {', '.join(METHODS)} (default greedy_search)",
    )


def _add_search_options(group) -> None:
    add_methods_option(group)
    group.add_argument(
        "--beam-size", type=positive_int, default=4, help="of modified_beam_search (default 4)"
    )
    group.add_argument("--beam", type=float, default=20.0, help="of fast_beam_search (default 20)")
    group.add_argument(
        "--max-contexts", type=positive_int, default=8, help="of fast_beam_search (default 8)"
    )
    group.add_argument(
        "--max-states", type=positive_int, default=64, help="of fast_beam_search (default 64)"
    )


def _add_checked_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "architecture and chunking",
        "The checkpoint decides. These options are only compared with it, and a value which "
        "contradicts it is refused: to have another chunk, train another model.",
    )
    for name, kind in _checked_names().items():
        group.add_argument(
            _flag(name),
            dest=f"checked_{name}",
            type=kind,
            metavar=kind.__name__,
            help=_IN_MS.get(name) or _MODEL[name],
        )


def _checked_names() -> dict[str, type]:
    default = ModelConfig()
    names = [*_IN_MS, *(f.name for f in dataclasses.fields(ModelConfig))]
    kinds = {name: type(getattr(default, name)) for name in names}
    return {name: kind for name, kind in kinds.items() if kind is not tuple}


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def refuse_contradictions(args: argparse.Namespace, config: ModelConfig, checkpoint: str) -> None:
    """Compare the options of architecture and chunking with the checkpoint's configuration.

    Raises:
        RecipeError: names the first option that says something else.
    """
    for name in _checked_names():
        wanted, actual = getattr(args, f"checked_{name}", None), getattr(config, name)
        if wanted is not None and wanted != actual:
            raise RecipeError(
                f"{_flag(name)} {wanted} contradicts {checkpoint}, whose model has {actual}; "
                "leave the option out, or decode another checkpoint"
            )


def search_settings(args: argparse.Namespace) -> dict[str, dict]:
    """The chosen methods, each with its settings for `make_search`."""
    return {
        method: {name: getattr(args, name) for name in _SETTINGS[method]} for method in args.methods
    }
