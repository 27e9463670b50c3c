# SPDX-License-Identifier: Apache-2.0
"""Search for the sub-networks of least cost and least error.

:class:`ParetoSearch` needs optuna when it runs, :mod:`omni_plugin.search.plots` matplotlib.
"""

from omni_plugin.search.costs import (
    Cost,
    chunk_time,
    multiply_adds,
    remaining_parameters,
    stored_bytes,
)
from omni_plugin.search.evaluator import Evaluator, Rung
from omni_plugin.search.front import area, front
from omni_plugin.search.front_file import (
    FrontPoint,
    best_under,
    named_point,
    read_front,
    write_front,
)
from omni_plugin.search.guides import magnitude_chain
from omni_plugin.search.pareto_search import (
    RANDOM,
    SEARCH,
    UNIFORM,
    Found,
    ParetoSearch,
)
from omni_plugin.search.settings import SearchSettings
from omni_plugin.search.space import Axis, Space, Vector, space_of

__all__ = [
    "RANDOM",
    "SEARCH",
    "UNIFORM",
    "Axis",
    "Cost",
    "Evaluator",
    "Found",
    "FrontPoint",
    "ParetoSearch",
    "Rung",
    "SearchSettings",
    "Space",
    "Vector",
    "area",
    "best_under",
    "chunk_time",
    "front",
    "magnitude_chain",
    "multiply_adds",
    "named_point",
    "read_front",
    "remaining_parameters",
    "space_of",
    "stored_bytes",
    "write_front",
]
