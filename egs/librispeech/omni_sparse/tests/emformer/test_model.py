# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from emformer.config import ModelConfig, TrainingConfig
from emformer.decoder import Decoder
from emformer.model import BLANK_ID, make_model, num_deployed_parameters
from emformer.training.loss import Batch, loss_scales, transducer_loss
from tests.support.optional_packages import torchaudio_or_skip

CONFIG = ModelConfig(
    encoder_dim=16, num_heads=2, ffn_dim=32, num_layers=2, dropout=0.0, segment=4,
    right_context=1, left_context=8, decoder_dim=16, joiner_dim=16,
)  # fmt: skip
VOCAB = 12


def _batch() -> Batch:
    torch.manual_seed(0)
    lens, y_lens = torch.tensor([90, 64]), torch.tensor([5, 3])
    y = torch.randint(1, VOCAB, (2, 5))
    y[1, 3:] = BLANK_ID
    return Batch(torch.randn(2, 90, 80) * 4 - 7, lens, y, y_lens)


def _forward(model, batch, **options):
    args = batch.features, batch.feature_lens, batch.symbols, batch.symbol_lens
    return model(*args, **{"prune_range": 6, **options})


def _full_lattice(model, batch):
    """Logits ``(N, T, U + 1, V)`` through the pieces that decoding uses."""
    enc, lens = model.encode(batch.features, batch.feature_lens)
    first = torch.full((2, 1), BLANK_ID)
    history = torch.cat([torch.full((2, 1), -1), first, batch.symbols], dim=1)
    dec = torch.stack([model.predict(history[:, u : u + 2]) for u in range(6)], dim=1)
    return model.join(enc.unsqueeze(2), dec.unsqueeze(1)), lens


def test_pruned_loss_over_all_symbols_equals_torchaudio():
    functional = torchaudio_or_skip("torchaudio.functional")
    model, batch = make_model(CONFIG, VOCAB), _batch()
    out = _forward(model, batch)
    logits, lens = _full_lattice(model, batch)
    expected = functional.rnnt_loss(
        logits, batch.symbols.int(), lens.int(), batch.symbol_lens.int(), blank=BLANK_ID,
        reduction="none",
    )  # fmt: skip
    torch.testing.assert_close(out.pruned_loss, expected, atol=1e-3, rtol=0)


def test_lattices_of_the_same_ranges_align():
    model, batch = make_model(CONFIG, VOCAB), _batch()
    first = _forward(model, batch, prune_range=3)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    second = _forward(model, batch, prune_range=3, ranges=first.ranges)
    assert torch.equal(first.ranges, second.ranges)
    assert second.logits.shape == first.logits.shape


def test_every_deployed_parameter_learns():
    model = make_model(CONFIG, VOCAB)
    loss, _ = transducer_loss(model, _batch(), TrainingConfig(), 10, 10)
    loss.backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_the_simple_joiner_is_not_counted_as_deployed():
    model = make_model(CONFIG, VOCAB)
    everything = sum(p.numel() for p in model.parameters())
    simple = 2 * (16 * VOCAB + VOCAB)
    assert num_deployed_parameters(model) == everything - simple


def test_loss_is_per_encoder_frame():
    model, batch = make_model(CONFIG, VOCAB), _batch()
    loss, info = transducer_loss(model, batch, TrainingConfig(), 10, 10)
    assert info["frames"] == (6 + 4) * 4  # whole chunks of 16 frames: 90 -> 6, 64 -> 4
    assert float(loss) == pytest.approx(info["loss"] / info["frames"])


def test_the_pruned_loss_is_phased_in():
    config = TrainingConfig(loss_warmup_fraction=0.1, simple_loss_scale=0.5)
    assert loss_scales(config, 0, 100) == pytest.approx((1.0, 0.1))
    assert loss_scales(config, 5, 100) == pytest.approx((0.75, 0.55))
    assert loss_scales(config, 10, 100) == pytest.approx((0.5, 1.0))
    assert loss_scales(config, 99, 100) == pytest.approx((0.5, 1.0))


def test_decoder_sees_only_its_context():
    decoder = Decoder(VOCAB, 8, context_size=2, blank_id=BLANK_ID)
    y = torch.tensor([[3, 4, 5, 6]])
    other = torch.tensor([[9, 4, 5, 6]])
    assert torch.equal(decoder(y)[:, 2:], decoder(other)[:, 2:])
    assert not torch.equal(decoder(y)[:, 1], decoder(other)[:, 1])


def test_decoder_without_padding_gives_the_same_steps():
    decoder = Decoder(VOCAB, 8, context_size=2, blank_id=BLANK_ID)
    y = torch.tensor([[3, 4, 5, 6]])
    torch.testing.assert_close(decoder(y, need_pad=False), decoder(y)[:, 1:])


def test_no_symbol_yet_embeds_as_padding():
    decoder = Decoder(VOCAB, 8, context_size=2, blank_id=BLANK_ID)
    start = decoder(torch.tensor([[-1, BLANK_ID]]), need_pad=False)
    torch.testing.assert_close(start, decoder(torch.tensor([[BLANK_ID]])))
