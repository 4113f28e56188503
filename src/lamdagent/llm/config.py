"""What a study file may say of the language model that is asked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from lamdagent.core.config import Config, PathText
from lamdagent.core.text import has_credentials

ENDPOINT = "/chat/completions"
HOW_ASKED = ("timeout_s", "answer_tokens", "attempts", "max_failures", "price", "base_url")
"""Keys that change where and how often it is asked, and not what it would answer."""


class Price(Config):
    """What tokens cost, in USD per million."""

    input: float = Field(ge=0, description="USD per million tokens of a prompt")
    output: float = Field(ge=0, description="USD per million tokens of an answer")


class ChatConfig(Config):
    """A language model and how it is asked. Keys are read from the environment only, such as OPENAI_API_KEY."""

    model: str = Field(description="provider:name as pydantic-ai knows it, or `local`: a small model served here")
    base_url: str | None = Field(None, description="an OpenAI-compatible server, such as http://127.0.0.1:8000/v1")
    gguf: PathText | None = Field(None, description="with model: local, another .gguf file than SmolLM2-135M-Instruct")
    temperature: float = Field(0.0, ge=0, le=2, description="0 is the paper's")
    output: Literal["auto", "native", "tool"] = Field(
        "auto", description="how answers are held to a JSON schema; auto: native where the model has it, else a tool"
    )
    timeout_s: float = Field(120, gt=0, description="seconds to wait for one answer")
    answer_tokens: int | None = Field(
        None,
        ge=1,
        description="tokens that an answer may take, a reasoning model's thoughts among them; "
        "unset: 500 for a choice, 850 for notes",
    )
    attempts: int = Field(3, ge=1, le=10, description="times a question is asked before the fallback decides")
    max_failures: int = Field(10, ge=1, description="failures in a row that pause the study")
    price: Price | None = Field(
        None, description="unset: as known for the model; needed for budget.usd where it is not"
    )

    @field_validator("base_url")
    @classmethod
    def _an_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        if has_credentials(url):
            # What is given is not repeated: it would stand on the screen and in logs.
            words = (
                "must not hold a user name, password, query or fragment, since it is journalled and shown; put the key into "
                "the environment variable OPENAI_API_KEY"
            )
            raise PydanticCustomError("has_credentials", words)
        if not url.startswith(("http://", "https://")):
            raise ValueError("expected http://HOST/… or https://HOST/…")
        if url.rstrip("/").endswith(ENDPOINT):
            raise ValueError(f"expected the address without {ENDPOINT}, which is added for each question")
        return url
