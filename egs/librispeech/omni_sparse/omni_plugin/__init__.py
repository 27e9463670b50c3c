# SPDX-License-Identifier: Apache-2.0
"""Weight-sparsity supernets for any torch module: one training run, every size."""

from omni_plugin.errors import OmniError
from omni_plugin.settings import DistillationSettings, SparsitySettings
from omni_plugin.supernet import SubNet, SuperNet
from omni_plugin.training import OmniTraining, make_supernet

__version__ = "0.1.0"

__all__ = [
    "DistillationSettings",
    "OmniError",
    "OmniTraining",
    "SparsitySettings",
    "SubNet",
    "SuperNet",
    "make_supernet",
]
