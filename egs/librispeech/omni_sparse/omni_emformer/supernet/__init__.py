# SPDX-License-Identifier: Apache-2.0
"""Systems and their training, and the sub-networks of what was trained."""
