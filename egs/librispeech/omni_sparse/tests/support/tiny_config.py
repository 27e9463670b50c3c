# SPDX-License-Identifier: Apache-2.0
"""The configuration of models and trainings that tests make. Imports no torch."""

from __future__ import annotations

TINY_CONFIG = """
model:
  encoder_dim: 16
  num_heads: 2
  ffn_dim: 32
  num_layers: 2
  dropout: 0.1
  segment: 4
  right_context: 1
  left_context: 8
  decoder_dim: 16
  joiner_dim: 16
training:
  num_epochs: 2
  max_duration: 16
  average_period: 2
  save_every_n: 5
  keep_last_k: 3
  valid_interval: 1000
  log_interval: 2
  num_workers: 0
  num_buckets: 2
"""
