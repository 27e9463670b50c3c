# SPDX-License-Identifier: Apache-2.0
"""What lies in an experiment's folder: checkpoints, logs, how it was made."""
