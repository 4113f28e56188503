"""Datasets that could be made, as if they were there."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from lamdagent.core.action_type import ActionType
from lamdagent.core.protocols import Policy
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Choice, Slot
from lamdagent.policies.evolution import Evolution
from lamdagent.policies.greedy import Greedy
from lamdagent.policies.imagined import REST, imagine, untried, with_made_data
from lamdagent.policies.moves import one_by_one
from lamdagent.policies.tpe import Tpe
from lamdagent.testing import toy


def imagined_of(state: State, most: int) -> list[str]:
    found = imagine(state, toy.space(state), most)
    return [found.state.pool[i].name for i in found.makers]


def on_the_newest(state: State, space: ActionSpace) -> Choice | None:
    """The first step that was not tried, the newest datasets before the others."""
    datasets, rest = reversed(state.of_kind("dataset")), (state.of_kind("model"), state.of_kind("hyperparameters"))
    for dataset, model, setting in itertools.product(datasets, *rest):
        inputs = {"model": [model.id], "dataset": [dataset.id], "hyperparameters": [setting.id]}
        if space.why_invalid(action := space.action("step", inputs)) is None:
            return Choice(action=action, reason="the newest", by="newest")
    return None


class Newest:
    name = "newest"

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        return one_by_one(state, space, n, with_made_data(on_the_newest))


def test_what_could_be_made_is_imagined_once_each_and_at_most_so_many() -> None:
    state = toy.grown(0, makes_data=True)
    assert len(imagined_of(state, 2)) <= 2
    every = imagined_of(state, 30)
    assert sorted(every) == ["blend of east, north", "blend of east, south-west", "blend of north, south-west"]


def test_nothing_is_imagined_where_no_action_makes_data() -> None:
    state = toy.grown(5)
    space = toy.space(state)
    found = imagine(state, space, 30)
    assert not found.makers and found.state is state and found.space is space


def test_a_made_dataset_has_the_id_that_it_was_imagined_with() -> None:
    state = toy.grown(12, models=2, makes_data=True)
    made = [obj for obj in state.of_kind("dataset") if obj.made_by is not None]
    assert made and all(obj.id in state.tried for obj in made)
    assert not set(imagine(state, toy.space(state), 30).makers) & set(state.pool)


def test_what_cannot_be_likened_to_any_dataset_is_not_imagined() -> None:
    class FromModels(toy.ToyOpen):
        makes = "dataset"

    state = toy.grown(2)
    types: dict[str, ActionType] = {"open": FromModels(Slot(name="model", kind="model"))}
    assert not imagine(state, ActionSpace(state, types), 5).makers


def test_a_choice_that_takes_an_imagined_dataset_makes_it_first_and_then_trains_on_it() -> None:
    first, second, *_ = (trial.choice for trial in toy.search(Newest(), trials=2, makes_data=True).trials)
    assert first.action.type == "blend" and first.reason.endswith("for: the newest")
    assert second.action.type == "step" and first.action.id in second.action.object_ids


def test_trials_that_make_data_are_kept_apart() -> None:
    state = toy.search(Newest(), trials=3 * (REST + 1), makes_data=True)
    makers = [trial.number for trial in state.trials if trial.choice.action.type == "blend"]
    assert makers == [0, REST + 1, 2 * (REST + 1)]


def test_no_more_is_made_while_a_made_dataset_is_untried() -> None:
    state = toy.grown(25, makes_data=True)
    waiting = untried(state, toy.space(state))
    trained = {i for t in state.trials if t.choice.action.type == "step" for i in t.choice.action.object_ids}
    assert waiting and not waiting & trained
    calm = replace(state, trials=(*state.trials, *[t for t in state.trials if t.choice.action.type == "step"] * REST))
    choice = with_made_data(on_the_newest)(calm, toy.space(calm))
    assert choice is not None and choice.action.type == "step"


@pytest.mark.parametrize("policy", [Greedy(exploration=0), Evolution(warmup=0), Tpe()], ids=lambda policy: policy.name)
def test_policies_come_to_data_without_drawing_blindly(policy: Policy) -> None:
    state = toy.search(policy, trials=40, makes_data=True)
    asked = {t.choice.action.id for t in state.trials if not t.choice.reason.startswith("drawn at random")}
    made = {obj.id for obj in state.of_kind("dataset")} & asked
    assert made
    assert any(made & set(t.choice.action.object_ids) for t in state.trials if t.choice.action.type == "step")
