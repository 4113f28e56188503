"""Plans on the toy world: what is repeated, shared, waited for, and lost."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml

from lamdagent.core.budget import Budget
from lamdagent.core.errors import ConfigError
from lamdagent.core.events import Asked, ObjectAdded, StudyOpened, Told
from lamdagent.core.pipeline import Pipeline, pipeline_of, to_data
from lamdagent.core.plan import Plan, PlanStatus, follow, plan_data, plan_of_trials
from lamdagent.core.search import Search, run
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Choice, Made, Object
from lamdagent.memories.table import Table
from lamdagent.policies.replay import Replay
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy
from lamdagent.testing.contracts.policy import PolicyContract


class TestReplayOfMoreThanTheStatesHaveDone:
    """What of the policy's contract does not ask for endless choices."""

    test_it_chooses_at_most_n_and_no_action_twice = PolicyContract.test_it_chooses_at_most_n_and_no_action_twice
    test_the_same_state_gives_the_same_choices = PolicyContract.test_the_same_state_gives_the_same_choices
    test_an_empty_menu_gives_no_choice = PolicyContract.test_an_empty_menu_gives_no_choice
    test_it_chooses_only_what_the_menu_admits = PolicyContract.test_it_chooses_only_what_the_menu_admits
    states, select = PolicyContract.states, PolicyContract.select

    def policy(self) -> Replay:
        return Replay(plan=plan_of_trials(toy.grown(60, seed=5)))


def best(state: State, count: int) -> list[str]:
    return [obj.id for obj, _ in state.ranked() if obj.made_by is not None][:count]


def a_plan(state: State, count: int = 3) -> Plan:
    return Plan.of(plan_data(state, best(state, count)), "here")


def at_the_end(plan: Plan, state: State) -> PlanStatus:
    return follow(plan, state, ActionSpace(state, toy.ACTION_TYPES))


def test_pipelines_done_again_in_a_new_study_are_the_same_objects() -> None:
    past = toy.grown(40)
    plan = a_plan(past)
    state = toy.search(Replay(plan=plan), trials=100)
    followed = at_the_end(plan, state)
    assert [followed.ids[name] for name in plan.results] == best(past, 3)
    assert len(state.trials) == len(plan.steps)
    assert not followed.unreachable


def test_shared_steps_stand_in_a_plan_once_and_come_before_what_needs_them() -> None:
    past = toy.grown(40)
    plan = a_plan(past, 10)
    made = [step.make for step in plan.steps]
    assert len(set(made)) == len(made)
    assert len(made) < sum(sum(n.type is not None for n in pipeline_of(past, i).nodes()) for i in best(past, 10))
    for i, step in enumerate(plan.steps):
        assert {name for name in step.names if name in made} <= set(made[:i])


def test_a_plan_survives_being_written_and_read() -> None:
    data = plan_data(toy.grown(40), best(toy.grown(40), 3))
    assert Plan.of(yaml.safe_load(yaml.safe_dump(data)), "file") == Plan.of(data, "here")
    assert Plan.of(json.loads(json.dumps(data)), "file") == Plan.of(data, "here")


def test_a_replay_that_is_stopped_anywhere_goes_on_to_the_same_end() -> None:
    plan = a_plan(toy.grown(40), 4)
    whole = toy.without_costs(toy.search(Replay(plan=plan), trials=100))
    for stop in range(1, len(plan.steps)):
        journal = MemoryJournal(*toy.first_events())
        for trials in (stop, None):
            search = Search(
                journal=journal, action_types=toy.ACTION_TYPES, policy=Replay(plan=plan), memory=Table(),
                budget=Budget(trials=trials),
            )  # fmt: skip
            state = run(search, toy.inline(capacity=2))
        assert {o.id for o in state.pool.values()} == {o.id for o in whole.pool.values()}
        assert state.scores == whole.scores


def test_a_step_that_fails_takes_down_what_needs_it_and_says_why() -> None:
    data = {
        "results": ["far", "farther", "near"],
        "objects": {name: {"kind": "any"} for name in ("base", "east", "wild", "slow")},
        "steps": [
            {
                "make": make,
                "action": "step",
                "inputs": {"model": [model], "dataset": ["east"], "hyperparameters": [rate]},
            }
            for make, model, rate in (("far", "base", "wild"), ("farther", "far", "slow"), ("near", "base", "slow"))
        ],
    }
    plan = Plan.of(data, "here")
    state = toy.search(Replay(plan=plan), trials=100)
    followed = at_the_end(plan, state)
    assert set(followed.unreachable) == {"far", "farther"}
    assert followed.unreachable["far"].startswith("it failed (diverged): the point is at")
    assert followed.unreachable["farther"].startswith("it needs far: it failed")
    assert "near" in followed.ids
    assert len(state.trials) == 2


def test_what_a_study_lacks_is_said_before_anything_is_tried() -> None:
    past = toy.grown(40)
    state = reduce_events(toy.first_events())
    pool = {i: o for i, o in state.pool.items() if o.name != "east"}
    plan = a_plan(past, 5)
    followed = at_the_end(plan, replace(state, pool=pool))
    assert any(
        why == "this study has no dataset 'east' for slot 'dataset' of step" for why in followed.unreachable.values()
    )
    assert (
        follow(plan, state, ActionSpace(state, {}))
        .unreachable[plan.steps[0].make]
        .startswith("this study has no action type")
    )


def test_repeating_a_study_repeats_its_failures_too() -> None:
    past = toy.grown(40)
    again = toy.search(Replay(plan=plan_of_trials(past)), trials=100)
    assert [t.choice.action for t in again.trials] == [t.choice.action for t in past.trials]


def test_settings_of_two_action_types_may_share_a_name() -> None:
    leaf = {
        type: Object(id=type, kind="hyperparameters", name="half", meta={"action": type, "values": {}})
        for type in ("sft", "ties")
    }
    base = Pipeline(object=toy.point("base", (0.0, 0.0)), inputs={})
    for type, setting in leaf.items():
        inputs = {"model": (base,), "hyperparameters": (Pipeline(object=setting, inputs={}),)}
        base = Pipeline(object=toy.point(f"model-{type}", (0.0, 0.0)), type=type, inputs=inputs)
    data = to_data(base)
    plan = Plan.of(data, "here")
    assert len(plan.used("hyperparameters")) == 2
    assert set(plan.used("hyperparameters")) == {"half"}
    assert data["objects"]["ties.half"]["action"] == "ties"


def test_an_ordered_step_whose_order_means_nothing_is_done_in_the_order_that_is_offered() -> None:
    class Ordered(toy.ToyOpen):
        def validate(self, inputs):  # type: ignore[no-untyped-def]
            ids = [obj.id for obj in inputs["models"]]
            return None if ids == sorted(ids) else "the order changes nothing"

    from lamdagent.core.types import Slot

    types = {"open": Ordered(Slot(name="models", kind="model", at_least=2, at_most=2, ordered=True))}
    models = [toy.point(name, (0.0, 0.0)) for name in ("a", "b")]
    state = reduce_events([StudyOpened(config={}, seed=0, goals=toy.GOALS), *(ObjectAdded(object=m) for m in models)])
    for names in (["a", "b"], ["b", "a"]):
        step = {"make": "m", "action": "open", "inputs": {"models": names}}
        data = {"result": "m", "objects": {"a": {"kind": "model"}, "b": {"kind": "model"}}, "steps": [step]}
        assert len(follow(Plan.of(data, "here"), state, ActionSpace(state, types)).ready) == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "f.yaml: not a pipeline: it needs result, objects and steps"),
        ({"result": "m", "objects": {}, "steps": []}, "the result 'm' is made by no step"),
        ({"result": "m", "objects": {}, "steps": [{"make": "m", "action": "a", "inputs": {"model": ["x"]}}]},
         "step 'm' takes 'x', which nothing before it makes"),
        ({"result": "m", "objects": [], "steps": 3}, "not a pipeline"),
    ],
)  # fmt: skip
def test_what_is_no_plan_is_refused_in_words(data: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Plan.of(data, "f.yaml")


def test_a_step_on_an_object_that_its_slot_does_not_accept_says_why() -> None:
    nowhere = toy.vector("nowhere", (0.0, 0.0))
    pool = (toy.point("base", (0.0, 0.0)), nowhere, toy.rate("slow", 0.5))
    state = reduce_events([StudyOpened(config={}, seed=0, goals=toy.GOALS), *(ObjectAdded(object=o) for o in pool)])
    objects = {"base": {"kind": "model"}, "nowhere": {"kind": "dataset"}, "slow": {"kind": "hyperparameters"}}
    inputs = {"model": ["base"], "dataset": ["nowhere"], "hyperparameters": ["slow"]}
    data = {"result": "m", "objects": objects, "steps": [{"make": "m", "action": "step", "inputs": inputs}]}
    status = follow(Plan.of(data, "here"), state, ActionSpace(state, toy.ACTION_TYPES))
    assert "dataset 'nowhere' moves nothing" in status.unreachable["m"]


def test_a_plan_keeps_the_seed_of_a_repeat() -> None:
    state = toy.grown(4)
    first = next(t for t in state.trials if isinstance(t.outcome, Made))
    again = replace(first.choice.action, seed=first.choice.action.seed + 1)
    made = Object(
        id=again.id, kind="model", name="again", made_by=again.id, meta=dict(state.pool[first.choice.action.id].meta)
    )
    number = len(state.trials)
    state = reduce_events(
        [
            Asked(number=number, choice=Choice(action=again, reason="", by="")),
            Told(number=number, outcome=Made(object=made, scores=())),
        ],
        state,
    )
    fresh = reduce_events(toy.first_events())
    for plan in (Plan.of(plan_data(state, [again.id]), "here"), plan_of_trials(state)):
        seeds = {step.make: step.again for step in plan.steps}
        assert seeds["again"] == 1
        ready = {step.make: action.seed for step, action in follow(plan, fresh, toy.space(fresh)).ready}
        assert ready.get("again", fresh.seed + 1) == fresh.seed + 1
