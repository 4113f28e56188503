"""What this process may use of the machine."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any


def cores() -> int:
    """CPU cores that this process may run on; containers and `taskset` give fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def kind(device: str) -> dict[str, Any]:
    """What of this machine may change the last bits of a result. Loads torch."""
    import torch

    gpu = device.startswith("cuda")
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "device": torch.cuda.get_device_name(device) if gpu else device,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }
