# SPDX-License-Identifier: Apache-2.0
"""The stand-in of an icefall recipe, and how it is run."""
