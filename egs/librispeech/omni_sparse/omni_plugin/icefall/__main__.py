# SPDX-License-Identifier: Apache-2.0
"""Runs an unmodified icefall recipe under the plugin.

Usage: omni-plugin-icefall COMMAND --recipe RECIPE [options] [-- arguments of the recipe]

  train     train a supernet by the recipe's train.py
  coverage  say what would be pruned
  bake      write a sub-network as epoch-99.pt, for the recipe's own scripts
  run       run a script of the recipe (decode.py, export.py, ...) on a sub-network
  sweep     run a decoding script at many sparsities and collect results.jsonl

Run it where the recipe's own scripts are run, so that data/ is found. pip installs the command;
python3 -m omni_plugin.icefall is the same.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from omni_plugin.errors import OmniError
from omni_plugin.icefall.workarounds import WORKAROUNDS


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """Our words, and the recipe's behind ``--``."""
    where = words.index("--") if "--" in words else len(words)
    return words[:where], words[where + 1 :]


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="omni-plugin-icefall",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", help="see above"
    )
    for name in ("train", "coverage", "bake", "run", "sweep"):
        one = commands.add_parser(name, allow_abbrev=False)
        one.add_argument("--recipe", type=Path, required=True, help="its folder")
        if name in ("train", "coverage"):
            one.format_help = _with_omni_options(one)
        if name == "coverage":
            one.add_argument("--vocab-size", type=int, default=500, help="default 500")
        if name in ("bake", "run", "sweep"):
            _add_source(one, name == "sweep")
        if name in ("run", "sweep"):
            one.add_argument("--script", default="decode.py", help="of the recipe")
            one.add_argument(
                "--omni-workaround",
                nargs="*",
                choices=sorted(WORKAROUNDS),
                default=[],
                help="faults of recipe or machine to be worked around",
            )
    return parser


def _with_omni_options(parser: argparse.ArgumentParser) -> Callable[[], str]:
    """Its help, and the ``--omni-*`` options, which it hands on to the recipe's own parser."""
    own = parser.format_help

    def format_help() -> str:
        from omni_plugin.icefall.options import add_options  # imports torch

        more = argparse.ArgumentParser(add_help=False, usage=argparse.SUPPRESS)
        add_options(more)
        return f"{own()}\n{more.format_help().lstrip()}"

    return format_help


def _add_source(parser: argparse.ArgumentParser, many: bool) -> None:
    add = parser.add_argument
    add("--exp-dir", type=Path, required=True, help="of the supernet's training")
    add("--epoch", type=int, default=30, help="as the recipe's decode.py has it (default 30)")
    add("--iter", type=int, default=0, help="if not 0, instead of --epoch")
    add("--avg", type=int, default=1, help="checkpoints averaged (default 1)")
    add(
        "--use-averaged-model",
        type=int,
        choices=(0, 1),
        default=1,
        help="average over all updates, as icefall does (default 1)",
    )
    add(
        "--subnets" if many else "--subnet",
        required=True,
        nargs="+" if many else None,
        help="dense, sparsest, 0.7, ...; full, units-4, ... with --omni-layers",
    )
    add("--out-dir", type=Path, help="default: omni/<which checkpoints> in --exp-dir")


def _todays_word(word: str, command: list[str]) -> str:
    """``--sparsity``, as it was called, under the name that it has now."""
    name, equals, value = word.partition("=")
    if name != "--sparsity":
        return word
    new = "--subnets" if command == ["sweep"] else "--subnet"
    print(f"note: {name} is now called {new}", file=sys.stderr)
    return new + equals + value


def main(words: list[str] | None = None) -> None:
    ours, theirs = split(sys.argv[1:] if words is None else words)
    parser = get_parser()
    ours = [_todays_word(word, ours[:1]) for word in ours]
    args, omni = parser.parse_known_args(ours)
    unknown = [word for word in omni if word.startswith("-") and not word.startswith("--omni-")]
    if unknown or (omni and args.command not in ("train", "coverage")):
        parser.error(f"unknown: {' '.join(unknown or omni)}; the recipe's own options go behind --")
    # Imported here: the recipe's packages are slow to import, and --help needs none.
    if args.command == "train":
        from omni_plugin.icefall.launch import train

        train(args.recipe, omni, theirs)
    elif args.command == "coverage":
        from omni_plugin.icefall.coverage import make_model, report, supernet_of

        model, params = make_model(args.recipe, [*theirs, *omni], args.vocab_size)
        print(report(model, supernet_of(model, params)))
    else:
        _on_subnets(args, theirs)


def _on_subnets(args: argparse.Namespace, theirs: list[str]) -> None:
    from omni_plugin.icefall.bake import make_baker
    from omni_plugin.icefall.scripts import run_script
    from omni_plugin.icefall.source import Source
    from omni_plugin.icefall.sweep import Sweep

    averaged = bool(args.use_averaged_model)
    source = Source(args.exp_dir, args.epoch, args.iter, args.avg, averaged)
    baker = make_baker(args.recipe, source)
    folder = args.out_dir or args.exp_dir / "omni" / source.name
    if args.command == "sweep":
        sweep = Sweep(args.recipe, baker, folder, args.omni_workaround)
        sweep.run(args.subnets, args.script, theirs)
        return
    subnet = baker.subnet(args.subnet)
    path = baker.write(subnet, folder / subnet.name)
    if args.command == "bake":
        options = "--epoch 99 --avg 1 --use-averaged-model 0"
        if "num_encoder_layers" in baker.params:
            layers = baker.params_of(subnet)["num_encoder_layers"]
            options += f" --num-encoder-layers {layers}"
        print(f"{path}: use {options}")
        return
    run_script(
        args.recipe, args.script, path.parent, baker.params_of(subnet), theirs, args.omni_workaround
    )


def command() -> str | None:
    """:func:`main` for a command line: a mistake is the line that ``sys.exit`` shall print."""
    try:
        main()
    except OmniError as e:
        return f"error: {e}"
    except PermissionError as e:
        return f"error: {e.filename}: {e.strerror}; choose a folder where you may write"
    return None


if __name__ == "__main__":
    sys.exit(command())
