"""A language model selects: first the action type, then all its objects in one answer; or both in one question.

Source: LaMDAgent (arXiv 2505.21963), which asks in two: one inference for everything gave more answers that could not be
parsed, and one per object provided effects of their order. Servers that hold answers to a schema make one question safe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from lamdagent.core.config import Parts
from lamdagent.core.evidence import computed_notes, labels, repeats, told_notes
from lamdagent.core.format import described
from lamdagent.core.protocols import Advice, Adviser, Policy, Shortlist
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import FALLBACK, Action, Choice
from lamdagent.llm.chat import Chat
from lamdagent.llm.config import ChatConfig
from lamdagent.llm.prompts import render
from lamdagent.policies.agent import schemas, situation
from lamdagent.policies.agent.menu import Menu, describe
from lamdagent.policies.moves import one_by_one, seeded

ANSWER_TOKENS = 500
CANDIDATES = 12  # of a shortlist
ADVISED = 6  # candidates among everything else


class AgentConfig(ChatConfig):
    """A language model that chooses in two steps, as in the paper, and falls back to another policy where it fails."""

    questions: Literal[1, 2] = Field(
        2, description="2, as in the paper: the action type, then its objects; 1: both in one answer, with fewer tokens"
    )
    repeats: bool = Field(False, description="whether it may do an action once more with another seed of training")
    fallback: str = Field("random", description="the policy that chooses where no answer can be used")
    shortlist: Literal["surrogate"] | None = Field(
        None, description="surrogate: choose among its best and most uncertain candidates, in one question a trial"
    )
    advice: Literal["surrogate"] | None = Field(
        None, description="surrogate: its predictions stand beside what can be chosen, its candidates among the offers"
    )
    shown: int = Field(
        24,
        ge=4,
        description="most models, and datasets, in a prompt: given, best, best on a task, latest, of each lineage",
    )
    examples: int = Field(
        2, ge=0, le=2, description="rows of each dataset, and prompts of each task, that are shown, cut; 0 sends none"
    )
    prompts: str | None = Field(
        None, description="folder with your own system.md, type.md, objects.md, one.md or shortlist.md"
    )

    def arguments(self, parts: Parts) -> dict[str, Any]:
        return {
            "chat": parts.chat("policy: agent"),
            "questions": self.questions,
            "repeats": self.repeats,
            "fallback": parts.plain_policy(self.fallback),
            "shortlist": None if self.shortlist is None else parts.plain_policy(self.shortlist),
            "advice": None if self.advice is None else parts.plain_policy(self.advice),
            "shown": self.shown,
            "examples": self.examples,
            "prompts": None if self.prompts is None else parts.path(self.prompts),
        }


class Agent:
    """Asks a language model what to do next.

    Args:
        chat: the model to ask.
        questions: 2 asks in the paper's two steps, but for a type that is the only one; 1 for both at once.
        repeats: whether an action may be done once more with another seed of training.
        fallback: chooses where no answer can be used; the choice says so.
        shortlist: finds the candidates to choose from; None asks among all.
        advice: says what it predicts beside what can be chosen, and offers candidates beside everything else.
        shown: most models in a prompt, and most datasets.
        examples: rows of each dataset and prompts of each task in a prompt.
        prompts: the user's own prompt folder.
    """

    Config = AgentConfig
    name = "agent"

    def __init__(
        self,
        *,
        chat: Chat,
        fallback: Policy,
        questions: Literal[1, 2] = 2,
        repeats: bool = False,
        shortlist: Shortlist | None = None,
        advice: Adviser | None = None,
        shown: int = 24,
        examples: int = 2,
        prompts: Path | None = None,
    ) -> None:
        self._chat, self._fallback, self._shortlist, self._questions = chat, fallback, shortlist, questions
        self._adviser = advice
        self._shown, self._examples, self._repeats, self._prompts = shown, examples, repeats, prompts

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        return one_by_one(state, space, n, self._choose)

    def _choose(self, state: State, space: ActionSpace) -> Choice | None:
        feasible = [t for t in space.types if space.over(state, {t: space.types[t]}).sample(seeded(state)) is not None]
        if not feasible:
            return None
        asked = self._asked(state, space, feasible)
        if isinstance(asked, Choice):
            return asked
        fallback = self._fallback.select(state, space, 1)
        return next(
            (Choice(action=c.action, reason=f"{asked}; {c.reason}", by=f"{c.by}{FALLBACK}") for c in fallback), None
        )

    def _asked(self, state: State, space: ActionSpace, feasible: Sequence[str]) -> Choice | str:
        """A choice, or why there is none."""
        if self._shortlist is not None:
            return self._ask_candidates(state, space)
        advice = Advice() if self._adviser is None else self._adviser.advice(state, space, ADVISED)
        offers = _labelled(state, advice.candidates)
        several = len(feasible) + bool(offers) > 1
        if self._questions == 1 and several:
            return self._ask_in_one(state, space, feasible, advice, offers) or self._unusable
        if not several:
            return self._ask_objects(state, space, feasible[0], None, advice) or self._unusable
        if (chosen := self._ask_type(state, space, feasible, offers)) is None:
            return self._unusable
        if chosen.type in offers:
            return self._taken(offers[chosen.type], chosen)
        return self._ask_objects(state, space, chosen.type, chosen, advice) or self._unusable

    @property
    def _unusable(self) -> str:
        last = self._chat.last_failure
        return f"no answer of {self._chat.client.model} could be used" + (f" ({last:.150})" if last else "")

    def _ask_type(self, state: State, space: ActionSpace, types: Sequence[str], offers: Mapping[str, Choice]) -> Any:
        """An answer with reason, plan and type; None where none can be used."""
        menu = self._menu(state, space, types)
        prompt = self._render(
            "type.md", **self._situation(state, space), types=[menu.type_line(t) for t in types],
            offers=_shown(state, space, offers),
        )  # fmt: skip
        schema = schemas.answer("ActionTypeChoice", {"type": (Literal[(*types, *offers)], ...)}, plan=True)
        return self._ask(state, space, "type", prompt, schema)

    def _ask_objects(self, state: State, space: ActionSpace, type: str, chosen: Any, advice: Advice) -> Choice | None:
        """The objects of an action type, after the answer that chose it; None where that was not asked."""
        menu = self._menu(state, space, [type], advice)
        facts = self._situation(state, space)
        if chosen is not None:  # notes were read when the type was chosen: nothing is said twice
            facts["memory"] = ""
        reason, plan = (chosen.reason, chosen.plan) if chosen is not None else ("", "")
        prompt = self._render(
            "objects.md", **facts, **menu.sections(), type=menu.type_line(type, whole=True), repeats=self._repeats,
            evidence=computed_notes(state.memory), chosen=reason, plan=plan,
        )  # fmt: skip
        schema = schemas.answer("ObjectsChoice", menu.fields(type), plan=chosen is None)
        answer = self._ask(state, space, "objects", prompt, schema, lambda found: menu.why_not(type, found))
        if answer is None:
            return None
        reason = " | ".join(filter(None, (reason, answer.reason)))
        return self._choice(menu.action(type, answer), reason, plan or getattr(answer, "plan", ""))

    def _ask_in_one(
        self, state: State, space: ActionSpace, types: Sequence[str], advice: Advice, offers: Mapping[str, Choice]
    ) -> Choice | None:
        menu = self._menu(state, space, types, advice)
        prompt = self._render(
            "one.md", **self._situation(state, space), **menu.sections(), repeats=self._repeats,
            evidence=computed_notes(state.memory), offers=_shown(state, space, offers),
        )  # fmt: skip
        schema = schemas.one_of("ActionChoice", {type: menu.fields(type) for type in types}, tuple(offers))

        def why_not(found: Any) -> str | None:
            return None if found.action.type in offers else menu.why_not(found.action.type, found.action)

        answer = self._ask(state, space, "action", prompt, schema, why_not)
        if answer is None:
            return None
        if answer.action.type in offers:
            return self._taken(offers[answer.action.type], answer)
        return self._choice(menu.action(answer.action.type, answer.action), answer.reason, answer.plan)

    def _ask_candidates(self, state: State, space: ActionSpace) -> Choice | str:
        """One of the shortlist's candidates, shown in random order; or why there is none."""
        assert self._shortlist is not None
        found = self._shortlist.shortlist(state, space, CANDIDATES)
        if isinstance(found, str):
            return f"the shortlist is empty ({found}), so {self._chat.client.model} was not asked"
        names, listed = labels(state), _labelled(state, found)
        models = {i: None for one in found for i in one.action.object_ids if space[i].kind == "model"}
        known = [{"name": names[i], "about": describe(state, state.pool[i], names)} for i in models]
        facts = self._situation(state, space)
        prompt = self._render(
            "shortlist.md",
            **facts,
            options=_shown(state, space, listed),
            models=known,
            evidence=computed_notes(state.memory),
        )
        schema = schemas.answer("CandidateChoice", {"candidate": (Literal[tuple(listed)], ...)}, plan=True)
        answer = self._ask(state, space, "candidate", prompt, schema)
        if answer is None:
            return self._unusable
        return self._taken(listed[answer.candidate], answer)

    def _taken(self, candidate: Choice, answer: Any) -> Choice:
        """A candidate that an answer took."""
        return self._choice(candidate.action, f"{answer.reason} | {candidate.reason}", answer.plan)

    def _choice(self, action: Action, reason: str, plan: str) -> Choice:
        return Choice(action=action, reason=reason, by=self.name, plan=plan)

    def _menu(self, state: State, space: ActionSpace, types: Sequence[str], advice: Advice = Advice()) -> Menu:
        return Menu(
            state=state, space=space, types=types, names=labels(state), shown=self._shown, examples=self._examples,
            repeats=self._repeats, predicted=advice.best_with,
        )  # fmt: skip

    def _ask(
        self, state: State, space: ActionSpace, purpose: str, prompt: str, schema: Any,
        check: Callable[[Any], str | None] = lambda answer: None,
    ) -> Any:  # fmt: skip
        data = ", ".join(name for name, type in space.types.items() if type.makes == "dataset")
        system = self._render("system.md", tasks=situation.tasks(state, self._examples), data=data)
        return self._chat.ask(
            trial=len(state.trials), purpose=purpose, system=system, prompt=prompt,
            schema=schema, max_tokens=ANSWER_TOKENS, check=check,
        )  # fmt: skip

    def _situation(self, state: State, space: ActionSpace) -> dict[str, Any]:
        memory = situation.ends_of(told_notes(state.memory)) or "None yet: this is the first trial."
        return {"standing": situation.standing(state, space), "memory": memory, "warning": repeats(state)}

    def _render(self, name: str, **values: Any) -> str:
        return render("lamdagent.policies.agent", name, self._prompts, **values)


def _labelled(state: State, candidates: Sequence[Choice]) -> dict[str, Choice]:
    """Candidates in random order, as C1, C2, …"""
    return {f"C{i}": one for i, one in enumerate(seeded(state).sample(list(candidates), len(candidates)), 1)}


def _shown(state: State, space: ActionSpace, candidates: Mapping[str, Choice]) -> list[dict[str, str]]:
    """What a prompt says of each: what it does, and what is predicted of it."""
    joining = (obj for one in candidates.values() for obj in space.joining(one.action))
    names = {**labels(state), **{obj.id: obj.name for obj in joining}}
    return [
        {"name": label, "about": f"{described(state, one.action, names)}: {one.reason}"}
        for label, one in candidates.items()
    ]
