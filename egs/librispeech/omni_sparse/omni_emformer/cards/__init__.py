# SPDX-License-Identifier: Apache-2.0
"""Model cards: what an exported file is, for who gets it without the experiment."""
