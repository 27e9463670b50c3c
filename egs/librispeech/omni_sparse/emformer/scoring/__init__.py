# SPDX-License-Identifier: Apache-2.0
"""Word errors, how sure they are, and results.jsonl."""
