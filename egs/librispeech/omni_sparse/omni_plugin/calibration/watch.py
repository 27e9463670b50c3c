# SPDX-License-Identifier: Apache-2.0
"""Sees where a model multiplies by a weight, whatever class of module does it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from omni_plugin.errors import OmniError

_CONVOLUTIONS = (torch.conv1d, torch.conv2d)
_PRODUCTS = (F.linear, *_CONVOLUTIONS)
_SUMS = ("add", "add_", "__add__", "__iadd__", "__radd__")


@dataclass
class Use:
    """A weight that is about to be used.

    Args:
      name: Of the weight.
      rows: What it is multiplied by, of shape ``(rows, inputs)``; for a layer norm, its input.
      bias: The parameter that is added, if any.
      eps: Of a layer norm; None for a product.
      residual: What the product will be added to, in its rows; None for other uses.
    """

    name: str
    rows: Tensor
    bias: nn.Parameter | None
    eps: float | None = None
    residual: Tensor | None = None


@dataclass
class _Product:
    """A product that will be added to something, and how to make it again."""

    use: Use
    weight: Tensor
    out: Tensor
    again: Callable[[], Tensor]


class Watch(TorchFunctionMode):
    """While it is open, tells each product and layer norm with a watched weight before it is made.

    Products of ``residuals`` are told later: when they, or a view of all of them, are added to
    something of the same shape. If the weight was changed by then, they are made again.

    A weight is recognised by identity. Subclasses of ``nn.Linear`` may multiply by something made
    of it (a scaled weight), so theirs are told before they run, by :func:`owners`.

    Args:
      names: Of the watched weights, by ``id``.
      tell: Called with each use.
      residuals: Names of weights.
    """

    def __init__(
        self,
        names: Mapping[int, str],
        tell: Callable[[Use], None],
        residuals: Set[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.names, self.tell, self.residuals = names, tell, residuals
        self._products: dict[str, _Product] = {}

    def __enter__(self):
        _here.watch = self
        return super().__enter__()

    def __exit__(self, *error):
        _here.watch = None
        return super().__exit__(*error)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in _PRODUCTS:
            use = self._use(func, *args, **kwargs)
            if use is not None and use.name in self.residuals:
                out = func(*args, **kwargs)
                weight = args[1] if len(args) > 1 else kwargs["weight"]
                again = functools.partial(func, *args, **kwargs)
                self._products[use.name] = _Product(use, weight, out, again)
                return out
            if use is not None:
                self.tell(use)
        elif func is F.layer_norm:
            self._norm(*args, **kwargs)
        elif self._products and getattr(func, "__name__", "") in _SUMS and not kwargs:
            self._sum(*args)
        return func(*args, **kwargs)

    def _use(self, func, input, weight, bias=None, *where, **more) -> Use | None:
        name = self.names.get(id(weight))
        if name is None:
            return None
        if func in _CONVOLUTIONS:
            module = nn.Conv1d if func is torch.conv1d else nn.Conv2d
            _check_plain(name, module.__name__, where, more)
        return Use(name, _rows(input, weight), bias)

    def _sum(self, one, other) -> None:
        for name, product in self._products.items():
            for a, b in ((one, other), (other, one)):
                if _is_all_of(a, product.out) and isinstance(b, Tensor) and a.shape == b.shape:
                    del self._products[name]
                    self._tell_residual(product, a, b)
                    return

    def _tell_residual(self, product: _Product, view: Tensor, residual: Tensor) -> None:
        # The same view of other memory: its elements lie where those of the product do.
        like = torch.empty_like(product.out)
        offset = view.storage_offset() - product.out.storage_offset()
        like.as_strided(view.shape, view.stride(), offset).copy_(residual)
        before = product.weight._version
        self.tell(replace(product.use, residual=_rows(like, product.weight)))
        if product.weight._version != before:
            product.out.copy_(product.again())

    def _norm(self, input, shape, weight=None, bias=None, eps=1e-5) -> None:
        name = self.names.get(id(weight))
        if name is not None and len(shape) == 1:
            self.tell(Use(name, input.reshape(-1, input.size(-1)), bias, eps))


def _rows(x: Tensor, weight: Tensor) -> Tensor:
    """Inputs or outputs of a product as rows; those of a convolution have channels first."""
    if weight.dim() > 2:
        x = x.movedim(-weight.dim() + 1, -1)
    return x.reshape(-1, x.size(-1))


def _is_all_of(view: Any, tensor: Tensor) -> bool:
    """Whether it is the tensor, or a view of all of it."""
    return (
        isinstance(view, Tensor)
        and view.data_ptr() == tensor.data_ptr()
        and view.numel() == tensor.numel()
    )


def residuals(model: nn.Module, call: Callable[[nn.Module], Any], names: Set[str]) -> set[str]:
    """Which of the weights' products a call adds to something, as residual units do."""
    by_name, found = dict(model.named_parameters()), set()
    ids = {id(by_name[name]): name for name in names}
    with torch.no_grad(), owners(model, ids):
        with Watch(ids, lambda use: use.residual is None or found.add(use.name), set(names)):
            call(model)
    return found


def _check_plain(name: str, kind: str, where: tuple, more: Mapping) -> None:
    """Raises OmniError if a pointwise convolution leaves out positions, pads, or has groups."""
    given = dict(zip(("stride", "padding", "dilation", "groups"), where, strict=False))
    plain = {"stride": 1, "padding": 0, "groups": 1}
    for setting, value in {**given, **more}.items():
        values = set(value) if isinstance(value, (tuple, list)) else {value}
        if setting in plain and values != {plain[setting]}:
            raise OmniError(
                f"{name}: {kind} with {setting} {value} is not calibrated, only with "
                f"{plain[setting]}; exclude it"
            )


# The watch that is open in this thread.
_here = threading.local()


@contextmanager
def owners(model: nn.Module, names: Mapping[int, str]):
    """While it is open, subclasses of ``nn.Linear`` tell a watched weight before they run."""
    handles = []
    for module in model.modules():
        if isinstance(module, nn.Linear) and type(module) is not nn.Linear:
            name = names.get(id(module.weight))
            if name is not None:
                handles.append(module.register_forward_pre_hook(functools.partial(_tell, name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tell(name: str, module: nn.Linear, args: tuple) -> None:
    watch = getattr(_here, "watch", None)
    if watch is not None:
        watch.tell(Use(name, _rows(args[0], module.weight), None))
