# SPDX-License-Identifier: Apache-2.0
"""Runs a recipe's model masked and baked, in a process of its own, and prints JSON.

Arguments: RECIPE, EXP_DIR, EPOCH, USE_AVERAGED_MODEL, BAKED, LEVEL.
"""

import json
import sys
from pathlib import Path

import torch

from omni_plugin.icefall.bake import make_baker
from omni_plugin.icefall.recipe import import_recipe, model_function
from omni_plugin.icefall.source import Source, load_any
from omni_plugin.icefall.sparsity import SparsitySession
from omni_plugin.icefall.weights import masked


def outputs(model: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """What the encoder gives for features of shape ``(N, T, F)``, and the joiner for its start."""
    lens = torch.full((len(x),), x.size(1))
    if hasattr(model, "forward_encoder"):
        out, _ = model.forward_encoder(x, lens)
    elif hasattr(model.encoder, "chunks"):  # the stand-in
        out = model.encoder(x)
    else:
        out, _ = model.encoder(x, lens)
    context = torch.ones(len(x), 2, dtype=torch.int64)
    options = {"need_pad": False} if hasattr(model.decoder, "context_size") else {}
    lm = model.decoder(context, **options)[:, :1]
    return [out, model.joiner(out[:, :1].unsqueeze(2), lm.unsqueeze(2))]


@torch.no_grad()
def main(recipe: str, exp_dir: str, epoch: str, use_averaged: str, baked: str, level: str) -> None:
    train = import_recipe(recipe)
    baker = make_baker(Path(recipe), Source(Path(exp_dir), int(epoch), 0, 1, use_averaged == "1"))
    params = train.get_params()
    params.update(baker.params)
    model = getattr(train, model_function(vars(train)))(params)
    model.load_state_dict(baker.dense, strict=True)
    session = SparsitySession(model, params)
    supernet = session.omni.supernet
    supernet.set_ranks(baker.state["ranks"])
    model.eval()
    x = torch.randn(2, 200, params.get("feature_dim", 8))
    dense = outputs(model, x)
    supernet.set_active_subnet(float(level))
    with masked(supernet, session.recurrent):
        sparse = outputs(model, x)
    weights = load_any(Path(baked))["model"]
    model.load_state_dict(weights, strict=True)
    plain = outputs(model, x)
    zeros = sum(int((weights[name] == 0).sum()) for name in supernet.layer_names)
    said = {
        "equal": all(map(torch.equal, sparse, plain)),
        "equals_dense": any(map(torch.equal, sparse, dense)),
        "zeros": zeros / sum(supernet.layer_sizes),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
