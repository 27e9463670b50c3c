# SPDX-License-Identifier: Apache-2.0
"""Stage 14: hold exported sub-networks against PyTorch.

Usage:
  python3 -m omni_emformer.check_onnx --exp-dir exp/synthetic/omni
  python3 -m omni_emformer.check_onnx --exp-dir exp/synthetic/omni --subnets 0.90 \\
    --splits test-clean --methods greedy_search modified_beam_search

Of each sub-network of <exp-dir>/export, the whole test splits go chunk by chunk through its plain
checkpoint in PyTorch and through its ONNX files: the encoder in onnxruntime, and audio to text in
sherpa-onnx, which computes its own features. The exit status is 1 if an encoder output differs by
more than 1e-4, or more than 1 % of the texts, in float32. int8 is compared, too, and has no bound.

The recipe's features mirror the end of an utterance, where a stream hears silence; the last frame
and the one after it differ by much. So PyTorch decodes twice: the recipe's features, computed from
the audio (--on-the-fly-feats false takes the stored ones, which are compressed), and those of the
same sound that sherpa-onnx gets. Texts are to be the same as the second; the table has both.

Other options are those of emformer.streaming_decode. Results go to the sub-network's folder as
those of an experiment do: results.jsonl, and recogs, errs and wer-summary files; the comparison
goes to <exp-dir>/export/check.json and check.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from emformer import streaming_decode
from emformer.decoding.run import open_experiment
from emformer.errors import RecipeError, run_main
from emformer.experiment.logs import only_log_to_file
from emformer.options import positive_int
from omni_emformer.export.check_subnet import Check, SubnetCheck
from omni_emformer.export.sherpa import METHODS
from omni_emformer.export.subnet import FOLDER, exported_subnets
from omni_emformer.supernet.options import add_subnets_option
from omni_plugin.report import markdown_table


def table(checks: Sequence[Check]) -> str:
    """The comparison as Markdown."""
    head = ["sub-network", "split", "method", "numbers", "encoder differs by", "same texts"]
    head += ["same as with the recipe's features", "WER % PyTorch", "in a stream", "sherpa-onnx"]
    rows = [
        [
            c.subnet,
            c.split,
            c.method,
            c.kind,
            "-" if c.max_abs_diff is None else f"{c.max_abs_diff:.1e}",
            f"{c.same_texts}/{c.num_utts}" + ("" if c.passed else " FAILED"),
            f"{c.same_as_recipe}/{c.num_utts}",
            *(f"{wer:.2f}" for wer in (c.wer, c.wer_stream, c.wer_sherpa)),
        ]
        for c in checks
    ]
    return markdown_table(head, rows, text_columns=4)


def get_parser() -> argparse.ArgumentParser:
    parser = streaming_decode.get_parser(__doc__)
    parser.prog = "python3 -m omni_emformer.check_onnx"
    parser.set_defaults(on_the_fly_feats=True)
    group = parser.add_argument_group("check")
    add_subnets_option(group, "or names (default: all exported ones)")
    group.add_argument("--limit", type=positive_int, help="utterances of each split (default: all)")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = get_parser().parse_args(argv)
    unknown = [method for method in args.methods if method not in METHODS]
    if unknown:
        raise RecipeError(f"--methods {unknown[0]}: sherpa-onnx has {' and '.join(METHODS)}")
    folders = exported_subnets(args.exp_dir, args.subnets)
    open_experiment(args.exp_dir, "check-onnx")
    only_log_to_file()
    checks: list[Check] = []
    for folder in folders:
        subnet = SubnetCheck(folder, args, args.limit)
        for split in subnet.run.splits:
            found = subnet.split(split)
            print(table(found), flush=True)
            checks += found
    out = args.exp_dir / FOLDER
    records = [{**dataclasses.asdict(check), "passed": check.passed} for check in checks]
    (out / "check.json").write_text(json.dumps(records, indent=1) + "\n")
    (out / "check.md").write_text(table(checks) + "\n")
    if not all(check.passed for check in checks):
        raise RecipeError(
            f"sub-networks differ from PyTorch by more than allowed, see {out}/check.md"
        )


if __name__ == "__main__":
    sys.exit(run_main(main))
