# SPDX-License-Identifier: Apache-2.0
"""Greedy search: the best symbol of every frame, at most one token a frame."""

import torch

from emformer.decoding.search.base import BLANK_ID, Search


class GreedySearch(Search):
    """Takes the most probable symbol of each frame; blank emits nothing.

    Example::

        search = GreedySearch(model)
        search.start(1)
        search.accept(torch.randn(1, 8, joiner_dim), torch.tensor([8]))
        search.hypotheses()          # [[17, 4]]
    """

    def _reset(self, n: int) -> None:
        self._tokens: list[list[int]] = [[] for _ in range(n)]
        self._emitted_at: list[list[int]] = [[] for _ in range(n)]
        self._context = self._blank_context(n)
        self._predicted = None  # (N, J), of each stream's context

    def _advance(self, block: torch.Tensor, active: list[int]) -> None:
        device = block.device
        if self._predicted is None:
            self._predicted = self.model.predict(torch.tensor(self._context, device=device))
        predicted = self._predicted[active]
        for t in range(block.size(1)):
            best = self.model.join(block[:, t], predicted).argmax(dim=-1).tolist()
            emitted = [a for a, token in enumerate(best) if token != BLANK_ID]
            if not emitted:
                continue
            for a in emitted:
                self._emit(active[a], best[a], self.frames[active[a]] + t)
            # The decoder is stateless: only streams that emitted have a new prediction.
            context = torch.tensor([self._context[active[a]] for a in emitted], device=device)
            predicted[emitted] = self.model.predict(context)
        self._predicted[active] = predicted

    def _emit(self, stream: int, token: int, frame: int) -> None:
        self._tokens[stream].append(token)
        self._emitted_at[stream].append(frame)
        self._context[stream] = (self._context[stream] + [token])[-self.context_size :]

    def last_frames(self) -> list[int]:
        return [frames[-1] if frames else -1 for frames in self._emitted_at]

    def _best(self) -> list[tuple[list[int], list[int]]]:
        return [
            (list(tokens), list(frames))
            for tokens, frames in zip(self._tokens, self._emitted_at, strict=True)
        ]
