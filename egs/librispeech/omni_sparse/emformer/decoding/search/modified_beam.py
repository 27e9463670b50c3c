# SPDX-License-Identifier: Apache-2.0
"""Modified beam search: K hypotheses a stream, at most one token a frame, equal ones merged."""

import torch

from emformer.decoding.search.base import BLANK_ID, Search


class PrefixTree:
    """Gives every distinct token sequence of every stream one number.

    Two hypotheses hold the same tokens exactly when they sit on the same node, so equality
    is one integer comparison however long the sequences are. Node i < n is the empty
    sequence of stream i.
    """

    def __init__(self, n: int):
        self._children: dict[tuple[int, int], int] = {}
        self._size = n

    def child(self, node: int, token: int) -> int:
        """The node of the sequence at `node` followed by `token`."""
        key = (node, token)
        if key not in self._children:
            self._children[key] = self._size
            self._size += 1
        return self._children[key]


class ModifiedBeamSearch(Search):
    """Keeps the `beam_size` best hypotheses of each stream, all streams scored together.

    A frame extends each hypothesis by blank or by one token, keeps the K best extensions of
    the stream and then merges those with equal tokens: their alignments are disjoint events,
    so the probabilities add. The order (prune, then merge) is that of icefall and
    sherpa-onnx, so that results can be compared. The final pick divides the log-probability
    by the number of tokens, the decoder's start context included.

    With beam_size 1 this is greedy search.

    Dimensions: K: beam size; the rest as in `Search`.

    Example::

        search = ModifiedBeamSearch(model, beam_size=4)
        search.start(1)
        search.accept(torch.randn(1, 8, joiner_dim), torch.tensor([8]))
        search.hypotheses()          # [[17, 4]]
    """

    def __init__(self, model, beam_size: int = 4):
        if beam_size < 1:
            raise ValueError(f"beam_size must be at least 1, got {beam_size}")
        super().__init__(model)
        self.beam_size = beam_size

    def _reset(self, n: int) -> None:
        k = self.beam_size
        self._tree = PrefixTree(n)
        # An emission is (index of the one before or -1, token, frame, tokens up to it): merged
        # hypotheses have equal tokens but may differ in frames, so this is kept apart from the
        # tree.
        self._emissions: list[tuple[int, int, int, int]] = []
        # Slot 0 is the empty hypothesis, the others are dead (log-probability -inf).
        self._scores = torch.full((n, k), -torch.inf)
        self._scores[:, 0] = 0.0
        self._nodes = torch.arange(n).unsqueeze(1).repeat(1, k)  # (N, K)
        self._last = torch.full((n, k), -1)  # (N, K), index of the last emission
        self._context = torch.tensor(self._blank_context(n)).unsqueeze(1).repeat(1, k, 1)
        self._predicted = None  # (N, K, J)

    def _advance(self, block: torch.Tensor, active: list[int]) -> None:
        if self._predicted is None:
            self._begin_on(block.device)
        state = [getattr(self, name)[active] for name in self._STATE]
        first = [self.frames[i] for i in active]
        for t in range(block.size(1)):
            state = self._frame(block[:, t], [f + t for f in first], *state)
        for name, value in zip(self._STATE, state, strict=True):
            getattr(self, name)[active] = value

    _STATE = ("_scores", "_nodes", "_last", "_context", "_predicted")

    def _begin_on(self, device: torch.device) -> None:
        """Scores and contexts live beside the model; nodes and emissions are the host's."""
        self._scores = self._scores.to(device)
        self._context = self._context.to(device)
        n, k, c = self._context.shape
        self._predicted = self.model.predict(self._context.reshape(n * k, c)).reshape(n, k, -1)

    def _frame(self, enc, frames, scores, nodes, last, context, predicted):
        """One frame of the active streams.

        Args:
            enc: of shape `(A, J)`.
            frames: A numbers, the index of this frame in each stream.
            scores, nodes, last, context, predicted: the state, of shapes `(A, K)`, `(A, K)`,
                `(A, K)`, `(A, K, C)` and `(A, K, J)`.

        Returns:
            The five parts of the state after the frame.
        """
        a, k = scores.shape
        flat = enc.unsqueeze(1).expand(-1, k, -1).reshape(a * k, -1)
        logits = self.model.join(flat, predicted.reshape(a * k, -1))
        log_probs = logits.float().log_softmax(dim=-1).reshape(a, k, -1) + scores.unsqueeze(-1)
        vocab_size = log_probs.size(-1)
        scores, best = log_probs.reshape(a, -1).topk(k, dim=-1)  # (A, K)
        source = torch.div(best, vocab_size, rounding_mode="floor")
        token = best - source * vocab_size
        # A dead slot is carried on by blanks: it can emit nothing that counts.
        token = torch.where(scores > -torch.inf, token, torch.full_like(token, BLANK_ID))
        nodes, last = self._extend(frames, nodes, last, source, token)
        scores = _merge(scores, nodes.to(scores.device))
        context, predicted = self._predict(context, predicted, source, token)
        return scores, nodes, last, context, predicted

    def _extend(self, frames, nodes, last, source, token):
        """Follow the chosen extensions on the host: new `(nodes, last)`, both `(A, K)`."""
        source, token = source.cpu(), token.cpu()
        nodes, last = nodes.gather(1, source), last.gather(1, source)
        where = (token != BLANK_ID).nonzero(as_tuple=True)
        columns = (where[0], nodes[where], last[where], token[where])
        new_nodes, new_last = [], []
        for stream, node, before, tok in torch.stack(columns, dim=1).tolist():
            new_nodes.append(self._tree.child(node, tok))
            new_last.append(len(self._emissions))
            self._emissions.append((before, tok, frames[stream], self._length(before) + 1))
        nodes[where] = torch.tensor(new_nodes, dtype=nodes.dtype)
        last[where] = torch.tensor(new_last, dtype=last.dtype)
        return nodes, last

    def _predict(self, context, predicted, source, token):
        """Contexts and predictions of the chosen extensions, `(A, K, C)` and `(A, K, J)`."""
        context = context.gather(1, source.unsqueeze(-1).expand_as(context))
        predicted = predicted.gather(1, source.unsqueeze(-1).expand_as(predicted))
        emits = token != BLANK_ID
        if emits.any():
            grown = torch.cat([context[emits][:, 1:], token[emits].unsqueeze(-1)], dim=-1)
            context[emits] = grown
            predicted[emits] = self.model.predict(grown)
        return context, predicted

    def last_frames(self) -> list[int]:
        return [self._emissions[last][2] if last >= 0 else -1 for last in self._winners()]

    def _best(self) -> list[tuple[list[int], list[int]]]:
        return [self._trace(last) for last in self._winners()]

    def _winners(self) -> list[int]:
        """Index of the last emission of each stream's best hypothesis; -1 of an empty one."""
        return [
            self._winner(scores, last)
            for scores, last in zip(self._scores.tolist(), self._last.tolist(), strict=True)
        ]

    def _winner(self, scores: list[float], last: list[int]) -> int:
        lengths = [self._length(index) + self.context_size for index in last]
        normed = [s / length for s, length in zip(scores, lengths, strict=True)]
        return last[normed.index(max(normed))]

    def _length(self, index: int) -> int:
        """Tokens up to an emission."""
        return self._emissions[index][3] if index >= 0 else 0

    def _trace(self, index: int) -> tuple[list[int], list[int]]:
        tokens, frames = [], []
        while index >= 0:
            index, token, frame, _ = self._emissions[index]
            tokens.append(token)
            frames.append(frame)
        return tokens[::-1], frames[::-1]


def _merge(scores: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
    """Add up hypotheses of one node into its first (best) slot; the others die.

    Worked example for one stream: scores log [0.4, 0.3, 0.1] with nodes [7, 5, 7] become
    log [0.5, 0.3, 0.0].

    Args:
        scores: log-probabilities of shape `(A, K)`, best first.
        nodes: of shape `(A, K)`.
    """
    k = nodes.size(1)
    same = nodes.unsqueeze(2) == nodes.unsqueeze(1)  # (A, K, K)
    spread = scores.unsqueeze(1).expand(-1, k, -1)
    total = spread.masked_fill(~same, -torch.inf).logsumexp(dim=-1)
    earlier = torch.ones(k, k, dtype=torch.bool, device=nodes.device).tril(diagonal=-1)
    duplicate = (same & earlier).any(dim=-1)
    return total.masked_fill(duplicate, -torch.inf)
