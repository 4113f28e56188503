"""Is the Hugging Face hub within reach? Its clients try for half a minute, and say so in words of their own."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from urllib.parse import urlsplit
from urllib.request import getproxies

PROBE_S = 5.0
CLIENTS = ("huggingface_hub.constants", "datasets.config", "transformers.utils.hub")
_LOOKED: list[bool] = []


def only_what_is_here() -> str:
    """Have the hub's clients take what their caches hold and try nothing else, where the hub cannot be reached.

    Looks once a process. Returns why nothing is fetched, in words; empty where things are.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return "HF_HUB_OFFLINE is set, so nothing is fetched"
    if not _LOOKED:
        _LOOKED.append(_answers(os.environ.get("HF_ENDPOINT") or "https://huggingface.co"))
    if _LOOKED[0]:
        return ""
    for name in CLIENTS:  # read the environment when they are imported
        if (module := sys.modules.get(name)) is not None:
            for constant in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
                if hasattr(module, constant):
                    setattr(module, constant, True)
    os.environ["HF_DATASETS_OFFLINE"] = "1"
    return "the hub cannot be reached from here, so nothing is fetched"


def _answers(endpoint: str) -> bool:
    address = urlsplit(endpoint)
    if {address.scheme, "all"} & getproxies().keys():  # which reaches what this machine may not
        return True
    with suppress(OSError, UnicodeError, ValueError):
        port = address.port or (443 if address.scheme == "https" else 80)
        with socket.create_connection((address.hostname or "", port), timeout=PROBE_S):
            return True
    return False
