# SPDX-License-Identifier: Apache-2.0
"""The streaming transducer: encoder, stateless decoder, joiner, and their training losses."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from emformer import rnnt_backend
from emformer.config import ModelConfig
from emformer.decoder import Decoder
from emformer.encoder import States, StreamingEncoder
from emformer.joiner import Joiner

BLANK_ID = 0


class TransducerOutput(NamedTuple):
    """What a training pass gives.

    N: batch size; T: encoder frames; P: prune range; V: vocabulary; D: encoder dimension.

    Args:
      simple_loss: Loss of the simple joiner an utterance, of shape ``(N,)``.
      pruned_loss: Loss of the real joiner on the pruned lattice, of shape ``(N,)``.
      ranges: First symbol position to the last at each frame, of shape ``(N, T, P)``.
      logits: The pruned lattice, of shape ``(N, T, P, V)``.
      encoder_out: What the encoder gave, of shape ``(N, T, D)``.
      encoder_lens: Valid encoder frames, of shape ``(N,)``.
    """

    simple_loss: Tensor
    pruned_loss: Tensor
    ranges: Tensor
    logits: Tensor
    encoder_out: Tensor
    encoder_lens: Tensor


class Transducer(nn.Module):
    """A streaming transducer trained with the pruned RNN-T loss.

    See Kuang et al., "Pruned RNN-T for fast, memory-efficient ASR training", Interspeech 2022.

    N: batch size; F: feature dimension; J: joiner dimension; V: vocabulary; S: segment.
    """

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.context_size = config.context_size
        self.encoder = StreamingEncoder(config)
        self.decoder = Decoder(vocab_size, config.decoder_dim, config.context_size, BLANK_ID)
        self.joiner = Joiner(config.encoder_dim, config.decoder_dim, config.joiner_dim, vocab_size)
        # The simple joiner: it finds the lattice's band in training and is not deployed.
        self.simple_am_proj = nn.Linear(config.encoder_dim, vocab_size)
        self.simple_lm_proj = nn.Linear(config.decoder_dim, vocab_size)

    def forward(
        self,
        x: Tensor,
        x_lens: Tensor,
        y: Tensor,
        y_lens: Tensor,
        prune_range: int,
        lm_scale: float = 0.0,
        am_scale: float = 0.0,
        rnnt_type: str = "regular",
        ranges: Tensor | None = None,
    ) -> TransducerOutput:
        """A training pass.

        Args:
          x: Log-mel features of shape ``(N, num_frames, F)``.
          x_lens: Valid frames, of shape ``(N,)``, as ``y_lens`` best on the CPU.
          y: Symbols of shape ``(N, U)``, padded with blank.
          y_lens: Valid symbols, of shape ``(N,)``.
          prune_range: Symbols a frame of the pruned lattice, P.
          lm_scale: Share of the decoder-only term in the simple loss.
          am_scale: Share of the encoder-only term in the simple loss.
          rnnt_type: ``regular``, or ``modified`` for at most one symbol a frame.
          ranges: Prune ranges of another pass over the same batch, of shape ``(N, T, P)``, to get
            a lattice that aligns with that pass's cell by cell.
        """
        encoder_out, encoder_lens = self.encoder(x, x_lens)
        blank = torch.full((y.size(0), 1), BLANK_ID, dtype=y.dtype, device=y.device)
        decoder_out = self.decoder(torch.cat([blank, y], dim=1))

        # boundary: [first symbol, first frame, number of symbols, number of frames]
        boundary = torch.zeros((x.size(0), 4), dtype=torch.int64, device=encoder_lens.device)
        boundary[:, 2], boundary[:, 3] = y_lens, encoder_lens
        boundary = boundary.to(x.device, non_blocking=True)

        # The losses are long sums of exponentials: float32, whatever the model runs in.
        with torch.autocast(device_type=x.device.type, enabled=False):
            simple_loss, gradients = rnnt_backend.rnnt_loss_smoothed(
                lm=self.simple_lm_proj(decoder_out.float()),
                am=self.simple_am_proj(encoder_out.float()),
                symbols=y,
                termination_symbol=BLANK_ID,
                lm_only_scale=lm_scale,
                am_only_scale=am_scale,
                boundary=boundary,
                rnnt_type=rnnt_type,
                reduction="none",
                return_grad=True,
            )
        if ranges is None:
            ranges = rnnt_backend.get_rnnt_prune_ranges(
                px_grad=gradients[0], py_grad=gradients[1], boundary=boundary, s_range=prune_range
            )
        pruned_am, pruned_lm = rnnt_backend.do_rnnt_pruning(
            am=self.joiner.encoder_proj(encoder_out),
            lm=self.joiner.decoder_proj(decoder_out),
            ranges=ranges,
        )
        logits = self.joiner(pruned_am, pruned_lm)
        with torch.autocast(device_type=x.device.type, enabled=False):
            pruned_loss = rnnt_backend.rnnt_loss_pruned(
                logits=logits.float(),
                symbols=y,
                ranges=ranges,
                termination_symbol=BLANK_ID,
                boundary=boundary,
                rnnt_type=rnnt_type,
                reduction="none",
            )
        return TransducerOutput(simple_loss, pruned_loss, ranges, logits, encoder_out, encoder_lens)

    # What decoding needs.

    @property
    def chunk_frames(self) -> int:
        """Feature frames (100 Hz) that a chunk consumes."""
        return self.encoder.chunk_frames

    @property
    def window_frames(self) -> int:
        """Feature frames (100 Hz) that a chunk sees: its own and the look-ahead."""
        return self.encoder.window_frames

    def num_chunks(self, x_len: int) -> int:
        """Chunks that cover an utterance of ``x_len`` frames."""
        return int(self.encoder.num_chunks(torch.tensor(x_len)))

    def encode(self, x: Tensor, x_lens: Tensor) -> tuple[Tensor, Tensor]:
        """Simulated streaming: ``(N, num_frames, F)`` to ``(N, T, J)`` and lengths ``(N,)``."""
        out, lens = self.encoder(x, x_lens)
        return self.joiner.encoder_proj(out), lens

    def encode_chunk(self, x: Tensor, states: States | None) -> tuple[Tensor, States]:
        """True streaming: ``(N, window_frames, F)`` to ``(N, S, J)`` and the new states."""
        out, states = self.encoder.forward_chunk(x, states)
        return self.joiner.encoder_proj(out), states

    def predict(self, y: Tensor) -> Tensor:
        """Decoder output ``(N, J)`` for histories ``(N, context_size)``; -1 is no symbol yet."""
        return self.joiner.decoder_proj(self.decoder(y, need_pad=False)).squeeze(1)

    def join(self, encoder_out: Tensor, decoder_out: Tensor) -> Tensor:
        """Logits ``(..., V)`` of projected ``(..., J)`` tensors."""
        return self.joiner(encoder_out, decoder_out)


def make_model(config: ModelConfig, vocab_size: int) -> Transducer:
    """A freshly initialised transducer."""
    return Transducer(config, vocab_size)


def num_deployed_parameters(model: nn.Module) -> int:
    """Parameters of the recogniser, without the simple joiner that only training uses."""
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith("simple_"))
