# SPDX-License-Identifier: Apache-2.0
"""What went wrong, in one line."""


class RecognizerError(Exception):
    """A mistake of the caller, or of a file; its text says what and where, in one line."""
