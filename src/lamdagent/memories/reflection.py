"""A language model rewrites a short text after every trial, with a computed table of evidence beside it.

Source: LaMDAgent (arXiv 2505.21963): past results, the old memory and the new result become a few sentences of
experience and promising directions, which replace the memory. The table is ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, create_model

from lamdagent.core import evidence
from lamdagent.core.config import Config, Parts
from lamdagent.core.errors import BudgetSpent
from lamdagent.core.state import State
from lamdagent.core.types import Trial
from lamdagent.llm.chat import Chat
from lamdagent.llm.prompts import render
from lamdagent.memories.table import best_lines

LATEST = 8
BEST = 5
CHARS_PER_TOKEN = 4
WORDS_PER_TOKEN = 0.5
SYSTEM = "You keep the notes of a search for the best way to post-train a language model. Answer in JSON only."


class ReflectionConfig(Config):
    """Notes that the policy's language model rewrites after every trial. Needs policy: {kind: agent}."""

    max_tokens: int = Field(800, ge=50, description="length of the notes")
    evidence: bool = Field(
        True, description="a table computed from the journal beside the notes; false: the paper's form"
    )
    prompts: str | None = Field(None, description="folder with your own reflection.md")

    def arguments(self, parts: Parts) -> dict[str, Any]:
        return {
            "chat": parts.chat("memory: reflection"),
            "max_tokens": self.max_tokens,
            "evidence": self.evidence,
            "prompts": None if self.prompts is None else parts.path(self.prompts),
        }


class Reflection:
    """Notes by a language model. Where no answer can be used, the old notes stay and the result is added to them."""

    Config = ReflectionConfig

    def __init__(
        self, *, chat: Chat, max_tokens: int = 800, evidence: bool = True, prompts: Path | None = None
    ) -> None:
        self._chat, self._max_tokens, self._evidence, self._prompts = chat, max_tokens, evidence, prompts

    def update(self, state: State, trial: Trial) -> str:
        notes = self._notes(state, trial, evidence.told_notes(state.memory))
        return notes + evidence.COMPUTED + evidence.evidence_table(state) if self._evidence else notes

    def _notes(self, state: State, trial: Trial, old: str) -> str:
        names = evidence.labels(state)
        most_chars = self._max_tokens * CHARS_PER_TOKEN
        ended = [t for t in state.trials if t.outcome is not None and t != trial][-LATEST:]
        number, of = trial.number + 1, (state.config.get("budget") or {}).get("trials")
        prompt = render(
            "lamdagent.memories",
            "reflection.md",
            self._prompts,
            standing=f"Trial {number}{f' of {of}' if of else ''} has ended.",
            notes=old or "None yet.",
            evidence=evidence.evidence_table(state) if self._evidence else "See the latest trials.",
            best="\n".join(best_lines(state, names, BEST)),
            latest="\n".join(f"- {evidence.line_of(state, t, names)}" for t in ended) or "None.",
            result=evidence.line_of(state, trial, names),
            plan=trial.choice.plan,
            data=any(obj.made_by is not None for obj in state.of_kind("dataset")),
            words=round(self._max_tokens * WORDS_PER_TOKEN),
        )
        try:
            answer = self._chat.ask(
                trial=trial.number, purpose="memory", system=SYSTEM, prompt=prompt,
                schema=_schema(most_chars), max_tokens=self._max_tokens + 50,
            )  # fmt: skip
        except BudgetSpent:
            answer = None
        if answer is None:
            return f"{old}\nNot reflected on: {evidence.line_of(state, trial, names)}".strip()[-most_chars:]
        return str(answer.notes) + evidence.planned(trial)  # type: ignore[attr-defined]


def _schema(most_chars: int) -> type[BaseModel]:
    text = Annotated[
        str,
        BeforeValidator(lambda notes: notes[:most_chars] if isinstance(notes, str) else notes),
        Field(min_length=1, json_schema_extra={"maxLength": most_chars}),
    ]
    made: type[BaseModel] = create_model("Notes", notes=(text, ...))
    return made
