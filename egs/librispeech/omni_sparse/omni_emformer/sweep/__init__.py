# SPDX-License-Identifier: Apache-2.0
"""Every size of a trained system, decoded."""
