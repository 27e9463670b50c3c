# SPDX-License-Identifier: Apache-2.0
"""Bytes, memory and time of what is exported."""
