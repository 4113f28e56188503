from __future__ import annotations

import itertools
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamdagent.core.action_type import ActionType
from lamdagent.core.budget import Budget
from lamdagent.core.events import Asked, ObjectAdded, Told
from lamdagent.core.settings import Free, setting_object
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.training import Training
from lamdagent.core.types import Action, Choice, Failed, Object, Slot
from lamdagent.testing import mixtures, toy


def pool(*objects: Object) -> State:
    return reduce_events(ObjectAdded(object=obj) for obj in objects)


def named(state: State, *names: str) -> list[str]:
    ids = {obj.name: obj.id for obj in state.pool.values()}
    return [ids[name] for name in names]


def many_models(count: int) -> State:
    base = toy.point("base", (0.0, 0.0))
    rest = [toy.point(f"m{i}", (i / count, 0.0), root=base.id) for i in range(count - 1)]
    return pool(base, *rest, *(toy.vector(n, x) for n, x in toy.DATASETS.items()), toy.rate("slow", 0.5))


STATE = reduce_events(toy.first_events(models=2))
SPACE = ActionSpace(STATE, toy.ACTION_TYPES)
STEP = {
    "model": named(STATE, "base"),
    "dataset": named(STATE, "east"),
    "hyperparameters": named(STATE, "slow"),
}


def test_a_menu_of_a_thousand_models_draws_and_lists_options_at_once() -> None:
    space, rng, began = ActionSpace(many_models(1000), toy.ACTION_TYPES), random.Random(0), time.process_time()
    drawn = [space.sample(rng) for _ in range(20)]
    assert len(space.options("mean")["models"]) == 1000
    assert space.size("mean") == 1000 * 999 // 2 + 1000 * 999 * 998 // 6
    assert len(list(itertools.islice(space.of_type("mean"), 20))) == 20
    assert time.process_time() - began < 1.0
    assert all(action is not None and space.why_invalid(action) is None for action in drawn)


def test_iteration_begins_before_the_product_is_known() -> None:
    space = ActionSpace(
        many_models(200), {"open": toy.ToyOpen(Slot(name="models", kind="model", at_least=9, at_most=9))}
    )
    began = time.process_time()
    assert next(iter(space)).type == "open"
    assert time.process_time() - began < 1.0


def not_first(obj: Object) -> str | None:
    return f"{obj.name!r} is the first" if obj.name.endswith("0") else None


SLOTS = st.builds(
    lambda kind, least, more, ordered, accepts: Slot(
        name=kind, kind=kind, at_least=least, at_most=least + more, ordered=ordered, accepts=accepts
    ),
    st.sampled_from(["model", "dataset"]),
    st.integers(1, 2),
    st.integers(0, 2),
    st.booleans(),
    st.sampled_from([None, not_first]),
)


@given(
    slots=st.lists(SLOTS, min_size=1, max_size=2, unique_by=lambda slot: slot.name),
    models=st.integers(0, 4),
    datasets=st.integers(0, 3),
    seed=st.integers(),
)
def test_size_counts_what_iteration_gives(slots: list[Slot], models: int, datasets: int, seed: int) -> None:
    objects = [toy.point(f"m{i}", (i, 0.0)) for i in range(models)]
    state = pool(*objects, *(toy.vector(f"d{i}", (i, 1.0)) for i in range(datasets)))
    space = ActionSpace(state, {"open": toy.ToyOpen(*slots)})
    actions = list(space)
    assert len(actions) == space.size("open")
    assert len({action.id for action in actions}) == len(actions)
    assert all(space.why_invalid(action) is None for action in actions)
    drawn = space.sample(random.Random(seed))
    assert drawn in actions if actions else drawn is None


@given(order=st.permutations(range(3)))
def test_an_unordered_choice_has_one_id_in_whatever_order_it_is_given(order: list[int]) -> None:
    state = toy.grown(8)
    ids = [obj.id for obj in state.of_kind("model")][:3]
    space = ActionSpace(state, toy.ACTION_TYPES)
    assert space.action("mean", {"models": [ids[i] for i in order]}) == space.action("mean", {"models": ids})


@given(seed=st.integers())
def test_what_is_drawn_is_in_canonical_order(seed: int) -> None:
    state = toy.grown(10)
    space = ActionSpace(state, {"mean": toy.ACTION_TYPES["mean"]})
    drawn, place = space.sample(random.Random(seed)), list(state.pool).index
    assert drawn is not None
    places = [place(i) for i in drawn.inputs["models"]]
    assert places == sorted(places)


def test_an_ordered_slot_keeps_its_order_and_offers_every_one() -> None:
    space = ActionSpace(
        many_models(3), {"open": toy.ToyOpen(Slot(name="models", kind="model", at_least=2, at_most=2, ordered=True))}
    )
    assert space.size("open") == len(list(space)) == 6
    first, second, _ = space.options("open")["models"]
    assert space.action("open", {"models": [second.id, first.id]}).inputs["models"] == (second.id, first.id)


def test_a_drawn_type_is_even_though_one_has_many_more_actions() -> None:
    space, rng = ActionSpace(many_models(50), toy.ACTION_TYPES), random.Random(1)
    types = [action.type for action in (space.sample(rng) for _ in range(300)) if action]
    assert space.size("mean") > 100 * space.size("step")
    assert 100 < types.count("step") < 200


def test_settings_of_another_action_type_are_no_option() -> None:
    state = pool(*STATE.pool.values(), toy.rate("foreign", 0.5, action="mean"))
    names = [obj.name for obj in ActionSpace(state, toy.ACTION_TYPES).options("step")["hyperparameters"]]
    assert names == list(toy.RATES)


def without_first() -> tuple[State, ActionSpace]:
    """Three models and three datasets, the first of which the slots refuse."""
    state = pool(*(toy.point(f"m{i}", (i, 0.0)) for i in range(3)), *(toy.vector(f"d{i}", (i, 1.0)) for i in range(3)))
    slots = (Slot(name="model", kind="model"), Slot(name="dataset", kind="dataset", accepts=not_first))
    return state, ActionSpace(state, {"open": toy.ToyOpen(*slots)})


def test_what_a_slot_does_not_accept_is_neither_offered_nor_counted_nor_drawn() -> None:
    state, space = without_first()
    assert [obj.name for obj in space.options("open")["dataset"]] == ["d1", "d2"]
    assert space.size("open") == len(list(space)) == 6
    drawn = [space.sample(random.Random(seed), tries=1) for seed in range(30)]
    offered = {action.id for action in space}
    assert {action.id for action in drawn if action} == offered
    action = space.action("open", {"model": named(state, "m0"), "dataset": named(state, "d1")})
    assert {obj.name for _, obj, _ in space.neighbors(action)} == {"m1", "m2", "d2"}


def test_a_refusal_gives_the_slots_own_reason_and_what_it_takes() -> None:
    state, space = without_first()
    action = space.action("open", {"model": named(state, "m0"), "dataset": named(state, "d0")})
    assert space.why_invalid(action) == "slot 'dataset' of open: 'd0' is the first. Known: d1, d2"


def test_where_a_slot_accepts_nothing_a_refusal_says_so() -> None:
    state = pool(toy.vector("d0", (0.0, 1.0)))
    space = ActionSpace(state, {"open": toy.ToyOpen(Slot(name="dataset", kind="dataset", accepts=not_first))})
    action = space.action("open", {"dataset": named(state, "d0")})
    assert list(space) == [] and space.sample(random.Random(0)) is None
    assert space.why_invalid(action) == "slot 'dataset' of open: 'd0' is the first. Known: none"


def test_options_are_the_sum_of_the_slots_and_not_their_product() -> None:
    assert {slot: len(objects) for slot, objects in SPACE.options("step").items()} == {
        "model": 2,
        "dataset": 3,
        "hyperparameters": 3,
    }


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({**STEP, "model": ["m9"]}, "slot 'model' of step takes model objects of the pool, not m9. Known: base, other"),
        ({**STEP, "model": STEP["dataset"]}, "takes model objects of the pool, not east"),
        ({**STEP, "model": named(STATE, "base", "other")}, "slot 'model' of step takes 1 objects, not 2"),
        ({**STEP, "model": []}, "slot 'model' of step takes 1 objects, not 0"),
        ({**STEP, "model": named(STATE, "base", "base")}, "slot 'model' of step takes different objects"),
        ({"model": STEP["model"]}, "step has the slots model, dataset, hyperparameters"),
    ],
)
def test_a_refusal_says_what_the_slot_takes(inputs: dict[str, list[str]], words: str) -> None:
    assert words in str(SPACE.why_invalid(SPACE.action("step", inputs)))


def test_a_refusal_gives_the_range_of_a_slot_that_takes_several() -> None:
    action = SPACE.action("mean", {"models": named(STATE, "base")})
    assert SPACE.why_invalid(action) == "slot 'models' of mean takes 2 to 3 objects, not 1"


def test_a_refusal_names_the_nearest_type() -> None:
    action = replace(SPACE.action("step", STEP), type="stepp")
    assert SPACE.why_invalid(action) == "unknown action type 'stepp'. Did you mean 'step'? Known: mean, step."


def test_a_refusal_passes_on_the_reason_of_the_action_type() -> None:
    action = SPACE.action("mean", {"models": named(STATE, "base", "other")})
    assert SPACE.why_invalid(action) == "base, other do not descend from one base model"


def test_a_refusal_says_in_which_order_version_and_seed_an_action_is_taken() -> None:
    state = toy.grown(1)
    space = ActionSpace(state, toy.ACTION_TYPES)
    merge = space.action("mean", {"models": named(state, "base", "model-0")})
    turned = replace(merge, inputs={"models": merge.inputs["models"][::-1]})
    assert space.why_invalid(turned) == "mean takes its objects in this order: models: base, model-0"
    assert (
        space.why_invalid(replace(merge, version=9)) == "mean has version 1 and seed 0 here, not version 9 and seed 0"
    )


def test_a_refusal_says_how_the_earlier_trial_ended() -> None:
    choice = Choice(action=SPACE.action("step", STEP), reason="", by="")
    running = reduce_events([Asked(number=0, choice=choice)], STATE)
    failed = reduce_events([Told(number=0, outcome=Failed(cause="oom", message=""))], running)
    for state, ended in ((running, "it is running as trial 0"), (failed, "it failed as trial 0")):
        assert ActionSpace(state, toy.ACTION_TYPES).why_invalid(choice.action) == f"already tried: {ended}"
    done = toy.grown(1)
    words = ActionSpace(done, toy.ACTION_TYPES).why_invalid(done.trials[0].choice.action)
    assert words == "already tried: it was done as trial 0"


def test_what_was_tried_is_not_offered_again() -> None:
    state = toy.grown(20)
    assert {action.id for action in ActionSpace(state, toy.ACTION_TYPES)}.isdisjoint(state.tried)


def test_the_last_action_left_is_found_although_draws_keep_missing_it() -> None:
    tried: list[Action] = list(ActionSpace(many_models(2), {"step": toy.ToyStep()}))
    last = tried.pop()
    events = [Asked(number=i, choice=Choice(action=a, reason="", by="")) for i, a in enumerate(tried)]
    space = ActionSpace(reduce_events(events, many_models(2)), {"step": toy.ToyStep()})
    assert space.sample(random.Random(0), tries=0) == last
    assert space.sample(random.Random(0)) == last


@pytest.mark.parametrize(("type", "slot"), [("step", "modell"), ("stepp", "model")])
def test_an_action_with_an_unknown_type_or_slot_can_be_refused_in_words(type: str, slot: str) -> None:
    action = SPACE.action(type, {slot: STEP["model"]})
    assert SPACE.why_invalid(action) is not None


class Counted(toy.ToyStep):
    """Counts how often it is asked what an action costs."""

    asked = 0

    def cost(self, inputs: Mapping[str, Sequence[Object]]) -> Training:
        Counted.asked += 1
        return super().cost(inputs)


def test_where_not_even_the_cheapest_action_fits_the_budget_no_other_is_gone_through() -> None:
    types: dict[str, ActionType] = {"step": Counted(), "mean": toy.ToyMean()}
    state = toy.grown(60)
    rows = min(obj.meta["rows"] for obj in state.of_kind("dataset"))
    spent = sum(t.outcome.cost.training.rows or 0 for t in state.trials if t.outcome is not None)
    space = ActionSpace(state, types, Budget(trials=100, train_rows=spent + rows - 1))
    Counted.asked = 0
    assert list(space.of_type("step")) == []
    assert {action.type for _ in range(20) if (action := space.sample(random.Random(0)))} == {"mean"}
    assert Counted.asked <= len(toy.DATASETS) * len(toy.RATES)
    assert space.passed == {"train_rows"}


def test_the_cheapest_action_is_offered_while_it_fits() -> None:
    state = toy.grown(10)
    rows = min(obj.meta["rows"] for obj in state.of_kind("dataset"))
    spent = sum(t.outcome.cost.training.rows or 0 for t in state.trials if t.outcome is not None)
    space = ActionSpace(state, toy.ACTION_TYPES, Budget(trials=100, train_rows=spent + rows))
    assert list(space.of_type("step"))


def test_a_named_setting_below_what_is_free_is_not_too_dear() -> None:
    free = Free(num_train_epochs=[1.0, 4.0])
    state = reduce_events(mixtures.first_events(mixtures.CLEAN[:1]))
    (rows,) = (obj.dataset["rows"] for obj in state.of_kind("dataset"))
    quick = setting_object("mix", "quick", mixtures.MixSetting(num_train_epochs=0.25))
    state = reduce_events([ObjectAdded(object=quick)], state)
    types: dict[str, ActionType] = {"mix": mixtures.Mix(free)}
    space = ActionSpace(state, types, Budget(trials=9, train_rows=rows // 2))
    offered = [space[a.inputs["hyperparameters"][0]].name for a in space.of_type("mix")]
    assert offered == ["quick"]


def test_an_action_is_repeated_with_the_next_seed_though_a_repeat_before_failed() -> None:
    space = ActionSpace(STATE, toy.ACTION_TYPES)
    action = next(space.of_type("step"))
    events: list[Asked | Told] = []
    for number in range(3):
        events.append(Asked(number=number, choice=Choice(action=replace(action, seed=number), reason="", by="")))
        events.append(Told(number=number, outcome=Failed(cause="oom", message="")))
    space = ActionSpace(reduce_events(events, STATE), toy.ACTION_TYPES)
    again = space.repeat(action)
    assert again.seed == 3
    assert space.why_invalid(again) is None
