# SPDX-License-Identifier: Apache-2.0
"""Supernet training in the loops of other frameworks, none of which is needed to import this."""
