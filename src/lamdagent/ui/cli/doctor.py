"""`doctor`: check this machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from lamdagent.core.format import size
from lamdagent.objects.models import memory_bytes, pick_device
from lamdagent.results.result import Section
from lamdagent.runners.job import VERSIONED
from lamdagent.ui.cli._output import show_result


def doctor(as_json: bool = typer.Option(False, "--json", help="Print one JSON object instead.")) -> None:
    """Check this machine: versions, device, memory, disk and hub access. Exits with 1 where something must be mended."""
    found = Health(checks=tuple(checks(Path.cwd())))
    show_result(found, as_json=as_json)
    if any(check.status == "FAIL" for check in found.checks):
        raise typer.Exit(1)


LOW_DISK_BYTES = 10_000_000_000
TRIED = ((3, 11), (3, 13))  # the oldest and the newest Python that the tests have passed on
Status = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding."""

    check: str
    """What was looked at."""
    status: Status
    """`FAIL` must be mended, `warn` may surprise."""
    found: str
    """What was found, and what would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What was found on this machine."""

    checks: tuple[Check, ...]
    """One for each thing that a search depends on."""

    @property
    def title(self) -> str:
        return "this machine"

    def sections(self) -> list[Section]:
        return [Section(parts=["\n".join(f"{c.status:5} {c.check}: {c.found}" for c in self.checks)])]


def checks(place: Path) -> list[Check]:
    """Everything that a search depends on, as it is found on this machine."""
    return [_system(), _python(), *_packages(), _device(), _disk(place), _cache(), _hub()]


def _system() -> Check:
    system = platform.system()
    return Check("system", "ok" if system == "Linux" else "warn", f"{system} {platform.machine()}; tried on Linux only")


def _python() -> Check:
    minor, (oldest, newest) = sys.version_info[:2], TRIED
    status: Status = "ok" if oldest <= minor <= newest else "FAIL" if minor < oldest else "warn"
    tried = " to ".join(".".join(map(str, version)) for version in TRIED)
    return Check("python", status, f"{platform.python_version()}; tried on {tried}")


def _packages() -> list[Check]:
    found = []
    for name in VERSIONED:
        try:
            found.append(Check(name, "ok", importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append(Check(name, "FAIL", "not installed; run: pip install lamdagent"))
    return found


def _device() -> Check:
    import torch

    device = pick_device("auto")
    memory = size(memory_bytes(device))
    if device == "mps":
        return Check(
            "device", "warn", f"mps, {memory} memory: nothing was ever measured on it; execution.device=cpu is tried"
        )
    if device != "cuda":
        return Check(
            "device", "warn", f"{device}, {memory} memory: fine for models up to about 0.5B; larger need a GPU"
        )
    names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    bf16 = "" if torch.cuda.is_bf16_supported() else "; no bfloat16: set execution.dtype to float16 or float32"
    return Check("device", "ok", f"{names}, {memory} each{bf16}")


def _disk(place: Path) -> Check:
    free = shutil.disk_usage(place).free
    low = "" if free >= LOW_DISK_BYTES else "; each made model is kept in full, so set `root:` to a larger disk"
    return Check("disk", "warn" if low else "ok", f"{size(free)} free in {place}{low}")


def _cache() -> Check:
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    existing = next(p for p in (cache, *cache.parents) if p.exists())
    if os.access(existing, os.W_OK):
        return Check("hub cache", "ok", str(cache))
    return Check("hub cache", "FAIL", f"{cache} cannot be written; set HF_HOME to a folder that can")


def _hub() -> Check:
    from huggingface_hub import get_token
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return Check("hub", "warn", "HF_HUB_OFFLINE is set: only local paths and what the cache holds")
    token = "a token is set" if get_token() else "no token: gated models such as Gemma need HF_TOKEN"
    return Check("hub", "ok", token)
