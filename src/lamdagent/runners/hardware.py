"""What of this machine may change the last bits of a result."""

from __future__ import annotations

import platform
from typing import Any


def machine_kind(device: str) -> dict[str, Any]:
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
