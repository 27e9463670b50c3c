# SPDX-License-Identifier: Apache-2.0
"""Layer selection by two gloo processes on one CPU: passes leave out weights."""

import pytest

from tests.omni_emformer.supernet.layer_ddp_run import WAYS
from tests.support.ranks import read_ranks, torchrun, without_gpu
from tests.support.training import difference, words, write_config

pytestmark = without_gpu


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, tiny_data) -> list[dict]:
    """What both ranks wrote."""
    out = tmp_path_factory.mktemp("ranks")
    config = write_config(out / "tiny.yaml", num_epochs=1, max_duration=9)
    torchrun("tests.omni_emformer.supernet.layer_ddp_run", out, *words(tiny_data, config, out))
    return read_ranks(out)


@pytest.mark.parametrize("way", WAYS)
def test_both_ranks_select_and_learn_the_same(ranks, way):
    one, other = (rank[way] for rank in ranks)
    assert one["updates"] == other["updates"] > 4 and one["skipped"] == 0
    assert difference(one, other) is None
    scores = one["layers"]["scores"].tolist()
    assert one["layers"]["settled_at"] is not None and len(set(scores)) > 1


@pytest.mark.parametrize("way", WAYS)
def test_the_heads_of_all_sizes_are_trained(ranks, way):
    weights = ranks[0][way]["weights"]
    own = weights["joiner.encoder_proj.weight"]
    heads = [w for n, w in weights.items() if n.endswith("joiner/encoder_proj.weight")]
    assert len(heads) == len(WAYS[way])
    assert len({float(w.sum()) for w in (own, *heads)}) == len(heads) + 1
