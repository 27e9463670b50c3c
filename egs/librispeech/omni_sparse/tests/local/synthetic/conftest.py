# SPDX-License-Identifier: Apache-2.0
"""The plan that the tests of the synthetic corpus share."""

import pytest

from local.synthetic.corpus import Utterance, plan_corpus
from tests.support.synthetic_plan import SIZES


@pytest.fixture(scope="module")
def plan() -> dict[str, list[Utterance]]:
    return plan_corpus(SIZES, seed=0)
