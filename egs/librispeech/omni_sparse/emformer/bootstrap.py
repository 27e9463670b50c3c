# SPDX-License-Identifier: Apache-2.0
"""How sure is a WER, and a difference of two: bootstrap over utterances.

    python3 -m emformer.bootstrap recogs-A.txt              # a WER and its interval
    python3 -m emformer.bootstrap recogs-A.txt recogs-B.txt # also B - A on the same utterances

The method is that of M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in
ASR performance evaluation", ICASSP 2004: draw as many utterances as there are, with
replacement, many times, and look at the spread of the WER. Utterances, not words, are drawn,
since the errors within one utterance depend on each other.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import kaldialign
import numpy as np

from emformer.errors import RecipeError, run_main
from emformer.wer import Utterance, count_errors, read_recogs

REPLICATIONS = 10000
_DRAWS_AT_ONCE = 2_000_000  # bounds the memory of a block of replications, about 64 MB


@dataclass(frozen=True)
class Difference:
    """WER of B minus WER of A, in percentage points: below zero B is better.

    Attributes:
        mean: the difference on the utterances themselves.
        low, high: the 95 % interval (percentiles 2.5 and 97.5 of the replications).
        p_b_better: share of the replications in which B makes fewer errors.
    """

    mean: float
    low: float
    high: float
    p_b_better: float


def wer_interval(
    utterances: Sequence[Utterance], replications: int = REPLICATIONS, seed: int = 0
) -> tuple[float, float]:
    """The 95 % confidence interval `(low, high)` of a WER, in percent, by kaldialign."""
    count_errors(utterances)  # refuses a set without words
    found = kaldialign.bootstrap_wer_ci(
        [u.ref for u in utterances],
        [u.hyp for u in utterances],
        replications=replications,
        seed=seed,
    )
    return 100.0 * found["ci95min"], 100.0 * found["ci95max"]


def paired_difference(
    a: Sequence[Utterance],
    b: Sequence[Utterance],
    replications: int = REPLICATIONS,
    seed: int = 0,
) -> Difference:
    """The paired bootstrap of Bisani and Ney (2004), with its interval.

    Both systems are scored on the same drawn utterances, so what is hard for both cancels;
    the interval is much narrower than two separate ones suggest.

    Args:
        a, b: the same utterances in the same order, as `pair_up` gives them.
        replications: how often to draw.
        seed: of the generator; the same seed gives the same interval.

    Raises:
        ValueError: the utterances are not the same.
    """
    if [(u.id, u.ref) for u in a] != [(u.id, u.ref) for u in b]:
        raise ValueError("paired_difference needs the same utterances in the same order")
    count_errors(a)
    words = np.array([len(u.ref) for u in a])
    excess = _errors(b) - _errors(a)
    drawn = np.concatenate(list(_replicate(excess, words, replications, seed)))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Difference(
        mean=float(100.0 * excess.sum() / words.sum()),
        low=float(low),
        high=float(high),
        p_b_better=float((drawn < 0).mean()),
    )


def _errors(utterances: Sequence[Utterance]) -> np.ndarray:
    return np.array([kaldialign.edit_distance(u.ref, u.hyp)["total"] for u in utterances])


def _replicate(excess, words, replications, seed):
    """Blocks of differences in percent; a draw without any word has none and counts as 0."""
    generator = np.random.default_rng(seed)
    at_once = max(1, _DRAWS_AT_ONCE // len(words))
    for begin in range(0, replications, at_once):
        size = (min(at_once, replications - begin), len(words))
        drawn = generator.integers(0, len(words), size=size)
        yield 100.0 * excess[drawn].sum(axis=1) / np.maximum(words[drawn].sum(axis=1), 1)


def pair_up(
    a: Sequence[Utterance], b: Sequence[Utterance], name_a: str = "A", name_b: str = "B"
) -> tuple[list[Utterance], list[Utterance]]:
    """Bring two systems' utterances into the same order.

    Raises:
        RecipeError: the files hold different utterances or different references.
    """
    of_a, of_b = {u.id: u for u in a}, {u.id: u for u in b}
    odd = sorted(of_a.keys() ^ of_b.keys())
    if odd:
        where = name_a if odd[0] in of_a else name_b
        raise RecipeError(
            f"{name_a} and {name_b} cannot be compared: {len(odd)} utterances are in one only, "
            f"such as '{odd[0]}' in {where}"
        )
    for name in sorted(of_a):
        if of_a[name].ref != of_b[name].ref:
            raise RecipeError(
                f"{name_a} and {name_b} cannot be compared: "
                f"their references of utterance '{name}' differ"
            )
    return [of_a[name] for name in sorted(of_a)], [of_b[name] for name in sorted(of_a)]


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
        errors = int(_errors(systems[1]).sum() - _errors(systems[0]).sum())
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
