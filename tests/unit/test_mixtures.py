"""Steps that take several datasets, and settings whose amounts are free."""

from __future__ import annotations

import pickle
import random
from collections.abc import Sequence

import pytest

from lamdagent.actions.sft import Sft, mixed
from lamdagent.core.budget import Budget
from lamdagent.core.events import Asked
from lamdagent.core.plan import Plan, PlanStep, follow
from lamdagent.core.protocols import Policy
from lamdagent.core.settings import EPOCHS, RATE, Free, Freedom, read_varied, setting_object
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Action, Choice, Object
from lamdagent.policies.evolution import Evolution
from lamdagent.policies.random import Random
from lamdagent.policies.surrogate.policy import Surrogate
from lamdagent.policies.tpe import Tpe
from lamdagent.testing import mixtures

STATE = reduce_events(mixtures.first_events())
NAMED = {obj.name: obj for obj in STATE.pool.values()}


def space_of(state: State = STATE) -> ActionSpace:
    return ActionSpace(state, mixtures.ACTION_TYPES)


def step(space: ActionSpace, datasets: Sequence[str], setting: Object) -> Action:
    ids = [NAMED[name].id for name in datasets]
    return space.action("mix", {"model": [NAMED["base"].id], "dataset": ids, "hyperparameters": [setting.id]})


def test_a_set_of_datasets_is_one_action_in_whatever_order_it_is_given() -> None:
    space = space_of()
    one, other = (step(space, names, NAMED["firm"]) for names in (["sort", "call", "facts"], ["facts", "sort", "call"]))
    assert one.id == other.id
    assert space.why_invalid(one) is None
    assert "takes different objects" in str(space.why_invalid(step(space, ["sort", "sort"], NAMED["firm"])))


def test_draws_take_sets_of_every_size_and_amounts_inside_the_bounds() -> None:
    space, rng = space_of(), random.Random(0)
    drawn = [action for _ in range(400) if (action := space.sample(rng)) is not None and action.type == "mix"]
    assert {len(action.inputs["dataset"]) for action in drawn} == set(range(1, len(mixtures.CLEAN) + 1))
    values = [space[action.inputs["hyperparameters"][0]].setting["values"] for action in drawn]
    assert all(0.05 <= v["num_train_epochs"] <= 8 and 1e-5 <= v["learning_rate"] <= 1e-2 for v in values)
    assert len({v["num_train_epochs"] for v in values}) > 20


def test_a_varied_setting_is_named_by_its_amounts_and_one_that_exists_is_that_one() -> None:
    space, firm = space_of(), NAMED["firm"]
    longer = space.varied("mix", firm, {EPOCHS: 3})
    assert longer is not None and longer.name == "firm×3"
    faster = space.varied("mix", longer, {RATE: 2e-4})
    assert faster is not None and faster.name == "firm×3@2e-4"
    assert faster.setting["values"] == {"learning_rate": 2e-4, "num_train_epochs": 3.0, "max_steps": -1}
    assert space.varied("mix", longer, {EPOCHS: 1}) is firm
    assert space.varied("mix", NAMED["gentle"], {RATE: 1e-3}) is firm, "other settings may come to the same values"
    assert space.varied("mix", firm, {EPOCHS: 100}) is space.varied("mix", firm, {EPOCHS: 8}), "the bounds hold"


def test_its_id_is_that_of_a_named_setting_with_the_same_values() -> None:
    longer = space_of().varied("mix", NAMED["firm"], {EPOCHS: 3})
    assert longer is not None
    assert longer.id == setting_object("mix", "long", mixtures.MixSetting(num_train_epochs=3)).id


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("firm×3", ("firm", {EPOCHS: 3.0})),
        ("firmx3", ("firm", {EPOCHS: 3.0})),
        ("firm×0.5@2e-4", ("firm", {EPOCHS: 0.5, RATE: 2e-4})),
        ("firm@1e-3", ("firm", {RATE: 1e-3})),
        ("firm", None),
        ("×3", None),
    ],
)
def test_a_varied_setting_can_be_typed(text: str, means: object) -> None:
    assert read_varied(text) == means


def test_what_is_not_free_is_refused_in_words() -> None:
    freedom = Freedom(bounds=Free(num_train_epochs=[0.5, 8]), of=mixtures.MixSetting)
    firm = NAMED["firm"]
    with pytest.raises(ValueError, match=r"num_train_epochs 9 lies outside what is free here, 0\.5 to 8"):
        freedom.varied(firm, {EPOCHS: 9})
    with pytest.raises(ValueError, match="learning_rate is not free here"):
        freedom.varied(firm, {RATE: 1e-4})
    counted = setting_object("mix", "counted", mixtures.MixSetting(max_steps=10))
    with pytest.raises(ValueError, match="counts max_steps"):
        freedom.varied(counted, {EPOCHS: 2})
    assert freedom.within("num_train_epochs", 2, counted) is None


def test_a_varied_setting_joins_the_pool_with_the_trial_that_takes_it() -> None:
    space = space_of()
    longer = space.varied("mix", NAMED["firm"], {EPOCHS: 3})
    assert longer is not None and longer.id not in STATE.pool
    action = step(space, ["sort"], longer)
    assert space.why_invalid(action) is None
    assert space.joining(action) == (longer,)
    asked = Asked(number=0, choice=Choice(action=action, reason="", by="me"), settings=space.joining(action))
    after = reduce_events([asked], STATE)
    assert after.pool[longer.id] == longer
    assert space_of(after).joining(action) == ()
    assert space_of(after).varied("mix", NAMED["firm"], {EPOCHS: 3}) == longer


def test_neighbors_add_and_leave_out_a_dataset_and_double_and_halve_amounts() -> None:
    space = space_of()
    action = step(space, ["sort", "call"], NAMED["firm"])
    others = [other for _, _, other in space.neighbors(action)]
    sets = {tuple(space[i].name for i in other.inputs["dataset"]) for other in others}
    settings = {space[other.inputs["hyperparameters"][0]].name for other in others}
    assert {("sort",), ("call",), ("sort", "call", "facts"), ("sort", "words")} <= sets
    assert {"firm×2", "firm×0.5", "firm@2e-3", "firm@5e-4", "gentle", "harsh"} <= settings


@pytest.mark.parametrize("make", [Random, Evolution, lambda: Tpe(startup=4), lambda: Surrogate(candidates=500)])
def test_policies_take_sets_and_amounts(make: type[Policy]) -> None:
    state = mixtures.search(make(), budget=Budget(trials=14), seed=1)
    steps = [trial.choice.action for trial in state.trials if trial.choice.action.type == "mix"]
    assert any(len(action.inputs["dataset"]) > 1 for action in steps)
    assert any("of" in state.pool[action.inputs["hyperparameters"][0]].setting for action in steps)
    copied: State = pickle.loads(pickle.dumps(state))
    assert list(make().select(state, space_of(state), 2)) == list(make().select(copied, space_of(copied), 2))


def test_a_plan_may_name_a_setting_with_another_amount() -> None:
    def planned(setting: str) -> Plan:
        inputs = {"model": ("base",), "dataset": ("sort", "call"), "hyperparameters": (setting,)}
        objects = {"base": {"kind": "model"}, "sort": {"kind": "dataset"}, "call": {"kind": "dataset"}}
        objects[setting] = {"kind": "hyperparameters"}
        made = PlanStep(make="m", action="mix", inputs=inputs)
        return Plan(results=("m",), objects=objects, steps=(made,))

    space = space_of()
    ((_, action),) = follow(planned("firmx3"), STATE, space).ready
    assert space[action.inputs["hyperparameters"][0]].name == "firm×3"
    refused = follow(planned("firm×30"), STATE, space).unreachable["m"]
    assert "num_train_epochs 30 lies outside what is free here, 0.05 to 8" in refused
    assert "no hyperparameters 'firmly×3'" in follow(planned("firmly×3"), STATE, space).unreachable["m"]


def test_rows_of_a_mixture_are_concatenated_or_as_many_of_each() -> None:
    few, many = [{"text": f"a{i}"} for i in range(2)], [{"text": f"b{i}"} for i in range(5)]
    assert mixed([few, many], "concatenate") == [*few, *many]
    even = [row["text"] for row in mixed([few, many], "even")]
    assert even == ["a0", "b0", "a1", "b1", "a0", "b2", "a1", "b3", "a0", "b4"]


def test_datasets_of_one_step_have_rows_of_one_shape() -> None:
    def dataset(name: str, format: str) -> Object:
        return Object(id=name, kind="dataset", name=name, meta={"rows": 1, "format": format})

    model = Object(id="m", kind="model", name="m", meta={"root": "m", "chat_template": True})
    inputs = {"model": [model], "dataset": [dataset("a", "messages"), dataset("b", "text")]}
    assert Sft().validate(inputs) == (
        "datasets of one step have rows of one shape, but 'a' holds messages, 'b' holds text; `chat: true` makes "
        "messages of prompts"
    )
