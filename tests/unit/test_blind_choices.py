"""A policy that draws blindly says why, and looks past whatever is refused before it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from lamdagent.core.action_type import ActionType
from lamdagent.core.events import Asked, ObjectAdded, Told
from lamdagent.core.protocols import Policy
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Failed, Object, Slot
from lamdagent.policies.agent.policy import Agent
from lamdagent.policies.evolution import PARENTS, Evolution
from lamdagent.policies.greedy import Greedy
from lamdagent.policies.random import Random
from lamdagent.policies.surrogate.policy import Surrogate
from lamdagent.policies.tpe import SUGGESTIONS, Tpe
from lamdagent.testing import toy
from lamdagent.testing.fake_chat import FakeClient, fake_chat

UNSCORED = reduce_events(toy.first_events())
WARM = toy.grown(6)


class Refusing(toy.ToyStep):
    """Refuses, of combinations only, what has a word in its name."""

    slots = tuple(Slot(name=slot.name, kind=slot.kind) for slot in toy.ToyStep.slots)

    def __init__(self, word: str) -> None:
        self._word = word

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        (dataset,), (model,) = inputs["dataset"], inputs["model"]
        return f"{dataset.name} does not go with {model.name}" if self._word in dataset.name else None


class NoMean(toy.ToyMean):
    """Merges nothing."""

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        return "they do not go together"


def all_done(state: State, types: Mapping[str, ActionType]) -> tuple[State, Mapping[str, ActionType]]:
    """A state in which all that some types could do has failed, and those types with one more, which is not tried."""
    choices = Random().select(state, ActionSpace(state, types), 10_000)
    for number, choice in enumerate(choices, len(state.trials)):
        failed = Told(number=number, outcome=Failed(cause="diverged", message="far away"))
        state = reduce_events([Asked(number=number, choice=choice), failed], state)
    return state, {**types, "open": toy.ToyOpen(Slot(name="dataset", kind="dataset"))}


def why(policy: Policy, state: State, types: Mapping[str, ActionType]) -> str:
    (choice,) = policy.select(state, ActionSpace(state, types), 1)
    return choice.reason


STEP: dict[str, ActionType] = {"step": toy.ToyStep()}
DATA: dict[str, ActionType] = {"open": toy.ToyOpen(Slot(name="dataset", kind="dataset"))}
NEVER: dict[str, ActionType] = {"step": Refusing(""), **DATA}
DONE = all_done(toy.grown(0), STEP)
CASES: list[tuple[Policy, State, Mapping[str, ActionType], str]] = [
    (Surrogate(), UNSCORED, STEP, "no model has scores yet"),
    (Surrogate(), WARM, DATA, "no action type makes a model from models"),
    (Surrogate(), toy.grown(0), {"mean": toy.ToyMean(), **DATA}, "no scored model can be put into an action"),
    (Surrogate(), *DONE, "every action that can be predicted was tried"),
    (Surrogate(), WARM, NEVER, f"{len(WARM.scores) * 9} candidates ranked, all tried or refused, such as: "),
    (Greedy(exploration=1.0), WARM, STEP, "exploring"),
    (Greedy(exploration=0.0), UNSCORED, STEP, "no model has scores yet"),
    (Greedy(exploration=0.0), WARM, NEVER, "no action was found that goes on from a scored model"),
    (Evolution(), UNSCORED, STEP, "warm-up"),
    (Evolution(warmup=0), UNSCORED, STEP, "no model has scores yet"),
    (Evolution(), WARM, {**NEVER, "mean": NoMean()}, f"no mutation was found in {PARENTS} tournaments"),
    (Tpe(), WARM, DATA, "no action type trains a single model here"),
    (Tpe(startup=0), *DONE, f"none of {SUGGESTIONS} suggested pipelines has a step left to do: "),
]


@pytest.mark.parametrize(("policy", "state", "types", "reason"), CASES, ids=[f"{c[0].name}: {c[3]}" for c in CASES])
def test_a_blind_draw_says_why(policy: Policy, state: State, types: Mapping[str, ActionType], reason: str) -> None:
    assert why(policy, state, types).startswith(f"drawn at random: {reason}")


def test_the_reason_names_a_refusal_and_what_was_done() -> None:
    assert " does not go with " in why(Surrogate(), WARM, NEVER)
    said = why(Tpe(), *DONE)
    assert "all of it was done" in said
    assert "already tried: it failed as trial " in said


def test_a_fallback_says_why_the_model_was_not_heard_and_how_it_chose_itself() -> None:
    deaf = Agent(chat=fake_chat(FakeClient(["no"] * 3)), fallback=Surrogate())
    said = why(deaf, UNSCORED, STEP)
    assert said.startswith("no answer of fake could be used (it was not JSON (")
    assert said.endswith("; drawn at random: no model has scores yet")
    client = FakeClient()
    asked_once = Agent(chat=fake_chat(client), fallback=Random(), shortlist=Surrogate())
    assert why(asked_once, UNSCORED, STEP) == (
        "the shortlist is empty (no model has scores yet), so fake was not asked; drawn at random"
    )
    assert client.asked == []


def test_the_surrogate_looks_past_any_number_of_combinations_that_are_refused() -> None:
    """Refused ones are never tried, so they stay the least certain and crowd the front of what is ranked."""
    state = toy.grown(0)
    for choice in Random().select(state, ActionSpace(state, STEP), 6):  # what can be done is known to fail often
        number = len(state.trials)
        failed = Told(number=number, outcome=Failed(cause="diverged", message="far away"))
        state = reduce_events([Asked(number=number, choice=choice), failed], state)
    refused = [ObjectAdded(object=toy.vector(f"refused-{i}", (0.0, 0.0))) for i in range(1000)]
    state = reduce_events(refused, state)
    space = ActionSpace(state, {"step": Refusing("refused")})
    chosen = [*Surrogate().select(state, space, 1), *Surrogate().shortlist(state, space, 3)]
    assert [choice.reason.split()[0] for choice in chosen] == ["predicted"] * 4
