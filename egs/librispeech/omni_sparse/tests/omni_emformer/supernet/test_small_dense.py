# SPDX-License-Identifier: Apache-2.0
"""Small dense models are as large as what they are compared with."""

import dataclasses

import pytest

from emformer.config import ModelConfig
from emformer.decoding.model import DecodingInfo
from emformer.errors import RecipeError
from emformer.model import make_model, num_deployed_parameters
from omni_emformer.supernet.small_dense import narrower, shallower
from omni_plugin import SparsitySettings, SuperNet

VOCAB = 40
MODEL = ModelConfig(encoder_dim=48, num_heads=4, ffn_dim=192, num_layers=3)
SPARSITY = SparsitySettings(include=(r"^encoder\.emformer\.",))


def count(model: ModelConfig) -> int:
    return num_deployed_parameters(make_model(model, VOCAB))


@pytest.mark.parametrize("level", [0.3, 0.5, 0.7, 0.9])
def test_it_has_as_many_parameters_as_the_sub_network_has_non_zero_ones(level):
    supernet = SuperNet(make_model(MODEL, VOCAB), SPARSITY.pattern, SPARSITY.include)
    for p in supernet.model.parameters():
        p.data.fill_(1.0)
    info = DecodingInfo("", None, [], "", 0, 0, 0, 0.0, 0.0, "")
    info.measure(supernet.baked_model(level))
    small = narrower(MODEL, VOCAB, SPARSITY, level)
    # To half of what one more hidden unit a layer costs: a row, a column and a bias.
    step = MODEL.num_layers * (2 * small.encoder_dim + 1)
    assert abs(count(small) - info.num_nonzero) <= step / 2


def test_only_the_width_shrinks_in_proportion_and_heads_stay():
    small = narrower(MODEL, VOCAB, SPARSITY, 0.7)
    widths = {"encoder_dim": small.encoder_dim, "ffn_dim": small.ffn_dim}
    assert small == dataclasses.replace(MODEL, **widths)
    assert small.encoder_dim < MODEL.encoder_dim and small.encoder_dim % 4 == 0
    assert small.ffn_dim / small.encoder_dim == pytest.approx(4, rel=0.25)


def test_sparser_is_narrower():
    widths = [narrower(MODEL, VOCAB, SPARSITY, level).encoder_dim for level in (0.1, 0.5, 0.9)]
    assert MODEL.encoder_dim >= widths[0] > widths[1] > widths[2]


def test_where_no_model_is_so_small_it_says_so():
    # Heads of their least width are wider than what is left of wide matrices.
    thin = dataclasses.replace(MODEL, encoder_dim=16, num_heads=16, ffn_dim=4000)
    with pytest.raises(RecipeError, match="level 0.99 leaves .* parameters; the narrowest"):
        narrower(thin, VOCAB, SPARSITY, 0.99)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(RecipeError, match="sparsity: include rule 'conv' matches none"):
        narrower(MODEL, VOCAB, SparsitySettings(include=("conv",)), 0.5)


@pytest.mark.parametrize("level, layers", [(0.33, 4), (0.5, 3), (0.67, 2), (0.99, 1)])
def test_a_shallower_model_lacks_a_share_of_the_layers(level, layers):
    model = dataclasses.replace(MODEL, num_layers=6)
    assert shallower(model, level) == dataclasses.replace(model, num_layers=layers)
