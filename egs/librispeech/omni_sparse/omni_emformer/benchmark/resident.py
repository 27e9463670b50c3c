# SPDX-License-Identifier: Apache-2.0
"""Resident memory of this process, as Linux tells it. Imports nothing that takes memory itself."""

from __future__ import annotations

from pathlib import Path

_STATUS, _PEAK_RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def is_told() -> bool:
    """Whether the system tells it."""
    return _PEAK_RESET.exists()


def resident(name: str) -> int:
    """Bytes of ``VmRSS``, what is resident now, or of ``VmHWM``, its peak."""
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


def reset_peak() -> None:
    """Let the peak begin at what is resident now."""
    _PEAK_RESET.write_text("5")
