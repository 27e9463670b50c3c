# SPDX-License-Identifier: Apache-2.0
"""Sound that is still coming."""
