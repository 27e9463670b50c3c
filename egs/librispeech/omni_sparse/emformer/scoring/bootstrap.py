# SPDX-License-Identifier: Apache-2.0
"""How sure is a WER, and a difference of two: bootstrap over utterances.

The method is that of M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in
ASR performance evaluation", ICASSP 2004: draw as many utterances as there are, with
replacement, many times, and look at the spread of the WER. Utterances, not words, are drawn,
since the errors within one utterance depend on each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import kaldialign
import numpy as np

from emformer.errors import RecipeError
from emformer.scoring.wer import Utterance, count_errors

REPLICATIONS = 10000
_DRAWS_AT_ONCE = 2_000_000  # bounds the memory of a block of replications, about 64 MB


@dataclass(frozen=True)
class Difference:
    """WER of B minus WER of A, in percentage points: below zero B is better.

    Attributes:
        mean: the difference on the utterances themselves.
        low, high: the 95 % interval (percentiles 2.5 and 97.5 of the replications).
        p_b_better: share of the replications in which B makes fewer errors, of those with words.
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
    excess = errors_of(b) - errors_of(a)
    drawn = np.concatenate(list(_replicate(excess, words, replications, seed)))
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Difference(
        mean=float(100.0 * excess.sum() / words.sum()),
        low=float(low),
        high=float(high),
        p_b_better=float((drawn < 0).mean()),
    )


def errors_of(utterances: Sequence[Utterance]) -> np.ndarray:
    """Word errors of each utterance, of shape `(utterances,)`."""
    return np.array([kaldialign.edit_distance(u.ref, u.hyp)["total"] for u in utterances])


def _replicate(excess, words, replications, seed):
    """Blocks of differences in percent; a draw without any word has none and is left out."""
    generator = np.random.default_rng(seed)
    at_once = max(1, _DRAWS_AT_ONCE // len(words))
    for begin in range(0, replications, at_once):
        size = (min(at_once, replications - begin), len(words))
        drawn = generator.integers(0, len(words), size=size)
        num_words = words[drawn].sum(axis=1)
        some = num_words > 0
        yield 100.0 * excess[drawn].sum(axis=1)[some] / num_words[some]


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
                f"their references of utterance '{name}' differ; decode both again"
            )
    return [of_a[name] for name in sorted(of_a)], [of_b[name] for name in sorted(of_a)]
