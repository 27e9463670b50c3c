# SPDX-License-Identifier: Apache-2.0
"""Transducer searches behind one interface: `make_search(method, model, **settings)`."""

from emformer.decoding.search.base import BLANK_ID, Search
from emformer.decoding.search.fast_beam import FastBeamSearch
from emformer.decoding.search.greedy import GreedySearch
from emformer.decoding.search.modified_beam import ModifiedBeamSearch
from emformer.errors import RecipeError

METHODS: dict[str, type[Search]] = {
    "greedy_search": GreedySearch,
    "modified_beam_search": ModifiedBeamSearch,
    "fast_beam_search": FastBeamSearch,
}


def make_search(method: str, model, **settings) -> Search:
    """A search of the named method.

    Args:
        method: greedy_search, modified_beam_search or fast_beam_search.
        model: see `Search`.
        settings: of the method: `beam_size` (modified beam); `beam`, `max_contexts` and
            `max_states` (fast beam); greedy has none.

    Raises:
        RecipeError: the method is unknown, or it needs k2 and there is none.
    """
    if method not in METHODS:
        raise RecipeError(f"unknown decoding method '{method}', choose from {', '.join(METHODS)}")
    return METHODS[method](model, **settings)


__all__ = ["BLANK_ID", "METHODS", "Search", "make_search"]
