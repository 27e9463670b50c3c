# SPDX-License-Identifier: Apache-2.0
"""``python3 -m omni_recognizer``: the command omni-transcribe."""

import sys

from omni_recognizer.command import main

if __name__ == "__main__":
    sys.exit(main())
