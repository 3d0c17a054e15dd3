"""Peak memory of a process between two points in time, in bytes."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def _status(process: int | None, field: str) -> int:
    lines = Path(f"/proc/{process or 'self'}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def forget_peak(process: int | None = None) -> int:
    """Memory in use now; on Linux the peak is counted from here on."""
    if sys.platform != "linux":
        return peak()
    # "5" sets the high-water mark back to what is in use (man 5 proc)
    Path(f"/proc/{process or 'self'}/clear_refs").write_text("5")
    return _status(process, "VmRSS")


def peak(process: int | None = None) -> int:
    """The high-water mark: since ``forget_peak`` on Linux, since the start of us elsewhere."""
    if sys.platform == "linux":
        return _status(process, "VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
