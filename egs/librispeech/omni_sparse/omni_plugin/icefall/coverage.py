# SPDX-License-Identifier: Apache-2.0
"""What a supernet of a recipe's model can prune, by class of module, before anything is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from omni_plugin.icefall.options import add_options, settings_of
from omni_plugin.icefall.recipe import import_recipe, model_function
from omni_plugin.icefall.sparsity import settings_for
from omni_plugin.icefall.weights import Recurrent, kept_dense
from omni_plugin.supernet import SuperNet
from omni_plugin.training import make_supernet

#: What recipes read from their tokenizer, which is not needed here.
_TOKENS = {"blank_id": 0, "sos_id": 1, "eos_id": 1, "unk_id": 2}


def make_model(recipe: Path, arguments: Sequence[str], vocab_size: int) -> tuple[nn.Module, Any]:
    """A recipe's model, new, and its params with the ``--omni-*`` options.

    Args:
      recipe: Its folder.
      arguments: Those of its train.py, and ``--omni-*``.
      vocab_size: Symbols.
    """
    train = import_recipe(recipe)
    parser = train.get_parser()
    add_options(parser)
    # What train.main() adds; compute_loss may read some of it.
    for name, value in vars(train).items():
        if name.endswith("AsrDataModule"):
            value.add_arguments(parser)
    params = train.get_params()
    params.update(vars(parser.parse_args(list(arguments))))
    params.update({**_TOKENS, "vocab_size": vocab_size})
    return getattr(train, model_function(vars(train)))(params), params


def supernet_of(model: nn.Module, params: Any) -> SuperNet:
    """The supernet that `train` would train."""
    with Recurrent(model).hidden():
        return make_supernet(model, settings_for(model, settings_of(params)))


def report(model: nn.Module, supernet: SuperNet) -> str:
    """Parameters and how many can be pruned, in all and by the class that owns them."""
    pairs = zip(supernet.layer_names, supernet.layer_sizes, strict=True)
    covered = dict(pairs)
    total, inside = Counter(), Counter()
    for name, parameter in model.named_parameters():
        owner = type(model.get_submodule(name.rpartition(".")[0])).__name__
        total[owner] += parameter.numel()
        inside[owner] += covered.get(name, 0)
    lines = [supernet.coverage().splitlines()[0], f"{'class':32} {'parameters':>11} {'covered':>8}"]
    lines += [
        f"{owner:32} {count:11} {inside[owner] / count:8.1%}"
        for owner, count in total.most_common()
    ]
    reasons = Counter()
    for name, reason in kept_dense(model, supernet.pattern).items():
        reasons[reason] += model.get_parameter(name).numel()
    lines += [f"{count} parameters of matrices stay dense: {why}" for why, count in reasons.items()]
    return "\n".join(lines)
