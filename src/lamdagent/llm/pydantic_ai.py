"""A client over pydantic-ai: any provider it knows, any OpenAI-compatible server."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

from pydantic import BaseModel

from lamdagent.core.errors import MissingExtra, UserError
from lamdagent.core.text import told
from lamdagent.llm.chat import NoReply, Reply, again
from lamdagent.llm.config import ChatConfig
from lamdagent.llm.refusals import OWN_FAULT, Adaptation, adaptation, advice

LOG = logging.getLogger(__name__)
PASSING_STATUS = (408, 409, 425, 429)
NO_JSON = "expected JSON data"
KEY, NO_KEY = "OPENAI_API_KEY", "none-needed"
LAST_DATE = 253_402_300_799  # of the year 9999, the last that Python knows


class PydanticAi:
    """Asks one model, each time in a conversation of its own. What a provider refuses of a question is asked otherwise
    from then on, and each reply says so."""

    def __init__(
        self, settings: ChatConfig, *, model: Any = None, key: str | None = None, section: str = "policy"
    ) -> None:
        self.model, self._section = settings.model, section
        self._settings, self._adapted = settings, list[Adaptation]()
        self._model = model if model is not None else open_model(settings, key=key, section=section)

    def complete(self, *, system: str, prompt: str, schema: type[BaseModel], max_tokens: int) -> Reply:
        from pydantic_ai.exceptions import AgentRunError
        from pydantic_ai.exceptions import UserError as ModelUserError

        while True:
            try:
                response = self._request(system, prompt, schema, max_tokens)
            except (AgentRunError, ModelUserError, OSError) as error:
                if (way := self._otherwise(error)) is None:
                    raise self._failure(error) from error
                LOG.warning("%s refused a part of the question (%s); asked again: %s", self.model, told(error), way)
                self._adapted.append(way)
            else:
                break
        usage = response.usage
        thought = "".join(part.content for part in response.parts if part.part_kind == "thinking")
        ended = response.finish_reason == "stop"
        return Reply(
            text=_text(response) or (thought if ended else ""),  # some servers put all of it among the thoughts
            tokens_in=usage.input_tokens,
            tokens_out=usage.output_tokens,
            thought=thought,
            finish=response.finish_reason,
            adapted=tuple(self._adapted),
        )

    def price(self, tokens_in: int, tokens_out: int) -> float | None:
        if (price := self._settings.price) is not None:
            return (tokens_in * price.input + tokens_out * price.output) / 1e6
        if self._settings.base_url is not None:
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

    def _request(self, system: str, prompt: str, schema: type[BaseModel], max_tokens: int) -> Any:
        from pydantic_ai.direct import model_request_sync
        from pydantic_ai.messages import ModelRequest
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.settings import ModelSettings

        # One attempt is one request: the SDK's own retries would be neither counted nor within the time.
        timeout = self._settings.timeout_s
        settings = ModelSettings(timeout=timeout, request_timeout=timeout, max_retries=0)
        if "max_tokens" in self._adapted:
            settings["extra_body"] = {"max_tokens": max_tokens}
        else:
            settings["max_tokens"] = max_tokens
        if "no temperature" not in self._adapted:
            settings["temperature"] = self._settings.temperature
        if "answer in words" in self._adapted:
            shape = json.dumps(schema.model_json_schema())
            prompt = f"{prompt}\n\nAnswer with one JSON object and nothing else. Its JSON schema:\n{shape}"
            parameters = ModelRequestParameters(output_mode="text", allow_text_output=True)
        else:
            parameters = self._parameters(schema)
        if "system in the prompt" in self._adapted:
            message = ModelRequest.user_text_prompt(f"{system}\n\n{prompt}")
        else:
            message = ModelRequest.user_text_prompt(prompt, instructions=system)
        return model_request_sync(self._model, [message], model_settings=settings, model_request_parameters=parameters)

    def _parameters(self, schema: type[BaseModel]) -> Any:
        from pydantic_ai.models import ModelRequestParameters
        from pydantic_ai.output import OutputObjectDefinition
        from pydantic_ai.tools import ToolDefinition

        json_schema = schema.model_json_schema()
        native = self._settings.output == "native" or (
            self._settings.output == "auto"
            and "answer by a tool" not in self._adapted
            and bool(self._model.profile.get("supports_json_schema_output", False))
        )
        if native:
            target = OutputObjectDefinition(json_schema=json_schema, name=schema.__name__)
            return ModelRequestParameters(output_mode="native", output_object=target, allow_text_output=True)
        tool = ToolDefinition(
            name="answer", description="Give the answer.", parameters_json_schema=json_schema, kind="output"
        )
        return ModelRequestParameters(output_mode="tool", output_tools=[tool], allow_text_output=False)

    def _otherwise(self, error: Exception) -> Adaptation | None:
        """How to ask otherwise, where a provider refused the question for what it can do without."""
        kinds = {cls.__name__ for cls in type(error).__mro__}
        if "ModelRequestRejectedError" not in kinds or getattr(error, "provider_error_code", None) in OWN_FAULT:
            return None
        if kinds & {"ModelNotFoundError", "ModelAuthenticationError", "ModelContextWindowExceededError"}:
            return None
        said = str(getattr(error, "body", None) or error)
        return adaptation(said, self._adapted, output=self._settings.output)

    def _failure(self, error: Exception) -> Exception:
        """An error of the library as one that may pass, or that only the user can mend."""
        kinds = [cls.__name__ for cls in type(error).__mro__]
        status = getattr(error, "status_code", None)
        refused = isinstance(status, int) and 400 <= status < 500 and status not in PASSING_STATUS
        stays = {"ModelRequestRejectedError", "ModelQuotaExceededError", "UserError"}
        permanent = refused or stays.intersection(kinds) or NO_JSON in str(error)
        if permanent and getattr(error, "provider_error_code", None) not in OWN_FAULT:
            known = (k for k in kinds if k not in ("ModelHTTPError", "ModelAPIError"))
            return UserError(f"{advice(error, next(known), self._settings, self._section)} {again(self._section)}")
        return NoReply(told(error), wait_s=getattr(error, "retry_after", None))


def open_model(settings: ChatConfig, *, key: str | None = None, section: str = "policy") -> Any:
    """The pydantic-ai model that settings name.

    Args:
        key: of the server at `base_url`; None takes that of the environment.
        section: of the study file that names it.
    Raises:
        MissingExtra: pydantic-ai or the provider's package is not installed.
        UserError: the provider is unknown, or its key is not in the environment.
    """
    try:
        from pydantic_ai.models import infer_model

        if settings.base_url is not None:
            from pydantic_ai.models.openai import OpenAIChatModel
            from pydantic_ai.providers.openai import OpenAIProvider
    except ImportError as error:
        raise MissingExtra(
            f"a language model is asked through pydantic-ai: pip install 'lamdagent[agent]' ({error})"
        ) from error
    try:
        if settings.base_url is None:
            return infer_model(settings.model)

        class Lenient(OpenAIChatModel):  # type: ignore[misc, unused-ignore]
            """Takes what servers that are nearly compatible answer."""

            def _validate_completion(self, response: Any) -> Any:
                _complete(response)
                return super()._validate_completion(response)

        key = (key or os.environ.get(KEY, "")).strip() or NO_KEY
        if not (key.isascii() and key.isprintable()):
            raise ValueError(f"the key in {KEY} has characters that no header can carry")
        provider = OpenAIProvider(base_url=settings.base_url, api_key=key)
        return Lenient(settings.model.removeprefix("openai:"), provider=provider)
    except Exception as error:  # providers raise what they like where they cannot be opened
        raise UserError(f"{section}.model {settings.model!r}: {told(str(error))}") from error


def _complete(response: Any) -> None:
    """Mend a server's answer where it says enough.

    Raises:
        NoReply: it holds an error, or no answer.
    """
    if not isinstance(response.created, int) or not 0 <= response.created <= LAST_DATE:
        response.created = 0
    counts = (getattr(response.usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        response.usage = None
    if not response.choices:
        error = getattr(response, "error", None)
        said = error.get("message", error) if isinstance(error, dict) else error
        raise NoReply(told(str(said)) if said else "the server answered with no choices")


def _text(response: Any) -> str:
    for part in response.parts:
        if part.part_kind == "tool-call":
            return str(part.args_as_json_str())
    refusal = (response.provider_details or {}).get("refusal")
    return "".join(part.content for part in response.parts if part.part_kind == "text") or str(refusal or "")
