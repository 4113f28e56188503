"""What a provider refuses of a question: what can be asked otherwise, and what the user is told to change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from lamdagent.core.text import told
from lamdagent.llm.config import ChatConfig

Adaptation = Literal["no temperature", "max_tokens", "system in the prompt", "answer by a tool", "answer in words"]
NAMED: tuple[tuple[Adaptation, str], ...] = (
    ("no temperature", r"temperature"),
    ("max_tokens", r"max_(completion_)?tokens"),
    ("system in the prompt", r"system.?(role|message|prompt)|developer.?(role|message|instruction)"),
    ("answer by a tool", r"response_format|json_?.?schema|structured.?output|guided"),
    ("answer in words", r"\btools?\b|tool_choice|function.?call"),
)
"""What a question is asked without, or with instead, by what a refusal names."""

CONTEXT = re.compile(
    r"context.?(length|size|window)|prompt is too long|input is too long|too many tokens", re.IGNORECASE
)
"""How servers word that a question is longer than their context."""

OWN_FAULT = ("json_validate_failed", "tool_use_failed", "output_parse_failed")
"""Codes of refusals that are not of the question but of the answer: the model wrote what the server cannot read."""


def adaptation(message: str, done: Sequence[Adaptation], *, output: str) -> Adaptation | None:
    """How to ask otherwise after a refusal, each way once; None where there is none.

    Args:
        output: `output` of its section; what the user chose is not changed.
    """
    if CONTEXT.search(message):
        return None
    for way, names in NAMED:
        shape = way in ("answer by a tool", "answer in words")
        if way in done or (shape and output != "auto"):
            continue
        if re.search(names, message, re.IGNORECASE):
            return way
    return None


def advice(error: Exception, kind: str, settings: ChatConfig, section: str = "policy") -> str:
    """What a failure that stays is, and what to change.

    Args:
        kind: the name of the error's class in pydantic-ai.
        section: of the study file that names the model.
    """
    where = f" at {settings.base_url}" if settings.base_url else ""
    if kind == "ModelNotFoundError":
        address = (
            f", and does {section}.base_url end as the server's manual says (usually /v1)" if settings.base_url else ""
        )
        change = f"Is that model served there{address}?"
    elif kind == "ModelAuthenticationError":
        change = f"Is the key in the environment{' (OPENAI_API_KEY)' if settings.base_url else ''} the right one?"
    elif kind == "ModelQuotaExceededError":
        change = "Its quota or credit is used up."
    elif kind == "ModelContextWindowExceededError" or CONTEXT.search(str(error)):
        shorter = "policy.shown, policy.answer_tokens or memory.max_tokens, shorten prompts of your own"
        if section != "policy":
            shorter = f"{section}.answer_tokens, shorten the prompts"
        change = f"Question and answer are longer than its context: lower {shorter}, or ask a model with a longer one."
    elif kind == "UnexpectedModelBehavior":
        change = (
            f"No OpenAI-compatible server answers there: {section}.base_url must be its address, mostly ending in /v1."
        )
    else:
        change = f"Change what it names: {section}.temperature, output, answer_tokens or model."
    return f"{settings.model}{where}: {told(str(error), 400)}. {change}"
