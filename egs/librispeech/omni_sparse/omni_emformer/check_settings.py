# SPDX-License-Identifier: Apache-2.0
"""Reads what a run will be made of, so that a mistake is told before its first stage.

Usage:
  python3 -m omni_emformer.check_settings --corpus synthetic --config conf/demo.yaml \\
    --systems conf/systems/dense.yaml conf/systems/omni.yaml

Says nothing where the configuration, every system and the model of each of its levels can be made.
"""

from __future__ import annotations

import sys
from pathlib import Path

from emformer.config import load_config
from emformer.data.corpus import load_corpus
from emformer.errors import run_main
from emformer.options import Parser
from omni_emformer.supernet.system import load_system


def main(argv: list[str] | None = None) -> None:
    parser = Parser(__doc__, "omni_emformer.check_settings")
    parser.add_argument("--corpus", required=True, help="name in conf/corpus or a YAML file")
    parser.add_argument("--config", type=Path, required=True, help="model and training settings")
    parser.add_argument("--systems", type=Path, nargs="+", default=[], help="files of systems")
    args = parser.parse_args(argv)
    vocab_size = load_corpus(args.corpus).vocab_size
    config = load_config(args.config)
    for path in args.systems:
        system = load_system(path)
        for level in system.levels or (None,):
            system.at(level).configure(config, vocab_size)


if __name__ == "__main__":
    sys.exit(run_main(main))
