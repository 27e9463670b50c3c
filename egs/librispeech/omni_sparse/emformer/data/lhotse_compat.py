# SPDX-License-Identifier: Apache-2.0
"""lhotse's bucketing sampler on old and new torch.

lhotse 1.32.2 and later call ``Sampler.__init__()`` without an argument, which torch 1.13 refuses;
torch 2 has no such argument any more.
"""

from __future__ import annotations

import inspect

from torch.utils.data import Sampler

if "data_source" in inspect.signature(Sampler.__init__).parameters:

    def _init(self, data_source=None) -> None:
        pass  # torch's own does nothing with it

    Sampler.__init__ = _init

from lhotse.dataset import DynamicBucketingSampler  # noqa: E402

__all__ = ["DynamicBucketingSampler"]
