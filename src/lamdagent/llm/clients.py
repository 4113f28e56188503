"""The client that a config names: a model served here, or one of a provider or server."""

from __future__ import annotations

from pathlib import Path

from lamdagent.llm.chat import Client
from lamdagent.llm.config import ChatConfig

LOCAL = "local"


def open_client(config: ChatConfig, home: Path, *, start: bool = True, section: str = "policy") -> Client:
    """A connection to the language model of a config.

    Args:
        home: where the relative path of a .gguf file starts from.
        start: start a model that is served here; else it is only looked whether it can be.
        section: of the study file that names it, for messages.
    Raises:
        UserError: it cannot be reached in principle, such as for want of a key.
    """
    if config.model == LOCAL:
        from lamdagent.llm.llama_cpp import Local

        return Local(config, home=home, start=start, section=section)
    from lamdagent.llm.pydantic_ai import PydanticAi

    return PydanticAi(config, section=section)
