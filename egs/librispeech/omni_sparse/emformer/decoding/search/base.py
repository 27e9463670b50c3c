# SPDX-License-Identifier: Apache-2.0
"""What every transducer search shares: streams, blocks of frames, masks of finished streams."""

from abc import ABC, abstractmethod

import torch

BLANK_ID = 0


class Search(ABC):
    """A search over many streams at once whose state outlives a block of frames.

    Dimensions:
        N: streams; A: streams that are active at a frame (A <= N); T: frames of a block;
        J: dimension of the joiner; C: context size of the decoder.

    One block may hold a whole utterance (simulated streaming) or a single chunk (chunk-wise
    streaming); the code path is the same, so the two modes can only differ by the encoder.

    Example::

        search = make_search("greedy_search", model)
        search.start(2)
        search.accept(enc, lens)     # as often as there are blocks
        tokens = search.hypotheses()

    Args:
        model: gives `predict(y (A, C)) -> (A, J)`, `join((A, J), (A, J)) -> logits (A, V)`,
            `context_size` and `vocab_size`. Blank is token 0.
    """

    def __init__(self, model):
        self.model = model
        self.context_size = int(model.context_size)
        self.num_streams = 0
        self.frames: list[int] = []  # per stream: frames searched since start()
        self._predicted: torch.Tensor | None = None  # what a search keeps of the decoder's output

    def start(self, n: int) -> None:
        """Forget everything and begin `n` new streams (ValueError unless n > 0)."""
        if n < 1:
            raise ValueError(f"a search needs at least one stream, got {n}")
        self.num_streams = n
        self.frames = [0] * n
        self._reset(n)

    @torch.no_grad()
    def accept(self, enc: torch.Tensor, lens: torch.Tensor) -> None:
        """Search one more block of frames.

        Args:
            enc: encoder output of shape `(N, T, J)`, already projected for the joiner.
            lens: of shape `(N,)`, the valid frames of each stream in this block. A stream of
                length 0 is left as it is; what `enc` holds beyond a length is never read.

        Raises:
            ValueError: start() was not called, or the shapes do not fit.
        """
        if self.num_streams == 0:
            raise ValueError("call start(n) before accept()")
        if enc.dim() != 3 or enc.size(0) != self.num_streams:
            raise ValueError(
                f"expected enc of shape ({self.num_streams}, T, J), got {tuple(enc.shape)}"
            )
        if tuple(lens.shape) != (self.num_streams,):
            raise ValueError(f"expected {self.num_streams} lens, got shape {tuple(lens.shape)}")
        valid = lens.tolist()
        if min(valid) < 0 or max(valid) > enc.size(1):
            raise ValueError(f"lens {valid} do not fit a block of {enc.size(1)} frames")
        # The set of active streams only changes where some stream ends: walk from end to end.
        begin = 0
        for end in sorted(set(valid) - {0}):
            active = [i for i, length in enumerate(valid) if length >= end]
            everyone = len(active) == self.num_streams
            block = enc[:, begin:end] if everyone else enc[active, begin:end]
            self._advance(block, active)
            for i in active:
                self.frames[i] += end - begin
            begin = end

    def model_changed(self) -> None:
        """The model has other weights from now on: nothing that the old ones said is used.

        Call it between two blocks, as where a stream goes on with another sub-network. Hypotheses
        and their scores stay.
        """
        self._predicted = None

    @abstractmethod
    def _reset(self, n: int) -> None:
        """Make the state of `n` fresh streams."""

    @abstractmethod
    def _advance(self, block: torch.Tensor, active: list[int]) -> None:
        """Search all frames of `block`, of shape `(A, T, J)`, for the streams in `active`.

        `self.frames[i]` is still the number of frames searched before the block.
        """

    @abstractmethod
    def _best(self) -> list[tuple[list[int], list[int]]]:
        """For each stream the tokens of its best hypothesis and the frame of each token."""

    def hypotheses(self) -> list[list[int]]:
        """The best tokens of each stream so far, without blanks. May be called at any time."""
        return [tokens for tokens, _ in self._best()]

    def timestamps(self) -> list[list[int]]:
        """For each token of hypotheses() the frame that emitted it.

        Frames are those of the encoder (after subsampling), counted from the stream's start.
        """
        return [frames for _, frames in self._best()]

    def last_frames(self) -> list[int]:
        """For each stream the frame that emitted the last token of hypotheses(); -1 without any.

        A stream that never ends asks this after every chunk, so a search should have it at hand
        and not go through the tokens, as this does.
        """
        return [frames[-1] if frames else -1 for frames in self.timestamps()]

    def _blank_context(self, n: int) -> list[list[int]]:
        """The decoder's input before any token: nothing (-1), then one blank."""
        return [[-1] * (self.context_size - 1) + [BLANK_ID] for _ in range(n)]
