# SPDX-License-Identifier: Apache-2.0
"""A transducer with the kinds of weights that icefall's models have."""

import random

import torch
from torch import nn
from torch.nn import functional as F

try:
    import k2
except ImportError:
    import fast_rnnt as k2


class ScaledLinear(nn.Linear):
    """Runs weight * exp(scale), and has its own forward."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.weight_scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, x):
        return F.linear(x, self.weight * self.weight_scale.exp(), self.bias)


class DropoutAndLinearFunction(torch.autograd.Function):
    """Goes back through the weight it was given."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight.t()

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        wide, rows = grad.to(weight.dtype), x.to(weight.dtype).flatten(0, -2)
        return (wide @ weight).to(x.dtype), wide.flatten(0, -2).t() @ rows


class DropoutAndLinear(nn.Module):
    """No nn.Linear."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * 0.2)
        self.dropout_p = 0.1

    def forward(self, x):
        if self.training:
            x = F.dropout(x, self.dropout_p)
        return DropoutAndLinearFunction.apply(x, self.weight)


class ScaledLSTM(nn.LSTM):
    """Reads its weights from lists, which the real one does too."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._scales = []
        for name in self._flat_weights_names:
            scale = nn.Parameter(torch.tensor(-0.1))
            setattr(self, name + "_scale", scale)
            self._scales.append(scale)

    def forward(self, x):
        weights = [w * s.exp() for w, s in zip(self._flat_weights, self._scales, strict=True)]
        zeros = torch.zeros(1, x.size(1), self.hidden_size)
        return torch._VF.lstm(
            x, (zeros, zeros), weights, True, 1, 0.0, self.training, False, False
        )[0]


class ScaledEmbedding(nn.Module):
    def __init__(self, number, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(number, dim))

    def forward(self, y):
        return F.embedding(y, self.weight)


class Layer(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.up, self.down = ScaledLinear(dim, 2 * dim), DropoutAndLinear(2 * dim, dim)
        self.pointwise = nn.Conv1d(dim, dim, 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        x = x + self.dropout(self.down(self.up(x).relu()))
        return x + self.pointwise(x.permute(1, 2, 0)).permute(2, 0, 1)


class Encoder(nn.Module):
    def __init__(self, features, dim, layers, lstm):
        super().__init__()
        self.embed = nn.Linear(features, dim)
        self.layers = nn.ModuleList([Layer(dim) for _ in range(layers)])
        self.lstm = ScaledLSTM(dim, dim) if lstm else None
        self.chunks = []  # drawn in training, for tests to look at

    def forward(self, x):
        x = self.embed(x).permute(1, 0, 2)
        if self.training:
            # A chunk that cannot see what is to its left, of a random length.
            self.chunks.append(random.choice([4, 8, 16]))
            x = x - x.roll(self.chunks[-1], dims=0) * 0.1
        for layer in self.layers:
            x = layer(x)
        x = self.lstm(x) if self.lstm is not None else x
        return x.permute(1, 0, 2)


class Joiner(nn.Module):
    def __init__(self, dim, vocab):
        super().__init__()
        self.encoder_proj, self.decoder_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.output_linear = nn.Linear(dim, vocab)

    def forward(self, am, lm):
        return self.output_linear(torch.tanh(am + lm))


class Transducer(nn.Module):
    def __init__(self, features, dim, layers, vocab, lstm):
        super().__init__()
        self.encoder = Encoder(features, dim, layers, lstm)
        self.decoder = ScaledEmbedding(vocab, dim)
        self.joiner = Joiner(dim, vocab)
        self.simple_am_proj, self.simple_lm_proj = nn.Linear(dim, vocab), nn.Linear(dim, vocab)

    def forward(self, x, y, prune_range=3):
        am, lm = self.encoder(x), self.decoder(F.pad(y, (1, 0)))
        boundary = torch.zeros(x.size(0), 4, dtype=torch.int64)
        boundary[:, 2], boundary[:, 3] = y.size(1), am.size(1)
        with torch.autocast("cpu", enabled=False):
            simple_loss, (px_grad, py_grad) = k2.rnnt_loss_smoothed(
                lm=self.simple_lm_proj(lm.float()),
                am=self.simple_am_proj(am.float()),
                symbols=y,
                termination_symbol=0,
                boundary=boundary,
                reduction="sum",
                return_grad=True,
            )
        ranges = k2.get_rnnt_prune_ranges(
            px_grad=px_grad, py_grad=py_grad, boundary=boundary, s_range=prune_range
        )
        am_pruned, lm_pruned = k2.do_rnnt_pruning(
            am=self.joiner.encoder_proj(am), lm=self.joiner.decoder_proj(lm), ranges=ranges
        )
        logits = self.joiner(am_pruned, lm_pruned)
        with torch.autocast("cpu", enabled=False):
            pruned_loss = k2.rnnt_loss_pruned(
                logits=logits.float(),
                symbols=y,
                ranges=ranges,
                termination_symbol=0,
                boundary=boundary,
                reduction="sum",
            )
        return simple_loss, pruned_loss
