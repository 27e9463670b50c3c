# SPDX-License-Identifier: Apache-2.0
"""Settings of closed-form pruning: which sizes a sweep decodes."""

import pytest

from omni_plugin.calibration import CalibrationSettings


@pytest.mark.parametrize(
    "changes, sizes",
    [
        ({}, [0.0, 0.5, 0.7, 0.8, 0.9]),
        ({"max_sparsity": 0.75}, [0.0, 0.5, 0.7, 0.75]),
        ({"valid_levels": [0.25], "max_sparsity": 0.5}, [0.0, 0.25, 0.5]),
        ({"valid_levels": [], "max_sparsity": 0.5}, [0.0, 0.5]),
    ],
)
def test_the_sizes_have_the_extremes_and_no_more_than_the_highest(changes, sizes):
    settings = CalibrationSettings.from_dict({"include": ["weight"], **changes})
    assert settings.sizes() == sizes
