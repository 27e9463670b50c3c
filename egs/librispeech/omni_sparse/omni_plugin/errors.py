# SPDX-License-Identifier: Apache-2.0
"""The error for what a user can mend."""


class OmniError(ValueError):
    """One line: what is wrong, where, and what to do."""
