# SPDX-License-Identifier: Apache-2.0
"""Chunk-wise encoding of many utterances at once."""

from collections.abc import Iterator

import torch
from torch import Tensor

from emformer.encoder import States
from emformer.frontend import pad_after_end
from emformer.model import Transducer


def encode_chunk_by_chunk(
    model: Transducer, x: Tensor, x_lens: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Encode utterances as a server would: window after window, with a state between them.

    All utterances start together, so at each step every stream that is left has the same age.
    This is needed: torchaudio's `Emformer.infer` reads from the first stream of a call how much
    left context there is and applies that to all, so an older stream beside a younger one would
    change the younger one's attention. A stream that has ended is dropped from the states, so
    it costs nothing more; putting a new utterance into its place is what the above forbids.

    Args:
        model: the transducer.
        x: features of shape `(N, T, F)` at 100 Hz.
        x_lens: valid frames, of shape `(N,)`.

    Yields:
        For each chunk the output of shape `(N, S, J)` and the valid encoder frames of each
        stream in it, of shape `(N,)`: S, or 0 where the utterance has ended (zeros in the
        output).
    """
    chunks = [model.num_chunks(n) for n in x_lens.tolist()]
    step, window = model.chunk_frames, model.window_frames
    x = pad_after_end(x, x_lens, (max(chunks) - 1) * step + window)
    alive = [n for n, count in enumerate(chunks) if count > 0]
    states: States | None = None
    for i in range(max(chunks)):
        still = [n for n in alive if chunks[n] > i]
        if states is not None and len(still) < len(alive):
            states = keep_streams(states, [alive.index(n) for n in still])
        alive = still
        out, states = model.encode_chunk(x[alive, i * step : i * step + window], states)
        block = out.new_zeros(len(chunks), *out.shape[1:])
        block[alive] = out
        lens = torch.zeros(len(chunks), dtype=torch.int64)
        lens[alive] = out.size(1)
        yield block, lens


def keep_streams(states: States, positions: list[int]) -> States:
    """The states of the streams at some positions; the batch is dimension 1 of every tensor."""
    return [[tensor[:, positions] for tensor in layer] for layer in states]
