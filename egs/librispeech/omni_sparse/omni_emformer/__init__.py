# SPDX-License-Identifier: Apache-2.0
"""The supernet on the Emformer recipe: the only folder that imports both."""
