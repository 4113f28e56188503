"""Ask a language model so that nothing it says, or fails to say, can stop or corrupt a search.

Every answer goes into a log before it is used, under the hash of all that was sent: into the journal where the search
asks, into the study's `calls/` where a job does. The same question is therefore answered from there when a killed search
is resumed, and never paid for twice.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self, TypeVar

from pydantic import BaseModel, ValidationError

from lamdagent.core.budget import Budget
from lamdagent.core.errors import BudgetSpent, UserError
from lamdagent.core.protocols import CallLog
from lamdagent.core.spent import Spent
from lamdagent.core.types import LLMCall, content_id

Answer = TypeVar("Answer", bound=BaseModel)
CHARS_PER_TOKEN = 3  # low, so that an estimate is rather too high
LONGEST_WAIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as text, with what it took. `usd` is None where no price is known."""

    text: str
    tokens_in: int
    tokens_out: int
    usd: float | None = None


class NoReply(Exception):
    """No answer came: a time-out, a rate limit, a server that is down. Asking again may help."""


class Client(Protocol):
    """A connection to one language model."""

    model: str

    def complete(self, *, system: str, prompt: str, schema: type[BaseModel], max_tokens: int) -> Reply:
        """One answer, held to the schema as far as the model can be.

        Raises:
            NoReply: asking again may help.
            UserError: it cannot, such as a key that is refused.
        """

    def price(self, tokens_in: int, tokens_out: int) -> float | None:
        """USD for a call of this size; None where no price is known."""

    def close(self) -> None:
        """Stop what was started for it."""


class _Unlogged:
    """The log of a chat that nobody has bound."""

    spent = Spent()

    def answered(self, key: str) -> LLMCall | None:
        return None

    def record(self, call: LLMCall) -> None:
        """Forgotten."""


@dataclass(slots=True)
class _Failures:
    in_a_row: int = 0


class Chat:
    """Questions to one client, with retries, a budget, and a log as memory of all answers.

    Args:
        attempts: times a question is asked, each time with what was wrong with the last answer.
        max_failures: failures in a row, over all questions, that pause the study.
        sleep: waits between attempts after no reply; tests pass one that does not.
    """

    def __init__(
        self,
        client: Client,
        *,
        budget: Budget,
        attempts: int = 3,
        max_failures: int = 10,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.client, self._budget = client, budget
        self._attempts, self._max_failures, self._sleep = attempts, max_failures, sleep
        self._failures = _Failures()  # shared by all that are bound of it: a server that is down is down for all
        self._log: CallLog = _Unlogged()
        if budget.usd is not None and client.price(1, 1) is None:
            raise UserError(
                f"budget.usd is set, but no price is known for {client.model!r}. "
                "Set policy.price: {input: USD, output: USD} per million tokens, or use budget.llm_tokens."
            )

    def bind(self, log: CallLog) -> None:
        """Ask for whoever keeps this log."""
        self._log = log

    def bound(self, log: CallLog) -> Self:
        """The same language model, asking for whoever keeps this log; this chat stays as it is."""
        other = copy.copy(self)
        other.bind(log)
        return other

    def ask(
        self,
        *,
        purpose: str,
        system: str,
        prompt: str,
        schema: type[Answer],
        max_tokens: int,
        check: Callable[[Answer], str | None] = lambda answer: None,
        trial: int | None = None,
    ) -> Answer | None:
        """An answer that fits the schema and passes `check` (None, or why not); None where all attempts failed.

        Args:
            trial: what it is asked for; a job's log knows its own.

        Raises:
            BudgetSpent: the call would pass the budget.
            UserError: too many failures in a row, or a failure that only the user can mend.
        """
        asked = prompt
        for attempt in range(self._attempts):
            key = content_id([self.client.model, system, asked, schema.model_json_schema(), max_tokens])
            draft = LLMCall(key=key, trial=trial, purpose=purpose, model=self.client.model, system=system, prompt=asked)
            call, fresh = self._log.answered(key), False
            if call is None:
                call, fresh = self._call(draft, schema, max_tokens), True
            answer, wrong = _read(call, schema, check)
            if fresh:
                self._log.record(replace(call, error=call.error or wrong))
                self._count(answer is not None, call.error or wrong)
            if answer is not None:
                return answer
            if call.answer is None:
                self._sleep(min(LONGEST_WAIT_S, 2.0**attempt))
            else:
                asked = f"{prompt}\n\nYour last answer could not be used: {wrong}\nAnswer again."
        return None

    def close(self) -> None:
        """Stop what the client started."""
        self.client.close()

    def _call(self, draft: LLMCall, schema: type[BaseModel], max_tokens: int) -> LLMCall:
        self._afford((len(draft.system) + len(draft.prompt)) // CHARS_PER_TOKEN, max_tokens)
        started = time.monotonic()
        try:
            reply = self.client.complete(system=draft.system, prompt=draft.prompt, schema=schema, max_tokens=max_tokens)
        except NoReply as error:
            return replace(draft, error=str(error) or type(error).__name__, wall_s=time.monotonic() - started)
        return replace(
            draft,
            answer=reply.text,
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            usd=reply.usd,
            wall_s=round(time.monotonic() - started, 3),
        )

    def _afford(self, tokens_in: int, tokens_out: int) -> None:
        spent, budget = self._log.spent, self._budget
        if budget.llm_tokens is not None and spent.tokens + tokens_in + tokens_out > budget.llm_tokens:
            raise BudgetSpent(
                "llm_tokens",
                f"budget.llm_tokens: {spent.tokens:,} of {budget.llm_tokens:,} are spent; the next call passes it",
            )
        usd = self.client.price(tokens_in, tokens_out)
        if budget.usd is not None and usd is not None and spent.usd + usd > budget.usd:
            raise BudgetSpent(
                "usd", f"budget.usd: {spent.usd:.4f} of {budget.usd:g} are spent; the next call passes it"
            )

    def _count(self, succeeded: bool, wrong: str | None) -> None:
        self._failures.in_a_row = 0 if succeeded else self._failures.in_a_row + 1
        in_a_row = self._failures.in_a_row
        if in_a_row >= self._max_failures:
            raise UserError(
                f"the last {in_a_row} answers of {self.client.model!r} could not be used (the last one: {wrong}). "
                "The study is paused and nothing is lost: mend the model or its server (policy.base_url may change), "
                "then run the same command again."
            )


def _read(
    call: LLMCall, schema: type[Answer], check: Callable[[Answer], str | None]
) -> tuple[Answer | None, str | None]:
    if call.answer is None:
        return None, call.error
    if not call.answer.strip():
        return None, "it was empty"
    try:
        answer = schema.model_validate(json.loads(call.answer))
    except ValidationError as error:
        return None, "; ".join(_problem(p) for p in error.errors(include_url=False))[:600]
    except ValueError as error:
        return None, f"it was not JSON ({error})"
    wrong = check(answer)
    return (None, wrong) if wrong else (answer, None)


def _problem(problem: Any) -> str:
    return f"{'.'.join(map(str, problem['loc'])) or 'the answer'}: {problem['msg']} (given: {problem['input']!r:.60})"
