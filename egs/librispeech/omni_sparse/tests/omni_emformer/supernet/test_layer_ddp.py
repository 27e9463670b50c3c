# SPDX-License-Identifier: Apache-2.0
"""Layer selection by two gloo processes on one CPU: passes leave out weights."""

import pytest
import torch

from tests.conftest import torchrun
from tests.omni_emformer.supernet.layer_ddp_run import WAYS
from tests.support.training import difference, words, write_config

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="with GPUs, each process wants one of its own"
)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, tiny_data) -> list[dict]:
    """What both ranks wrote."""
    out = tmp_path_factory.mktemp("ranks")
    config = write_config(out / "tiny.yaml", num_epochs=1, max_duration=9)
    given = words(tiny_data, config, out)
    at = given.index("--exp-dir")
    torchrun("tests.omni_emformer.supernet.layer_ddp_run", str(out), *given[:at], *given[at + 2 :])
    return [torch.load(out / f"rank-{rank}.pt") for rank in (0, 1)]


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
