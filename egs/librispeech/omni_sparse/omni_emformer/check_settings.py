# SPDX-License-Identifier: Apache-2.0
"""Reads what a run will be made of, so that a mistake is told before its first stage.

Usage:
  python3 -m omni_emformer.check_settings --corpus synthetic --config conf/demo.yaml \\
    --systems conf/systems/dense.yaml conf/systems/omni.yaml --set sparsity.sampler.parts=2

Says no more than who takes what is set, where the configuration, every system and the model of each
of its levels can be made, and with --init-from can start from those weights.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from emformer.config import load_config
from emformer.data.corpus import load_corpus
from emformer.errors import RecipeError, run_main
from emformer.experiment.trackers import TRACKERS, check_tracker
from emformer.model import Transducer, make_model
from emformer.options import Parser
from emformer.overrides import Override, add_set_option
from emformer.training.init_from import Source, check_encoder, read_source
from omni_emformer.supernet.system import sections_of
from omni_emformer.supernet.system_overrides import load_changed_system, split_overrides


def main(argv: list[str] | None = None) -> None:
    parser = Parser(__doc__, "omni_emformer.check_settings")
    parser.add_argument("--corpus", required=True, help="name in conf/corpus or a YAML file")
    parser.add_argument("--config", type=Path, required=True, help="model and training settings")
    parser.add_argument("--systems", type=Path, nargs="+", default=[], help="files of systems")
    parser.add_argument("--init-from", type=Path, help="what trainings are to start from")
    parser.add_argument(
        "--tracker",
        choices=["none", *TRACKERS],
        default="none",
        help="whose package must be there (default none)",
    )
    add_set_option(parser, "as run.sh takes it; may be repeated")
    args = parser.parse_args(argv)
    check_tracker(args.tracker)
    vocab_size = load_corpus(args.corpus).vocab_size
    of_config, of_systems = split_overrides(args.overrides, args.config)
    config = load_config(args.config, of_config)
    takers = _takers(of_systems, args.systems)
    source = None if args.init_from is None else read_source(args.init_from)
    if source is not None and not args.systems:
        check_encoder(source, make_model(config.model, vocab_size))
    for path in args.systems:
        own = [one for one in of_systems if path in takers[one.text]]
        system = load_changed_system(path, of_config, own)
        for level in system.levels or (None,):
            model = system.at(level).configure(config, vocab_size).model
            if source is not None and system.is_trained and system.chain is None:
                _check_start(path, source, make_model(model, vocab_size))
    for one in args.overrides:
        names = [path.stem for path in takers.get(one.text, [])]
        print(f"{one}: {', '.join(names) or 'all systems'}")


def _check_start(path: Path, source: Source, model: Transducer) -> None:
    try:
        check_encoder(source, model)
    except RecipeError as e:
        raise RecipeError(f"{path}: {e}") from e


def _takers(overrides: Iterable[Override], files: Iterable[Path]) -> dict[str, list[Path]]:
    """Which files have the section of each setting.

    Raises:
      RecipeError: None has that of the first such.
    """
    sections = {path: sections_of(path) for path in files}
    found = {}
    for one in overrides:
        found[one.text] = [path for path in sections if one.section in sections[path]]
        if not found[one.text]:
            names = ", ".join(map(str, sections)) or "no system"
            raise RecipeError(f"{one}: no section {one.section} in {names}")
    return found


if __name__ == "__main__":
    sys.exit(run_main(main))
