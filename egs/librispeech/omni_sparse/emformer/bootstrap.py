# SPDX-License-Identifier: Apache-2.0
"""How sure is a WER, and a difference of two.

python3 -m emformer.bootstrap recogs-A.txt              # a WER and its interval
python3 -m emformer.bootstrap recogs-A.txt recogs-B.txt # also B - A on the same utterances
"""

import argparse
import sys
from pathlib import Path

from emformer.errors import run_main
from emformer.scoring.bootstrap import (
    REPLICATIONS,
    errors_of,
    pair_up,
    paired_difference,
    wer_interval,
)
from emformer.scoring.wer import Utterance, count_errors, read_recogs


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python3 -m emformer.bootstrap",
        description="95 %% confidence intervals of a WER and of the difference of two systems",
    )
    parser.add_argument("recogs", nargs="+", type=Path, help="one or two recogs-*.txt files")
    parser.add_argument("--replications", type=int, default=REPLICATIONS, help="default 10000")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    args = parser.parse_args()
    if len(args.recogs) > 2:
        parser.error(f"one or two recogs files, not {len(args.recogs)}")
    if args.replications < 1 or args.seed < 0:
        parser.error("--replications must be at least 1 and --seed at least 0")
    systems = [read_recogs(path) for path in args.recogs]
    if len(systems) == 2:
        systems = list(pair_up(*systems, *map(str, args.recogs)))
    print(_table(systems, args.replications, args.seed))
    for label, path in zip("AB", args.recogs, strict=False):
        print(f"{label} = {path}")


def _table(systems: list[list[Utterance]], replications: int, seed: int) -> str:
    rows = [("system", "utts", "words", "errors", "WER %", "95 % interval", "P(B better)")]
    for label, utterances in zip("AB", systems, strict=False):
        c = count_errors(utterances)
        low, high = wer_interval(utterances, replications, seed)
        interval = f"[{low:.2f}, {high:.2f}]"
        rows.append(
            (label, str(c.num_utts), str(c.num_words), str(c.errors), f"{c.wer:.2f}", interval, "")
        )
    if len(systems) == 2:
        d = paired_difference(*systems, replications, seed)
        errors = int(errors_of(systems[1]).sum() - errors_of(systems[0]).sum())
        interval = f"[{d.low:+.2f}, {d.high:+.2f}]"
        rows.append(
            ("B - A", rows[1][1], rows[1][2], f"{errors:+d}", f"{d.mean:+.2f}", interval)
            + (f"{d.p_b_better:.4f}",)
        )
    else:
        rows = [row[:-1] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    sys.exit(run_main(main))
