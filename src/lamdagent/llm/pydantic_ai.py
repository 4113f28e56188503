"""A client over pydantic-ai: any provider it knows, any OpenAI-compatible server."""

from __future__ import annotations

import os
from typing import Any

from pydantic import BaseModel

from lamdagent.core.errors import MissingExtra, UserError
from lamdagent.llm.chat import NoReply, Reply
from lamdagent.llm.config import ChatConfig


class PydanticAi:
    """Asks one model, each time in a conversation of its own."""

    def __init__(self, settings: ChatConfig, *, model: Any = None) -> None:
        self.model = settings.model
        self._settings = settings
        self._model = model if model is not None else open_model(settings)

    def complete(self, *, system: str, prompt: str, schema: type[BaseModel], max_tokens: int) -> Reply:
        from pydantic_ai.direct import model_request_sync
        from pydantic_ai.exceptions import (
            AgentRunError,
            ModelAuthenticationError,
            ModelQuotaExceededError,
        )
        from pydantic_ai.exceptions import (
            UserError as ModelUserError,
        )
        from pydantic_ai.messages import ModelRequest
        from pydantic_ai.settings import ModelSettings

        settings = ModelSettings(
            temperature=self._settings.temperature, max_tokens=max_tokens, timeout=self._settings.timeout_s
        )
        try:
            response = model_request_sync(
                self._model,
                [ModelRequest.user_text_prompt(prompt, instructions=system)],
                model_settings=settings,
                model_request_parameters=self._parameters(schema),
            )
        except (ModelAuthenticationError, ModelQuotaExceededError, ModelUserError) as error:
            raise UserError(f"{self.model}: {error}. Mend that, then run the same command again.") from error
        except (AgentRunError, OSError, TimeoutError) as error:
            raise NoReply(f"{type(error).__name__}: {error}"[:500]) from error
        usage = response.usage
        return Reply(
            text=_text(response),
            tokens_in=usage.input_tokens,
            tokens_out=usage.output_tokens,
            usd=self.price(usage.input_tokens, usage.output_tokens),
        )

    def price(self, tokens_in: int, tokens_out: int) -> float | None:
        if (price := self._settings.price) is not None:
            return (tokens_in * price.input + tokens_out * price.output) / 1e6
        if self._settings.base_url is not None or self._settings.model == "local":
            return None
        from genai_prices import Usage, calc_price

        provider, _, name = self.model.rpartition(":")
        try:
            usage = Usage(input_tokens=tokens_in, output_tokens=tokens_out)
            return float(calc_price(usage, name, provider_id=provider or None).total_price)
        except LookupError:
            return None

    def close(self) -> None:
        """Connections end with the process."""

    def _parameters(self, schema: type[BaseModel]) -> Any:
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.output import OutputObjectDefinition
        from pydantic_ai.tools import ToolDefinition

        json_schema = schema.model_json_schema()
        native = self._settings.output == "native" or (
            self._settings.output == "auto" and bool(self._model.profile.get("supports_json_schema_output", False))
        )
        if native:
            target = OutputObjectDefinition(json_schema=json_schema, name=schema.__name__)
            return ModelRequestParameters(output_mode="native", output_object=target, allow_text_output=True)
        tool = ToolDefinition(
            name="answer", description="Give the answer.", parameters_json_schema=json_schema, kind="output"
        )
        return ModelRequestParameters(output_mode="tool", output_tools=[tool], allow_text_output=False)


def open_model(settings: ChatConfig) -> Any:
    """The pydantic-ai model that settings name.

    Raises:
        MissingExtra: pydantic-ai or the provider's package is not installed.
        UserError: the provider is unknown, or its key is not in the environment.
    """
    try:
        from pydantic_ai.exceptions import UserError as ModelUserError
        from pydantic_ai.models import infer_model

        if settings.base_url is not None:
            from pydantic_ai.models.openai import OpenAIChatModel
            from pydantic_ai.providers.openai import OpenAIProvider
    except ImportError as error:
        raise MissingExtra(
            f"a language model is asked through pydantic-ai: pip install 'lamdagent[agent]' ({error})"
        ) from error
    try:
        if settings.base_url is not None:
            key = os.environ.get("OPENAI_API_KEY", "none-needed")
            provider = OpenAIProvider(base_url=settings.base_url, api_key=key)
            return OpenAIChatModel(settings.model.removeprefix("openai:"), provider=provider)
        return infer_model(settings.model)
    except (ModelUserError, ValueError, ImportError) as error:
        raise UserError(f"policy.model {settings.model!r}: {error}") from error


def _text(response: Any) -> str:
    for part in response.parts:
        if part.part_kind == "tool-call":
            return str(part.args_as_json_str())
    return "".join(part.content for part in response.parts if part.part_kind == "text")
