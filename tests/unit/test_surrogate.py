"""The policy that learns what actions do: its candidates, its regression, and what it makes of both."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lamdagent.core.events import Asked, Told
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Action, Cause, Choice, Failed, Guard, Made, Object, Score, Slot
from lamdagent.policies.imagined import REST
from lamdagent.policies.surrogate.candidates import EMPTY, CandidateSet, candidates, of_actions
from lamdagent.policies.surrogate.features import OWN, lineage_features
from lamdagent.policies.surrogate.model import PRIOR_SD, Design, EffectModel, design_of
from lamdagent.policies.surrogate.policy import Surrogate, SurrogateModel, expected_improvement
from lamdagent.testing import toy

EAST = {"model": "base", "dataset": "east", "hyperparameters": "slow"}


def menu_of(state: State) -> ActionSpace:
    return ActionSpace(state, toy.ACTION_TYPES)


def action(state: State, type: str = "step", **names: str) -> Action:
    ids = {obj.name: obj.id for obj in state.pool.values()}
    return menu_of(state).action(type, {slot: [ids[n] for n in given.split("+")] for slot, given in names.items()})


def after(state: State, done: Action, values: Mapping[str, float] | None) -> State:
    """The state after a trial with these scores by task, or that failed."""
    number, outcome = len(state.trials), Failed(cause="diverged", message="far away")
    told: Any = outcome
    if values is not None:
        meta = {"x": [0.0, 0.0], "root": state.of_kind("model")[0].id}
        made = Object(id=done.id, kind="model", name=f"model-{number}", made_by=done.id, meta=meta)
        scores = tuple(Score(task=t, split="validation", value=v, n=50, stderr=0.01) for t, v in values.items())
        told = Made(object=made, scores=scores)
    choice = Choice(action=done, reason="", by="test")
    return reduce_events([Asked(number=number, choice=choice), Told(number=number, outcome=told)], state)


def fills(state: State, type: str, most: int = 100_000) -> CandidateSet:
    place = {object_id: i for i, object_id in enumerate(state.pool)}
    return candidates(menu_of(state), type, place, [obj.id for obj, _ in state.ranked()], most, seed=0)


def chosen(state: State) -> Choice:
    (choice,) = Surrogate().select(state, menu_of(state), 1)
    return choice


@pytest.mark.parametrize("type", ["step", "mean"])
def test_candidates_are_what_the_menu_offers_and_what_it_refuses(type: str) -> None:
    state = toy.grown(12)
    found, pool, space = fills(state, type), list(state.pool), menu_of(state)
    actions = [space.action(type, found.inputs(row, pool)) for row in range(len(found))]
    assert len({a.id for a in actions}) == len(actions)
    assert {a.id for a in actions if space.why_invalid(a) is None} == {a.id for a in space.of_type(type)}


@pytest.mark.parametrize("type", ["step", "mean"])
def test_of_too_many_candidates_so_many_are_drawn_and_good_models_more_often(type: str) -> None:
    state = toy.grown(40)
    found, pool = fills(state, type, most=200), list(state.pool)
    assert 100 <= len(found) <= 200
    assert all((np.sort(row[row != EMPTY]) == np.unique(row[row != EMPTY])).all() for row in found.models)
    ranked = [pool.index(obj.id) for obj, _ in state.ranked()]
    better, worse = (np.isin(found.models, part).sum() for part in np.array_split(ranked, 2))
    assert better > 1.5 * worse


def test_known_actions_are_the_same_rows_as_candidates() -> None:
    state = toy.grown(12)
    place = {object_id: i for i, object_id in enumerate(state.pool)}
    for type in toy.ACTION_TYPES:
        done = [t.choice.action for t in state.trials if t.choice.action.type == type]
        rows = of_actions(type, toy.ACTION_TYPES[type].slots, done, place)
        assert [rows.inputs(i, list(state.pool)) for i in range(len(rows))] == [dict(a.inputs) for a in done]


def test_ordered_slots_come_in_every_order() -> None:
    type = toy.ToyOpen(Slot(name="models", kind="model", at_least=1, at_most=2, ordered=True))
    state = toy.grown(3, models=3)
    space = ActionSpace(state, {"open": type})
    place = {object_id: i for i, object_id in enumerate(state.pool)}
    found = candidates(space, "open", place, [obj.id for obj, _ in state.ranked()], 1000, seed=0)
    n = len(state.ranked())
    assert len(found) == n + n * (n - 1)


def test_a_lineage_counts_steps_merges_and_what_was_seen() -> None:
    state = after(toy.grown(0), action(toy.grown(0), **EAST), {"near-east": 0.4, "near-north": 0.4})
    state = after(
        state, action(state, **{**EAST, "model": "model-0", "dataset": "north"}), {"near-east": 0.4, "near-north": 0.5}
    )
    state = after(state, action(state, "mean", models="model-0+model-1"), {"near-east": 0.4, "near-north": 0.5})
    past, place = lineage_features(state), {obj.name: i for i, obj in enumerate(state.pool.values())}
    assert [past.depth[place[name]] for name in ("base", "model-0", "model-1", "model-2")] == [0, 1, 2, 3]
    assert past.merges[place["model-2"]] == 1
    east = past.seen[:, place["east"]]
    assert east[place["model-0"]] == 1 > east[place["model-1"]] > east[place["base"]] == 0
    assert past.latest[place["model-1"], place["north"]] == 1 and past.latest[place["model-1"], place["east"]] == 0
    assert past.latest[place["model-2"], place["north"]] == 0.5


def test_numbers_of_settings_are_standardised_and_wide_ones_by_their_logarithm() -> None:
    state = toy.grown(0)
    numbers = lineage_features(state).numbers["step"]["rate"]
    place = {obj.name: i for i, obj in enumerate(state.pool.values())}
    known = [numbers[place[name]] for name in toy.RATES]
    assert np.mean(known) == pytest.approx(0) and np.std(known) == pytest.approx(1)
    assert known == sorted(known) and numbers[place["base"]] == 0


def linear(rng: np.random.Generator, effects: Sequence[float], n: int, noise: float) -> tuple[Design, Any]:
    """Rows of one group each, with its effect and noise."""
    groups = rng.integers(len(effects), size=n)
    design = Design(("the action", "dataset"), np.stack([np.zeros(n, np.intp), groups], axis=1), np.ones((n, 2)))
    return design, np.array(effects)[groups] + rng.normal(0, noise, n)


def test_effects_are_learned_with_intervals_that_cover() -> None:
    covered = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        truth = rng.normal(0, PRIOR_SD, 6)
        design, gained = linear(rng, truth.tolist(), 30, 0.05)
        mean, sd = EffectModel(design, gained, np.ones(30)).predict(design)
        covered += list(np.abs(mean - truth[design.codes[:, 1]]) < 1.645 * sd)
    assert 0.84 < np.mean(covered) < 0.96


def test_what_was_never_tried_is_less_certain_than_what_was() -> None:
    design, gained = linear(np.random.default_rng(0), [0.2, 0.1], 20, 0.02)
    effects = EffectModel(design, gained, np.ones(20))
    other = Design(design.names, np.array([[0, 0], [0, 7]]), np.ones((2, 2)))
    _, (known, unknown) = effects.predict(other)
    assert unknown > 3 * known


def test_before_the_first_trial_a_model_is_expected_to_stay_as_it_is() -> None:
    state = toy.grown(0)
    found, past = fills(state, "step"), lineage_features(state)
    design, parents = design_of(found, past, np.full(len(state.pool), 0.3))
    mean, sd = EffectModel(Design(design.names, design.codes[:0], design.values[:0]), np.empty(0), np.empty(0)).predict(
        design
    )
    assert (mean == 0).all() and (sd > 0).all() and parents == pytest.approx(0.3)


def test_expected_improvement_is_the_mean_of_what_lies_above() -> None:
    rng = np.random.default_rng(0)
    for mean, sd, over in itertools.product((0.3, 0.5), (0.02, 0.2), (0.4,)):
        draws = np.maximum(rng.normal(mean, sd, 400_000) - over, 0).mean()
        (found,) = expected_improvement(np.array([mean]), np.array([sd]), over)
        assert found == pytest.approx(draws, rel=0.03, abs=1e-5)
    assert math.isclose(expected_improvement(np.array([0.5]), np.array([1e-12]), 0.4)[0], 0.1)


def test_a_dataset_that_helped_one_setting_is_tried_with_the_setting_that_helped_another() -> None:
    state = toy.grown(0)
    good, bad = {"near-east": 0.6, "near-north": 0.6}, {"near-east": 0.1, "near-north": 0.1}
    for dataset, rate, values in (
        ("east", "slow", good),
        ("north", "slow", bad),
        ("south-west", "slow", bad),
        ("north", "wild", bad),
    ):
        state = after(state, action(state, model="base", dataset=dataset, hyperparameters=rate), values)
    choice = chosen(state)
    assert {state.pool[i].name for i in choice.action.object_ids} & {"east", "model-0"}


def test_the_reason_says_what_is_predicted_and_why() -> None:
    reasons = [t.choice.reason for t in toy.search(Surrogate(), trials=12).trials]
    assert reasons[0].startswith("predicted ")
    assert any(" by dataset " in reason or " by hyperparameters " in reason for reason in reasons[3:])


def test_what_fails_again_and_again_is_left_alone() -> None:
    state = toy.grown(0)
    for dataset in toy.DATASETS:
        state = after(state, action(state, model="base", dataset=dataset, hyperparameters="wild"), None)
    state = after(state, action(state, **EAST), {"near-east": 0.5, "near-north": 0.5})
    choices = Surrogate().select(state, menu_of(state), 5)
    assert all(state.pool[i].name != "wild" for c in choices for i in c.action.object_ids)


def test_trials_that_were_stopped_from_outside_say_nothing_of_what_fails() -> None:
    first = toy.grown(0)
    candidates = fills(first, "step")

    def risks(cause: Cause) -> list[float]:
        done = action(first, model="base", dataset="east", hyperparameters="wild")
        asked = Asked(number=0, choice=Choice(action=done, reason="", by="test"))
        state = reduce_events([asked, Told(number=0, outcome=Failed(cause=cause, message=""))], first)
        found: list[float] = SurrogateModel(state, menu_of(state), 1000)._ends(candidates).tolist()
        return found

    unknown = SurrogateModel(first, menu_of(first), 1000)._ends(candidates).tolist()
    assert risks("cancelled") == risks("llm_tokens") == unknown
    assert min(risks("oom")) < min(unknown)


def test_running_trials_send_the_next_choice_elsewhere() -> None:
    state = toy.grown(10)
    choices = Surrogate().select(state, menu_of(state), 4)
    assert len({c.action.id for c in choices}) == 4
    pairs = [tuple(i for i in c.action.object_ids if state.pool[i].kind != "model") for c in choices]
    assert len(set(pairs)) > 1


def test_a_guard_keeps_it_from_what_would_break_it() -> None:
    state = replace(toy.grown(0), guards=(Guard(task="near-north", max_drop=0.05),))
    base = {s.task: s.value for s in state.scores[state.of_kind("model")[0].id]}
    loses = {"near-east": 0.95, "near-north": base["near-north"] - 0.25}
    holds = {"near-east": base["near-east"] + 0.05, "near-north": base["near-north"]}
    for rate in ("slow", "fast"):
        state = after(state, action(state, **{**EAST, "hyperparameters": rate}), loses)
        state = after(state, action(state, **{**EAST, "dataset": "north", "hyperparameters": rate}), holds)
    risky = action(state, model="model-1", dataset="east", hyperparameters="slow")

    def place(state: State) -> int:
        ranked = SurrogateModel(state, menu_of(state), 1000).best(1000, lambda outlook: outlook.gain)
        return [a.id for a, _ in ranked].index(risky.id)

    assert place(state) > place(replace(state, guards=())) + 5


def test_a_shortlist_has_the_most_promising_and_the_least_certain() -> None:
    state = toy.grown(20)
    found = Surrogate().shortlist(state, menu_of(state), 9)
    assert isinstance(found, list)
    assert len({c.action.id for c in found}) == len(found) == 9
    assert found[0].action == chosen(state).action
    assert all(menu_of(state).why_invalid(c.action) is None for c in found)
    errors = [float(c.reason.split(" ± ")[1].split(",")[0]) for c in found]
    assert max(errors[6:]) >= max(errors[:6])


def test_where_no_model_can_be_made_from_models_an_action_is_drawn() -> None:
    state = toy.grown(0)
    space = ActionSpace(state, {"open": toy.ToyOpen(Slot(name="dataset", kind="dataset"))})
    (choice,) = Surrogate().select(state, space, 1)
    assert "drawn at random" in choice.reason


def test_a_task_whose_scores_pass_its_maximum_is_learned_all_the_same() -> None:
    def hundredfold(state: State) -> State:
        scores = {i: tuple(replace(s, value=100 * s.value, stderr=1.0) for s in of) for i, of in state.scores.items()}
        return replace(state, scores=scores)

    state = toy.grown(0)
    for dataset, value in (("east", 0.6), ("north", 0.1), ("south-west", 0.1)):
        done = action(state, model="base", dataset=dataset, hyperparameters="slow")
        state = after(state, done, {"near-east": value, "near-north": value})
    wide = SurrogateModel(hundredfold(state), menu_of(state), 1000)
    again = action(state, model="model-0", dataset="east", hyperparameters="slow")
    predicted, sd = wide.predict(again) or (0.0, 0.0)
    assert 40 < predicted < 70 and 1 < sd < 30
    gains: list[float] = []

    def gain(outlook: Any) -> Any:
        gains.append(outlook.gain.max())
        return outlook.gain

    wide.best(1, gain)
    assert max(gains) > 0.1


def learned_of_data() -> State:
    """After three steps with one setting, of which east gained and north lost."""
    state = toy.grown(0, makes_data=True)
    for dataset, value in (("east", 0.6), ("north", 0.2), ("south-west", 0.4)):
        done = action(state, model="base", dataset=dataset, hyperparameters="slow")
        state = after(state, done, {"near-east": value, "near-north": value})
    return state


def blended(state: State, names: str) -> State:
    """The state after a blend of two datasets, which made what no slot refuses."""
    ids = [next(obj.id for obj in state.pool.values() if obj.name == name) for name in names.split("+")]
    done = toy.space(state).action("blend", {"datasets": ids})
    made = Object(id=done.id, kind="dataset", name=names.replace("+", "/"), made_by=done.id, meta={"x": [0.5, 0.5]})
    asked = Asked(number=len(state.trials), choice=Choice(action=done, reason="", by="test"))
    return reduce_events([asked, Told(number=asked.number, outcome=Made(object=made, scores=()))], state)


def test_a_made_dataset_is_expected_to_do_what_those_do_that_it_is_made_from_and_less_surely() -> None:
    state = blended(blended(learned_of_data(), "east+south-west"), "north+south-west")
    model = SurrogateModel(state, toy.space(state), 1000)

    def predicted(dataset: str) -> tuple[float, float]:
        found = model.predict(action(state, model="base", dataset=dataset, hyperparameters="fast"))
        assert found is not None
        return found

    (east, sure), (west, _), (north, _) = predicted("east"), predicted("south-west"), predicted("north")
    (good, unsure), (bad, _) = predicted("east/south-west"), predicted("north/south-west")
    assert east > good > bad > north and good > west > bad
    assert unsure > sure


def test_what_was_learned_of_a_made_dataset_tells_of_those_it_is_made_from() -> None:
    state = blended(learned_of_data(), "north+south-west")
    again = action(state, model="base", dataset="north", hyperparameters="fast")
    (before, _) = SurrogateModel(state, toy.space(state), 1000).predict(again) or (0.0, 0.0)
    done = action(state, model="base", dataset="north/south-west", hyperparameters="slow")
    state = after(state, done, {"near-east": 0.9, "near-north": 0.9})
    (later, _) = SurrogateModel(state, toy.space(state), 1000).predict(again) or (0.0, 0.0)
    assert later > before


def test_a_dataset_made_of_made_ones_goes_back_to_those_that_were_provided() -> None:
    state = blended(learned_of_data(), "east+north")
    first = state.of_kind("dataset")[-1]
    west = next(obj for obj in state.pool.values() if obj.name == "south-west")
    done = toy.space(state).action("blend", {"datasets": [west.id, first.id]})
    looks = replace(first, id=done.id, made_by=done.id)
    imagined = replace(state, pool={**state.pool, done.id: looks})
    past, pool = lineage_features(imagined, {done.id: done}), list(imagined.pool.values())
    shares = {pool[i].name: share for i, share in zip(past.sources[-1], past.shares[-1], strict=True)}
    assert shares == {"south-west": 0.5, "east": 0.25, "north": 0.25, "east/north": OWN / 2}
    assert past.own[-1] == OWN and past.own[pool.index(west)] == 1


def test_making_a_dataset_is_worth_half_of_what_is_gained_on_it_and_less_where_it_fails() -> None:
    def worth(state: State) -> float:
        model = SurrogateModel(state, toy.space(state), 1000)
        imagined = [i for i, obj in enumerate(model._state.pool.values()) if obj.id not in state.pool]
        return float(model._shares[imagined].max())

    state = learned_of_data()
    assert 0.4 < worth(state) < 0.5
    names = {obj.name: obj.id for obj in state.pool.values()}
    done = toy.space(state).action("blend", {"datasets": [names["east"], names["north"]]})
    failed = after(state, done, None)
    for dataset in itertools.islice(itertools.cycle(toy.DATASETS), REST):  # as many trials as data is left alone for
        tried = action(failed, model="base", dataset=dataset, hyperparameters="wild")
        failed = after(failed, tried, None)
    assert worth(failed) < worth(state)
