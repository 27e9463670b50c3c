# SPDX-License-Identifier: Apache-2.0
"""Tables and plots of what a sweep measured. Needs matplotlib; knows no recipe.

Everything here takes plain records (:class:`Point`, numbers by name) and gives text or a figure.
"""

from omni_plugin.report.curves import curves_figure
from omni_plugin.report.dark import for_dark
from omni_plugin.report.heat_map import heat_map_figure
from omni_plugin.report.points import Difference, Point
from omni_plugin.report.style import Style, save, styles
from omni_plugin.report.tables import markdown_table, size_table, wer_table
from omni_plugin.report.wer_plot import wer_figure

__all__ = [
    "Difference",
    "Point",
    "Style",
    "curves_figure",
    "for_dark",
    "heat_map_figure",
    "markdown_table",
    "save",
    "size_table",
    "styles",
    "wer_figure",
    "wer_table",
]
