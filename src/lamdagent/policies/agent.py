"""A language model selects: first the action type, then all its objects in one answer.

Source: LaMDAgent (arXiv 2505.21963). One inference for everything gave more answers that could not be parsed, and one
per object provided effects of their order.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from lamdagent.core.config import Parts
from lamdagent.core.evidence import dataset_gains, labels, repeats
from lamdagent.core.format import contents, described, guard_breaks, recipe, scored, setting
from lamdagent.core.protocols import Policy, Shortlist
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import FALLBACK, Action, Choice, Object, ObjectId, Slot
from lamdagent.llm.chat import Chat
from lamdagent.llm.config import ChatConfig
from lamdagent.llm.prompts import render
from lamdagent.policies.moves import one_by_one, seeded

REASON_CHARS = 300
ANSWER_TOKENS = 400
MEMORY_CHARS = 6000
DONE_SHOWN = 6  # earlier partners of a model
CANDIDATES = 12  # of a shortlist
INSTEAD_SHOWN = 8  # objects of a slot that a refusal offers instead
Reason = Annotated[
    str,
    BeforeValidator(lambda text: text[:REASON_CHARS] if isinstance(text, str) else text),
    Field(json_schema_extra={"maxLength": REASON_CHARS}),
]


class AgentConfig(ChatConfig):
    """A language model that chooses in two steps, as in the paper, and falls back to another policy where it fails."""

    fallback: str = Field("random", description="the policy that chooses where no answer can be used")
    shortlist: Literal["surrogate"] | None = Field(
        None, description="surrogate: choose among its best and most uncertain candidates, in one question a trial"
    )
    shown: int = Field(
        24, ge=4, description="most models listed in a prompt: the best, the latest, the different, the untried"
    )
    prompts: str | None = Field(None, description="folder with your own system.md, type.md, objects.md or shortlist.md")

    def arguments(self, parts: Parts) -> dict[str, Any]:
        return {
            "chat": parts.chat("policy: agent"),
            "fallback": parts.plain_policy(self.fallback),
            "shortlist": None if self.shortlist is None else parts.plain_policy(self.shortlist),
            "shown": self.shown,
            "prompts": None if self.prompts is None else parts.path(self.prompts),
        }


class Agent:
    """Asks a language model what to do next.

    Args:
        chat: the model to ask.
        fallback: chooses where no answer can be used; the choice says so.
        shortlist: finds the candidates to choose from; None asks in the paper's two steps.
        shown: most models in a prompt.
        prompts: the user's own prompt folder.
    """

    Config = AgentConfig
    name = "agent"

    def __init__(
        self,
        *,
        chat: Chat,
        fallback: Policy,
        shortlist: Shortlist | None = None,
        shown: int = 24,
        prompts: Path | None = None,
    ) -> None:
        self._chat, self._fallback, self._shortlist = chat, fallback, shortlist
        self._shown, self._prompts = shown, prompts

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        return one_by_one(state, space, n, self._choose)

    def _choose(self, state: State, space: ActionSpace) -> Choice | None:
        feasible = [type for type in space.types if next(space.of_type(type), None) is not None]
        if not feasible:
            return None
        asked = self._ask_in_two(state, space, feasible) if self._shortlist is None else self._ask_once(state, space)
        if isinstance(asked, Choice):
            return asked
        fallback = self._fallback.select(state, space, 1)
        return next(
            (Choice(action=c.action, reason=f"{asked}; {c.reason}", by=f"{c.by}{FALLBACK}") for c in fallback), None
        )

    @property
    def _unusable(self) -> str:
        last = self._chat.last_failure
        return f"no answer of {self._chat.client.model} could be used" + (f" ({last:.150})" if last else "")

    def _ask_in_two(self, state: State, space: ActionSpace, feasible: Sequence[str]) -> Choice | str:
        """A choice, or why there is none."""
        rng = seeded(state)
        chosen = self._ask_type(state, space, rng.sample(feasible, len(feasible)))
        picked = None if chosen is None else self._ask_objects(state, space, chosen[0], rng)
        if chosen is None or picked is None:
            return self._unusable
        return Choice(action=picked[0], reason=f"{chosen[1]} | {picked[1]}", by=self.name)

    def _ask_once(self, state: State, space: ActionSpace) -> Choice | str:
        """One of the shortlist's candidates, shown in random order; or why there is none."""
        assert self._shortlist is not None
        found = self._shortlist.shortlist(state, space, CANDIDATES)
        if isinstance(found, str):
            return f"the shortlist is empty ({found}), so {self._chat.client.model} was not asked"
        names = labels(state)
        listed = {f"C{i}": one for i, one in enumerate(seeded(state).sample(found, len(found)), 1)}
        options = [
            {"name": label, "about": f"{described(state, one.action, names)}: {one.reason}"}
            for label, one in listed.items()
        ]
        models = {i: None for one in found for i in one.action.object_ids if state.pool[i].kind == "model"}
        known = [{"name": names[i], "about": describe(state, state.pool[i], names)} for i in models]
        prompt = self._render("shortlist.md", **self._situation(state), options=options, models=known)
        schema = _schema("CandidateChoice", candidate=(Literal[tuple(listed)], ...))
        answer: Any = self._ask(state, space, "candidate", prompt, schema)
        if answer is None:
            return self._unusable
        one = listed[answer.candidate]
        return Choice(action=one.action, reason=f"{answer.reason} | {one.reason}", by=self.name)

    def _ask_type(self, state: State, space: ActionSpace, types: Sequence[str]) -> tuple[str, str] | None:
        described = [describe_type(state, space, type) for type in types]
        schema = _schema("ActionTypeChoice", type=(Literal[tuple(types)], ...))
        prompt = self._render("type.md", **self._situation(state), types=described)
        answer: Any = self._ask(state, space, "type", prompt, schema)
        return None if answer is None else (answer.type, answer.reason)

    def _ask_objects(
        self, state: State, space: ActionSpace, type: str, rng: random.Random
    ) -> tuple[Action, str] | None:
        names = labels(state)
        ids: dict[str, dict[str, ObjectId]] = {}
        slots, fields = [], {}
        for slot in space.types[type].slots:
            fitting = space.options(type)[slot.name]
            listed = list(shortlist(state, fitting, self._shown))
            rng.shuffle(listed)
            ids[slot.name] = {names.get(obj.id, obj.name): obj.id for obj in listed}
            options = [
                {"name": name, "about": describe(state, state.pool[i], names) + done_with(state, i, type, names)}
                for name, i in ids[slot.name].items()
            ]
            left_out = len(fitting) - len(listed)
            slots.append({"name": slot.name, "count": slot.count, "options": options, "left_out": left_out})
            fields[slot.name] = (_field(slot, tuple(ids[slot.name])), ...)

        def action_of(answer: Any) -> Action:
            picked = {slot: _listed(getattr(answer, slot)) for slot in ids}
            return space.action(type, {slot: [ids[slot][name] for name in picked[slot]] for slot in ids})

        prompt = self._render(
            "objects.md", **self._situation(state), type=describe_type(state, space, type), slots=slots
        )
        schema = _schema("ObjectsChoice", **fields)

        def check(answer: Any) -> str | None:
            action = action_of(answer)
            refusal = space.why_invalid(action)
            return refusal and _relabelled(state, refusal, names) + _instead(space, action, ids)

        answer: Any = self._ask(state, space, "objects", prompt, schema, check)
        return None if answer is None else (action_of(answer), answer.reason)

    def _ask(
        self, state: State, space: ActionSpace, purpose: str, prompt: str, schema: Any, check: Any = lambda answer: None
    ) -> Any:
        goals = ", ".join(f"{g.task} (weight {g.weight:g}, best {g.max_score:g})" for g in state.goals)
        guards = ", ".join(f"{g.task} (at most {g.max_drop:g} below its base model)" for g in state.guards)
        data = ", ".join(name for name, type in space.types.items() if type.makes == "dataset")
        system = self._render("system.md", goals=goals, guards=guards, data=data)
        return self._chat.ask(
            trial=len(state.trials), purpose=purpose, system=system, prompt=prompt,
            schema=schema, max_tokens=ANSWER_TOKENS, check=check,
        )  # fmt: skip

    def _situation(self, state: State) -> dict[str, Any]:
        names = labels(state)
        ranked = state.ranked()
        best = f" The best model is {names[ranked[0][0].id]} with {scored(ranked[0][1])}." if ranked else ""
        given = [f"{names[o.id]} {scored(v)}" for o, v in ranked if o.made_by is None]
        started = f" Given at the start: {', '.join(given)}." if given else ""
        memory = state.memory[:MEMORY_CHARS] or "None yet: this is the first trial."
        standing = f"{len(state.trials)} trials so far.{best}{started}"
        return {"standing": standing, "memory": memory, "warning": repeats(state)}

    def _render(self, name: str, **values: Any) -> str:
        return render("lamdagent.policies", name, self._prompts, **values)


def describe_type(state: State, space: ActionSpace, type: str) -> dict[str, Any]:
    """What a prompt says of an action type."""
    action_type = space.types[type]
    slots = ", ".join(f"{slot.count} {slot.kind} ({slot.name})" for slot in action_type.slots)
    about = (action_type.__doc__ or "").strip().splitlines()[0]
    return {
        "name": type,
        "about": about,
        "slots": slots,
        "makes": action_type.makes,
        "done": sum(t.choice.action.type == type for t in state.trials),
    }


def describe(state: State, obj: Object, names: Mapping[ObjectId, str]) -> str:
    """What a prompt says of an object: a model's objective, scores and recipe; a dataset's rows; a setting's values."""
    if obj.kind == "hyperparameters":
        return setting(obj)
    if obj.kind == "dataset":
        return _describe_dataset(state, obj, names)
    by_task = ", ".join(f"{s.task} {s.value:.2f}" for s in state.scores.get(obj.id, ()))
    broken = f"; {words}" if (words := guard_breaks(state, obj.id)) else ""
    return f"objective {scored(state.objective(obj.id))} ({by_task}){broken}; recipe: {recipe(state, obj.id, names)}"


def _describe_dataset(state: State, dataset: Object, names: Mapping[ObjectId, str]) -> str:
    about = contents(dataset)
    if dataset.made_by is None:
        return about
    gained = dataset_gains(state).get(dataset.id)
    worth = "no model was trained on it yet" if gained is None else f"models trained on it gained {gained}"
    return f"{about}; made by {recipe(state, dataset.id, names)}; {worth}"


def done_with(state: State, object_id: ObjectId, type: str, names: Mapping[ObjectId, str]) -> str:
    """What a model was taken together with in actions of a type before, the latest few; nothing for other objects."""
    if state.pool[object_id].kind != "model":
        return ""
    done = [
        "/".join(names.get(i, state.pool[i].name) for i in trial.choice.action.object_ids if i != object_id)
        for trial in state.trials
        if trial.choice.action.type == type and object_id in trial.choice.action.object_ids
    ]
    return f"; done with: {', '.join(done[-DONE_SHOWN:])}" if done else ""


def shortlist(state: State, fitting: Sequence[Object], most: int) -> Sequence[Object]:
    """At most `most` objects: a third the best, then the latest, the untried, and the first of each lineage in turn."""
    if len(fitting) <= most:
        return fitting
    used = {i for trial in state.trials for i in trial.choice.action.object_ids}
    rank = {obj.id: i for i, (obj, _) in enumerate(state.ranked())}
    best = sorted(fitting, key=lambda obj: rank.get(obj.id, len(rank)))
    lineages: dict[str, Object] = {}
    for obj in best:
        lineages.setdefault(" ".join(sorted(set(recipe(state, obj.id).split(" > ")[1:]))), obj)
    latest, untried = list(reversed(fitting)), [obj for obj in best if obj.id not in used]
    picked: dict[ObjectId, Object] = {}
    for group, share in ((best, 3), (latest, 4), (untried, 4), (list(lineages.values()), 1)):
        room = most - len(picked) if share == 1 else most // share
        fresh = [obj for obj in group if obj.id not in picked][:room]
        picked.update((obj.id, obj) for obj in fresh)
    return list(picked.values())


def _schema(title: str, **fields: Any) -> type[BaseModel]:
    config = ConfigDict(extra="forbid", protected_namespaces=())
    made: type[BaseModel] = create_model(title, __config__=config, reason=(Reason, ...), **fields)
    return made


def _field(slot: Slot, names: tuple[str, ...]) -> Any:
    one: Any = Literal[names]
    if slot.at_most == 1:
        return one
    return Annotated[list[one], Field(min_length=slot.at_least, max_length=slot.most(max(len(names), slot.at_least)))]


def _relabelled(state: State, refusal: str, names: Mapping[ObjectId, str]) -> str:
    """A refusal in the labels that the model was shown."""
    for object_id, label in names.items():
        refusal = refusal.replace(repr(state.pool[object_id].name), repr(label))
    return refusal


def _instead(space: ActionSpace, action: Action, ids: Mapping[str, Mapping[str, ObjectId]]) -> str:
    """What could be done in place of a refused action by changing one object of it, among those that were shown."""
    shown = {object_id: name for slot in ids.values() for name, object_id in slot.items()}
    found: dict[str, dict[str, None]] = {}
    for slot, obj, other in space.neighbors(action):
        if obj.id in shown and obj.id in other.inputs[slot]:
            found.setdefault(slot, {})[shown[obj.id]] = None
    parts = [f"another of {slot} ({', '.join(list(names)[:INSTEAD_SHOWN])})" for slot, names in found.items()]
    return f". Doable with one change: {'; or '.join(parts)}" if parts else ""


def _listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]
