# SPDX-License-Identifier: Apache-2.0
"""The dense baseline: a streaming Emformer transducer."""
