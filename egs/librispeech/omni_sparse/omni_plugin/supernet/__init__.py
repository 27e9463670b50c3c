# SPDX-License-Identifier: Apache-2.0
"""The wrapper: choose a sub-network, switch, list the weights it covers, bake it."""

from omni_plugin.supernet.coverage import CoveredWeight, find_weights
from omni_plugin.supernet.subnet import SubNet
from omni_plugin.supernet.supernet import SuperNet

__all__ = ["CoveredWeight", "SubNet", "SuperNet", "find_weights"]
