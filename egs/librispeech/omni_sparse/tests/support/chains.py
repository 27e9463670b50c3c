# SPDX-License-Identifier: Apache-2.0
"""A chain for the tiny model, as a system's file has it."""

CHAIN = {
    "levels": [0.5, 0.75],
    "chain": {"shares": [0.5, 1.0], "epochs": 2, "calibration": {"seconds": 20.0}},
    "sparsity": {
        "include": [r"^encoder\.emformer\."],
        "ramp": {"name": "linear", "start": 0.0, "end": 0.0},
        "grow_from": 1.0,
        "freeze_from": 0.0,
    },
}
