# SPDX-License-Identifier: Apache-2.0
"""Prunes a trained model in closed form: no training, a few hundred utterances without texts."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from omni_plugin.calibration.least_squares import least_squares
from omni_plugin.calibration.levels import Curve, error_curve, levels_by_curves
from omni_plugin.calibration.moments import Moments
from omni_plugin.calibration.norm_moments import NormMoments
from omni_plugin.calibration.obs import obs_scores
from omni_plugin.calibration.scores import block_scores
from omni_plugin.calibration.settings import CalibrationSettings
from omni_plugin.calibration.shared import shared_least_squares
from omni_plugin.calibration.walk import Call, Stop, Walk
from omni_plugin.calibration.watch import residuals
from omni_plugin.errors import OmniError
from omni_plugin.patterns import NMPattern
from omni_plugin.supernet import SubNet, SuperNet
from omni_plugin.supernet.supernet import Choice


class Calibration:
    """Sub-networks of a trained model with weights in closed form.

    Each layer, in the order in which they run, gets the weights that make the best of its mask and
    of the inputs that the layers before it give, as pruned as they are: least squares against the
    whole model's outputs. So it also mends what they have lost.

    Args:
      model: In eval mode; it stays as it is.
      calls: Forward passes over some data, such as ``[lambda m: m(batch1), lambda m: m(batch2)]``.
        Each is run at once in all models, see :class:`Walk`; batches without much padding.
      settings: See :class:`CalibrationSettings`.
      ranks: Of the blocks, by name, in place of the settings' score.

    Attributes:
      supernet: The model and its masks.
      curves: Error curves by name, with the allocation ``curves``.
      errors: By name, of the last sub-network: squared error of the layer's outputs as a share of
        the whole model's.

    Raises:
      OmniError: The rules cover nothing; a covered weight is not used as a matrix, or not always in
        the same order; inputs are not finite.

    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8)).eval()
    >>> batch = torch.randn(100, 16)
    >>> calibration = Calibration(model, [lambda model: model(batch)])
    >>> sparse = calibration.model(0.5)
    >>> int((sparse[0].weight == 0).sum()), sorted(calibration.errors)
    (256, ['0.weight', '2.weight'])
    """

    def __init__(
        self,
        model: nn.Module,
        calls: Iterable[Call],
        settings: CalibrationSettings | None = None,
        ranks: dict[str, Tensor] | None = None,
    ) -> None:
        self.settings = settings or CalibrationSettings()
        own = self.settings
        self.calls: Sequence[Call] = list(calls)
        self.supernet = SuperNet(model, own.pattern, own.include, own.exclude, own.max_sparsity)
        self._residuals: set[str] = set()
        if own.residual and self.calls:
            self._residuals = residuals(model, self.calls[0], set(self.supernet.layer_names))
        self.curves: dict[str, Curve] = {}
        self.errors: dict[str, float] = {}
        if ranks is not None:
            self.supernet.set_ranks(ranks)
        curves = own.allocation == "curves"
        # Levels with an order of their own need none before, unless their curves do.
        rank = ranks is None and own.score != "magnitude" and (own.nested or curves)
        if rank or curves:
            self._look(rank)

    # What is seen in the whole model.

    def _look(self, rank: bool) -> None:
        """Rank the blocks, and measure error curves if wanted."""
        own, pattern = self.settings, self.supernet.pattern
        ranks = self.supernet.ranks()
        with Walk([self.supernet.model], self.calls, self.supernet.layer_names) as walk:
            for stop in walk:
                moments = self._moments(stop, 0)
                if rank:
                    bias = own.biases and _bias(stop, 0) is not None
                    scores = block_scores(own.score, moments, pattern, own.damping, bias)
                    ranks[stop.name] = pattern.rank(scores)
                if own.allocation == "curves":
                    curve = error_curve(moments, ranks[stop.name], pattern, own.damping)
                    self.curves[stop.name] = curve
        self.supernet.set_ranks(ranks)

    def subnet(self, choice: Choice) -> SubNet:
        """The sub-network of a choice; a level for all weights is shared out by the settings.

        Raises:
          OmniError: See :meth:`SuperNet.subnet`; or it cannot be shared out.
        """
        found = self.supernet.subnet(choice)
        if self.settings.allocation == "uniform" or len(set(found.levels)) > 1 or found.is_dense:
            return found
        pattern, sizes = self.supernet.pattern, self.supernet.layer_sizes
        shapes = {n: m.shape for n, m in self.supernet.mask("dense").items()}
        names = self.supernet.layer_names
        blocks = {n: s // pattern.block_size for n, s in zip(names, sizes, strict=True)}
        units, most = None, self.settings.max_layer_sparsity
        if isinstance(pattern, NMPattern):
            units = {n: shapes[n][0] * (shapes[n][1] // pattern.m) for n in names}
            most = min(most, 1 - pattern.n / pattern.m)
        curves = {n: self.curves[n] for n in names}
        pruned = self.supernet.num_zeros(found) // pattern.block_size
        levels = levels_by_curves(curves, blocks, pruned, most, units)
        return self.supernet.subnet([levels[n] for n in names], found.name)

    # Sub-networks.

    def model(self, choice: Choice) -> nn.Module:
        """A copy of the model that is a sub-network, with plain weights."""
        return self._fit([self.subnet(choice)], None)[0]

    def models(self, choices: Sequence[Choice]) -> list[nn.Module]:
        """As :meth:`model` of each, all at once: the whole model runs once for all of them.

        What is held grows with their number. :attr:`errors` are of the last.
        """
        return self._fit([self.subnet(choice) for choice in choices], None)

    def shared(self, choices: Sequence[Choice], shares: Sequence[float]) -> nn.Module:
        """A copy of the model with one set of weights for several sub-networks.

        Their masks are :attr:`supernet`'s ranks; make a :class:`SuperNet` of it and set them.
        Biases and norms stay as they were trained.

        Args:
          choices: Sub-networks; 0 or "dense" is the whole model itself.
          shares: How much the error of each counts.

        Raises:
          OmniError: The levels are not nested.
        """
        if not self.settings.nested:
            raise OmniError("one set of weights for several levels: they must be nested")
        return self._fit([self.subnet(choice) for choice in choices], list(shares))[-1]

    def _fit(self, subnets: Sequence[SubNet], shares: list[float] | None) -> list[nn.Module]:
        """Copies of the model for each sub-network, and the shared one behind them."""
        whole = self.supernet.model
        models = [copy.deepcopy(whole) for _ in subnets]
        masks = [self.supernet.mask(subnet) for subnet in subnets]
        shared = copy.deepcopy(whole) if shares else None
        self.errors = {}
        norms = _norms(whole) if self.settings.norms and not shares else {}
        names = [*self.supernet.layer_names, *norms]
        with torch.no_grad(), Walk([whole, *models], self.calls, names, self._residuals) as walk:
            for stop in walk:
                if stop.name in norms:
                    self._fit_norm(stop, models)
                elif shares:
                    new = self._shared_weight(stop, [m[stop.name] for m in masks], shares)
                    shared.get_parameter(stop.name).copy_(new)
                    for model, mask in zip(models, masks, strict=True):
                        model.get_parameter(stop.name).copy_(new * mask[stop.name])
                else:
                    for number, (model, mask) in enumerate(zip(models, masks, strict=True), 1):
                        self._fit_weight(stop, number, model, mask[stop.name])
        return [*models, shared] if shares else models

    def _moments(self, stop: Stop, number: int) -> Moments:
        """Of a layer's inputs in the whole model and in the one of a number."""
        added = stop.uses[0][0].residual is not None
        moments = Moments(self.supernet.model.get_parameter(stop.name), added)
        for uses in stop.uses:
            whole, pruned = uses[0], uses[number]
            both = (whole.residual, pruned.residual) if added else None
            moments.add(whole.rows, pruned.rows, stop.name, both)
        return moments

    def _fit_weight(self, stop: Stop, number: int, model: nn.Module, mask: Tensor) -> None:
        own, bias = self.settings, _bias(stop, number)
        mask = mask.flatten(1).bool()
        moments = self._moments(stop, number)
        own_bias = own.biases and bias is not None
        gram, target = moments.centred() if own_bias else (moments.gram, moments.target)
        if not own.nested:
            mask = self._own_mask(gram, target, moments.weight, mask)
        new = moments.weight * mask
        if own.least_squares:
            new = least_squares(gram, target, moments.weight, mask, own.damping)
        change = None
        if own_bias:
            change = moments.bias_change(new)
            bias.copy_(_bias(stop, 0).double() + change)
        parameter = model.get_parameter(stop.name)
        parameter.copy_(new.view_as(parameter))
        self.errors[stop.name] = moments.error(new, change)
        logging.debug("%s: error %.4f", stop.name, self.errors[stop.name])

    def _own_mask(self, gram: Tensor, target: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
        """A mask with as many blocks, from the best weights that there are without one."""
        own, pattern = self.settings, self.supernet.pattern
        best = least_squares(gram, target, weight, torch.ones_like(mask), own.damping)
        ranks = pattern.rank(obs_scores(best, gram, pattern, own.damping))
        g, h = pattern.grid(weight.shape)
        level = int((~mask).sum()) / (g * h * pattern.block_size)
        return pattern.expand(pattern.keep(ranks, level), weight.shape)

    def _shared_weight(self, stop: Stop, masks: Sequence[Tensor], shares: list[float]) -> Tensor:
        found = [self._moments(stop, number) for number in range(1, len(masks) + 1)]
        flat = [mask.flatten(1).bool() for mask in masks]
        grams, targets = [m.gram for m in found], [m.target for m in found]
        new = shared_least_squares(
            grams, targets, found[0].weight, flat, shares, self.settings.damping
        )
        return new.view_as(masks[0])

    def _fit_norm(self, stop: Stop, models: Sequence[nn.Module]) -> None:
        if not self.errors:  # before the first pruned layer all is as it was
            return
        whole = self.supernet.model.get_parameter(stop.name)
        for number, model in enumerate(models, 1):
            bias = _bias(stop, number)
            if bias is None:
                continue
            moments = NormMoments(len(whole), stop.uses[0][0].eps)
            for uses in stop.uses:
                moments.add(uses[0].rows, uses[number].rows)
            weight, new_bias = moments.matched(whole, _bias(stop, 0))
            model.get_parameter(stop.name).copy_(weight)
            bias.copy_(new_bias)


def _bias(stop: Stop, number: int) -> nn.Parameter | None:
    """The bias that is added in a model, where it is a parameter."""
    bias = stop.uses[0][number].bias
    return bias if isinstance(bias, nn.Parameter) else None


def _norms(model: nn.Module) -> dict[str, nn.LayerNorm]:
    """Layer norms with a weight, by its name."""
    return {
        f"{name}.weight" if name else "weight": module
        for name, module in model.named_modules()
        if isinstance(module, nn.LayerNorm) and module.weight is not None
    }


def calibrate(
    model: nn.Module,
    calls: Iterable[Call],
    choice: Choice,
    settings: CalibrationSettings | None = None,
) -> nn.Module:
    """A sub-network of a trained model; see :class:`Calibration`."""
    return Calibration(model, calls, settings).model(choice)
