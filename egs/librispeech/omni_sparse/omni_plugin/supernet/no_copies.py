# SPDX-License-Identifier: Apache-2.0
"""Modules that hold masked weights for a while refuse to be copied: a copy would keep them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from torch import nn

from omni_plugin.errors import OmniError

_WAYS = ("__deepcopy__", "__reduce_ex__")  # of copy.copy, copy.deepcopy, pickle and torch.save


def _refuse(*_: object) -> NoReturn:
    raise OmniError(
        "the model cannot be copied while masked() is open: the copy would keep the masked weights "
        "for good; close it first, or copy its state_dict(), which is that of the dense weights"
    )


@contextmanager
def no_copies(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Within it, copying or pickling one of the modules, or a model that has it, is an error.

    Python asks the object for these methods before its class, so the class stays what it is.
    """
    found = list(modules)
    try:
        for module in found:
            module.__dict__.update(dict.fromkeys(_WAYS, _refuse))
        yield
    finally:
        for module in found:
            for way in _WAYS:
                module.__dict__.pop(way, None)
