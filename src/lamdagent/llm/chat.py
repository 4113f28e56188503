"""Ask a language model so that nothing it says, or fails to say, can stop or corrupt a search.

Every answer goes into a log before it is used, under the hash of all that was sent: into the journal where the search
asks, into the study's `calls/` where a job does. The same question is therefore answered from there when a killed search
is resumed, and never paid for twice. Whatever a client returns or raises becomes an answer, a failure that may pass, or one
that only the user can mend.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self, TypeVar

from pydantic import BaseModel

from lamdagent.core.budget import Budget
from lamdagent.core.errors import BudgetSpent, LamdagentError, UserError
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.protocols import CallLog
from lamdagent.core.spent import Spent
from lamdagent.core.text import told, writable
from lamdagent.core.types import content_id
from lamdagent.llm.config import HOW_ASKED
from lamdagent.llm.reading import read
from lamdagent.llm.usage import estimated_tokens, used

Answer = TypeVar("Answer", bound=BaseModel)
LONGEST_WAIT_S = 60.0
LONGEST_ANSWER = 1_000_000  # characters that are kept of an answer
LENGTH, WITHHELD = "length", "content_filter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer as text, with what it took as far as the provider says: None is not known.

    `thought` is what the model wrote before the answer, where the provider tells; `finish` is why the answer ended;
    `adapted` is what of the question the provider refused, and was changed.
    """

    text: str
    tokens_in: int | None = None
    tokens_out: int | None = None
    thought: str = ""
    finish: str | None = None
    adapted: tuple[str, ...] = ()


class NoReply(Exception):
    """No answer came: a time-out, a rate limit, a server that is down. Asking again, after `wait_s`, may help."""

    def __init__(self, message: str, *, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s or 0.0


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


def again(section: str) -> str:
    """What to do about a language model that the study waits for.

    Args:
        section: of the study file that names it, `policy` or `tasks.NAME.judge`.
    """
    free = "any key under policy" if section == "policy" else f"of {section}, {', '.join(HOW_ASKED)}"
    return f"Nothing is lost: change it ({free} may change) and run the same command again."


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
    last: str | None = None
    answered: bool = False  # since this process began


class Chat:
    """Questions to one client, with retries, a budget, and a log as memory of all answers.

    Args:
        answer_tokens: the least that every answer may take, whatever its asker grants.
        attempts: times a question is asked, each time with what was wrong with the last answer.
        max_failures: failures in a row, over all questions, that pause the study.
        sleep: waits between attempts after no reply; tests pass one that does not.
        section: of the study file that names it, for messages.
    """

    def __init__(
        self,
        client: Client,
        *,
        budget: Budget,
        answer_tokens: int | None = None,
        attempts: int = 3,
        max_failures: int = 10,
        sleep: Callable[[float], None] = time.sleep,
        section: str = "policy",
    ) -> None:
        self.client, self._budget, self._answer_tokens = client, budget, answer_tokens or 0
        self._attempts, self._max_failures, self._sleep = attempts, max_failures, sleep
        self.section = section
        self._failures = _Failures()  # shared by all that are bound of it: a server that is down is down for all
        self._log: CallLog = _Unlogged()
        if budget.usd is not None and client.price(1, 1) is None:
            raise UserError(
                f"budget.usd is set, but no price is known for {client.model!r}. "
                f"Set {section}.price: {{input: USD, output: USD}} per million tokens, or use budget.llm_tokens."
            )

    @property
    def last_failure(self) -> str | None:
        """What was wrong with the last answer, or why none came; None where it was of use."""
        return self._failures.last

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
        salt: str = "",
    ) -> Answer | None:
        """An answer that fits the schema and passes `check` (None, or why not); None where all attempts failed.

        Args:
            trial: what it is asked for; a job's log knows its own.
            salt: what else the answer depends on. Where it is given, a usable answer counts whatever room it had.

        Raises:
            BudgetSpent: the call would pass the budget.
            UserError: too many failures in a row, none but failures since this process began, or one that only the
                user can mend.
        """
        max_tokens = max(max_tokens, self._answer_tokens)
        system, prompt = writable(system), writable(prompt)
        asked, seen, ever_fresh, model = prompt, list[LLMCall](), False, self.client.model
        for attempt in range(self._attempts):
            key = content_id([model, system, asked, schema.model_json_schema(), salt or max_tokens])
            first = seen[0].key if seen and seen[0].key != key else None
            draft = LLMCall(
                key=key, trial=trial, purpose=purpose, model=model, system=system, prompt=asked, question=first
            )  # fmt: skip
            call, fresh, wait_s = self._log.answered(key), False, 0.0
            if call is None:
                (call, wait_s), fresh = self._call(draft, schema, max_tokens), True
            answer, wrong = self._usable(call, schema, check, max_tokens)
            if fresh:
                self._log.record(replace(call, error=call.error or wrong))
                self._count(answer is not None, call.error or wrong)
            if answer is not None:
                return answer
            seen, ever_fresh = [*seen, call], ever_fresh or fresh
            if call.answer is not None:
                given = sum(one.answer is not None for one in seen)
                which = "last answer" if given == 1 else f"last {given} answers"  # so that no question is asked twice
                asked = f"{prompt}\n\nYour {which} could not be used: {wrong}\nAnswer again."
            elif attempt + 1 < self._attempts:
                self._sleep(min(LONGEST_WAIT_S, max(2.0**attempt, wait_s)))
        if ever_fresh and not self._failures.answered:
            self._stop_before_any_answer(seen, max_tokens)
        return None

    def close(self) -> None:
        """Stop what the client started."""
        self.client.close()

    def _call(self, draft: LLMCall, schema: type[BaseModel], max_tokens: int) -> tuple[LLMCall, float]:
        """What came of a question, and for how many seconds the provider wants to be left alone."""
        shape = json.dumps(schema.model_json_schema())
        about = estimated_tokens(draft.system, draft.prompt, shape)
        self._afford(about, max_tokens)
        started, wait_s = time.monotonic(), 0.0
        try:
            reply = self.client.complete(system=draft.system, prompt=draft.prompt, schema=schema, max_tokens=max_tokens)
            call = self._kept(draft, reply, about, max_tokens)
        except LamdagentError as error:
            self._log.record(replace(draft, error=told(str(error))))
            raise
        except NoReply as error:
            call, wait_s = replace(draft, error=told(str(error)) or type(error).__name__), error.wait_s
        except Exception as error:  # a client is a library's code over a stranger's server: it may raise anything
            call = replace(draft, error=told(error))
        return replace(call, wall_s=round(time.monotonic() - started, 3)), wait_s

    def _kept(self, draft: LLMCall, reply: Reply, about: int, max_tokens: int) -> LLMCall:
        """A reply as what the log can hold, its tokens estimated where they are not known."""
        cut = max_tokens if reply.finish == LENGTH else 0
        wrote = max(cut, estimated_tokens(reply.text, reply.thought)) if reply.text or reply.thought or cut else 0
        tokens_in, tokens_out = used(reply.tokens_in, about), used(reply.tokens_out, wrote)
        counts = tokens_in or about, wrote if tokens_out is None else tokens_out
        return replace(
            draft,
            answer=writable(reply.text[:LONGEST_ANSWER]),
            tokens_in=counts[0],
            tokens_out=counts[1],
            usd=self.client.price(*counts),
            finish=None if reply.finish is None else told(reply.finish, 40),
            estimated=tokens_in is None or tokens_out is None,
            adapted=reply.adapted,
        )

    def _afford(self, tokens_in: int, tokens_out: int) -> None:
        spent, budget = self._log.spent, self._budget
        if budget.llm_tokens is not None and spent.tokens + tokens_in + tokens_out > budget.llm_tokens:
            raise BudgetSpent(
                "llm_tokens",
                f"budget.llm_tokens: {spent.tokens:,} of {budget.llm_tokens:,} are spent; the next call passes it",
            )
        if budget.usd is None or (usd := self.client.price(tokens_in, tokens_out)) is None:
            return
        before = self.client.price(*spent.unpriced)
        paid = spent.usd + (before or 0.0)  # a cap may come later than calls that nobody priced: at today's price
        if paid + usd > budget.usd:
            raise BudgetSpent("usd", f"budget.usd: {paid:.4f} of {budget.usd:g} are spent; the next call passes it")

    def _count(self, succeeded: bool, wrong: str | None) -> None:
        failures = self._failures
        failures.in_a_row, failures.last = (0, None) if succeeded else (failures.in_a_row + 1, wrong)
        failures.answered = failures.answered or succeeded
        if failures.in_a_row >= self._max_failures:
            raise UserError(
                f"the last {failures.in_a_row} answers of {self.client.model!r} could not be used (the last one: "
                f"{wrong}). The study is paused: mend the model or its server, or ask another one. {again(self.section)}"
            )

    def _stop_before_any_answer(self, failed: Sequence[LLMCall], max_tokens: int) -> None:
        """Stop where a process begins with failures that the next question would meet, too: trials that a fallback chooses
        are no search by a language model."""
        last, single = failed[-1].error, len(failed) == 1
        asked = "the question" if single else f"all {len(failed)} questions"
        asked = f"{asked} to {self.client.model!r} {'was' if single else 'were'}"
        if all(call.answer is None for call in failed):
            raise UserError(
                f"{asked} left without an answer (the last one: {last}). Is its server up, and is "
                f"{self.section}.base_url its address? {again(self.section)}"
            )
        if all(call.finish == LENGTH for call in failed):
            raise UserError(
                f"{asked} cut off at {max_tokens} tokens. A reasoning model thinks before it answers: raise "
                f"{self.section}.answer_tokens, to {max(2000, 4 * max_tokens)} say. {again(self.section)}"
            )

    def _usable(
        self, call: LLMCall, schema: type[Answer], check: Callable[[Answer], str | None], max_tokens: int
    ) -> tuple[Answer | None, str | None]:
        """What a call answers, or what is wrong with it."""
        if call.answer is None:
            return None, call.error
        answer, wrong = read(call.answer, schema, check)
        if answer is None and call.finish == LENGTH:
            wrong = f"it was cut off at {max_tokens} tokens ({self.section}.answer_tokens): {wrong}"
        if answer is None and call.finish == WITHHELD:
            wrong = f"it was withheld by the provider (finish reason content_filter): {wrong}"
        return answer, wrong
