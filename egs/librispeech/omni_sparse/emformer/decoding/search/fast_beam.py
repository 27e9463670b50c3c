# SPDX-License-Identifier: Apache-2.0
"""Fast beam search: k2's pruned lattice search over the trivial graph, one token a frame."""

import torch

from emformer.decoding.search.base import Search
from emformer.rnnt_backend import require_k2


class FastBeamSearch(Search):
    """Feeds k2's decoding streams and reads the best path of their lattices.

    Each stream owns a k2 decoding stream which keeps the lattice between blocks. k2 advances
    a set of streams together, so the active streams of a block are put into a set, advanced
    through its frames and given back.

    k2 spends the last frame on the arc into the final state, so a token never stands on the
    frame received last (it may once more frames have come). The score is that of the best
    alignment, alignments of equal tokens are not summed.

    Args:
        model: see `Search`.
        beam: log-probability below the best at which a state is dropped.
        max_contexts: decoder contexts kept a stream and frame.
        max_states: graph states kept a stream and frame.

    Raises:
        RecipeError: k2 is not installed.
    """

    def __init__(self, model, beam: float = 20.0, max_contexts: int = 8, max_states: int = 64):
        super().__init__(model)
        self._k2 = require_k2()
        self._config = self._k2.RnntDecodingConfig(
            vocab_size=int(model.vocab_size),
            decoder_history_len=self.context_size,
            beam=float(beam),
            max_states=int(max_states),
            max_contexts=int(max_contexts),
        )

    def _reset(self, n: int) -> None:
        self._streams = None  # made on the device of the first block
        # k2 only formats through a set that has been advanced and given back. It reads the
        # lattices of the streams themselves, so the first set of a stream serves for good.
        self._readers: list[tuple[object, list[int]]] = []
        self._unread = set(range(n))

    def _begin_on(self, device: torch.device) -> None:
        graph = self._k2.trivial_graph(int(self.model.vocab_size) - 1, device=device)
        self._streams = [self._k2.RnntDecodingStream(graph) for _ in range(self.num_streams)]

    def _advance(self, block: torch.Tensor, active: list[int]) -> None:
        if self._streams is None:
            self._begin_on(block.device)
        together = self._k2.RnntDecodingStreams([self._streams[i] for i in active], self._config)
        for t in range(block.size(1)):
            shape, contexts = together.get_contexts()  # [stream][context], (contexts, C)
            owner = shape.row_ids(1).to(torch.int64)
            predicted = self.model.predict(_as_trained(contexts.to(torch.int64)))
            logits = self.model.join(block[:, t].index_select(0, owner), predicted)
            together.advance(logits.float().log_softmax(dim=-1))
        together.terminate_and_flush_to_streams()
        if self._unread & set(active):
            self._readers.append((together, list(active)))
            self._unread -= set(active)

    def _best(self) -> list[tuple[list[int], list[int]]]:
        results: list[tuple[list[int], list[int]]] = [([], []) for _ in range(self.num_streams)]
        for together, streams in self._readers:
            lattice = together.format_output([self.frames[i] for i in streams])
            best = self._k2.shortest_path(lattice, use_double_scores=True)
            for position, stream in enumerate(streams):
                # One arc a frame (label 0 is blank) and a last arc of label -1 into the end.
                labels = best[position].labels.tolist()
                emitted = [(frame, label) for frame, label in enumerate(labels) if label > 0]
                results[stream] = ([x for _, x in emitted], [frame for frame, _ in emitted])
        return results


def _as_trained(contexts: torch.Tensor) -> torch.Tensor:
    """k2 fills a context with blanks before the first token; the decoder knows one blank only.

    What stands before that blank is "nothing" (-1) in training and in the other searches:
    [0, 0] becomes [-1, 0], and [0, 17] stays as it is. Blank is never part of a context later.

    Args:
        contexts: of shape `(contexts, C)`.
    """
    before_start = (contexts[:, :-1] == 0) & (contexts[:, 1:] == 0)
    return torch.cat([contexts[:, :-1].masked_fill(before_start, -1), contexts[:, -1:]], dim=1)
