# SPDX-License-Identifier: Apache-2.0
"""Results of several experiments on one page."""
