# SPDX-License-Identifier: Apache-2.0
"""Reads what a run will be made of, so that a mistake is told before its first stage.

Usage:
  python3 -m omni_emformer.check_settings --corpus synthetic --config conf/demo.yaml \\
    --systems conf/systems/dense.yaml conf/systems/omni.yaml

Says nothing where the configuration, every system and the model of each of its levels can be made,
and with --init-from can start from those weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

from emformer.config import load_config
from emformer.data.corpus import load_corpus
from emformer.errors import RecipeError, run_main
from emformer.model import Transducer, make_model
from emformer.options import Parser
from emformer.training.init_from import Source, check_encoder, read_source
from omni_emformer.supernet.system import load_system


def main(argv: list[str] | None = None) -> None:
    parser = Parser(__doc__, "omni_emformer.check_settings")
    parser.add_argument("--corpus", required=True, help="name in conf/corpus or a YAML file")
    parser.add_argument("--config", type=Path, required=True, help="model and training settings")
    parser.add_argument("--systems", type=Path, nargs="+", default=[], help="files of systems")
    parser.add_argument("--init-from", type=Path, help="what trainings are to start from")
    args = parser.parse_args(argv)
    vocab_size = load_corpus(args.corpus).vocab_size
    config = load_config(args.config)
    source = None if args.init_from is None else read_source(args.init_from)
    if source is not None and not args.systems:
        check_encoder(source, make_model(config.model, vocab_size))
    for path in args.systems:
        system = load_system(path)
        for level in system.levels or (None,):
            model = system.at(level).configure(config, vocab_size).model
            if source is not None and system.is_trained and system.chain is None:
                _check_start(path, source, make_model(model, vocab_size))


def _check_start(path: Path, source: Source, model: Transducer) -> None:
    try:
        check_encoder(source, model)
    except RecipeError as e:
        raise RecipeError(f"{path}: {e}") from e


if __name__ == "__main__":
    sys.exit(run_main(main))
