# SPDX-License-Identifier: Apache-2.0
"""The three rules that end utterances."""

import pytest

from omni_emformer.live.endpoint import ended_by
from omni_recognizer.endpoint import EndpointRules

RULES = EndpointRules()


@pytest.mark.parametrize(
    "length, silence, is_spoken, expected",
    [
        (2.36, 2.36, False, None),
        (2.4, 2.4, False, "rule1"),
        (5.0, 1.16, True, None),
        (5.0, 1.2, True, "rule2"),
        (1.2, 1.2, False, None),
        (5.0, 2.4, True, "rule1"),
        (19.96, 0.0, True, None),
        (20.0, 0.0, True, "rule3"),
        (20.0, 1.2, True, "rule2"),
    ],
)
def test_each_rule_holds_from_its_limit_on(length, silence, is_spoken, expected):
    assert ended_by(RULES, length, silence, is_spoken) == expected
