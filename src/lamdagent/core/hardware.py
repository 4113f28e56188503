"""What this process may use of the machine."""

from __future__ import annotations

import os
import sys


def cores() -> int:
    """CPU cores that this process may run on; containers and `taskset` give fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
