"""Which pipeline is left without a step, on the toy world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lamdagent.core.action_type import ActionType
from lamdagent.core.events import Asked, Scored, Told
from lamdagent.core.pipeline import Pipeline, pipeline_of
from lamdagent.core.plan import Plan, follow, plan_data
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Choice, Made, Object, Score, TaskWeight
from lamdagent.evaluation.statistics import corrected_winner, difference
from lamdagent.policies.replay import Replay
from lamdagent.results.attribution import Attribution, attribution, less_luck
from lamdagent.results.rerun import Rerun
from lamdagent.results.result import pictures
from lamdagent.results.variants import Variant, variants
from lamdagent.testing import mixtures, toy
from lamdagent.ui.plots import save
from lamdagent.ui.render.markdown import markdown


class NoBase(toy.ToyMean):
    """A merge that, like TIES, refuses base models."""

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        if based := [m.name for m in inputs["models"] if m.meta["root"] == m.id]:
            return f"{based[0]!r} is a base model"
        return None


TYPES: Mapping[str, ActionType] = {"step": toy.ToyStep(), "mean": NoBase()}


def searched(*steps: tuple[str, float | None], types: Mapping[str, ActionType] = TYPES) -> State:
    """A state after actions written as `base east slow` or `model-0+model-1`, each with its score."""
    state = reduce_events(toy.first_events())
    state = reduce_events([Scored(object_id=state.of_kind("model")[0].id, scores=scores(0.1))], state)
    for number, (text, value) in enumerate(steps):
        ids = {obj.name: obj.id for obj in state.pool.values()}
        names = text.replace("+", " ").split()
        inputs: dict[str, list[str]] = {"models": [ids[n] for n in names]}
        if "+" not in text:
            inputs = {k: [ids[n]] for k, n in zip(("model", "dataset", "hyperparameters"), names, strict=True)}
        action = ActionSpace(state, types).action("mean" if "+" in text else "step", inputs)
        meta = {"x": [0.0, 0.0], "root": state.of_kind("model")[0].id}
        made = Object(id=action.id, kind="model", name=f"model-{number}", made_by=action.id, meta=meta)
        outcome = Made(object=made, scores=scores(value) if value is not None else ())
        choice = Choice(action=action, reason="", by="test")
        state = reduce_events([Asked(number=number, choice=choice), Told(number=number, outcome=outcome)], state)
    return state


def scores(value: float) -> tuple[Score, ...]:
    return tuple(Score(task=goal.task, split="validation", value=value, n=10) for goal in toy.GOALS)


def shape(node: Pipeline | None) -> str:
    """A pipeline in brackets: `step(base, east)`, `mean(…, …)`."""
    if node is None:
        return "-"
    if node.type is None:
        return node.object.name
    return f"{node.type}({', '.join(shape(c) for c in node.children if c.object.kind != 'hyperparameters')})"


def without(state: State, number: int, types: Mapping[str, ActionType] = TYPES) -> dict[str, Variant]:
    pipeline = pipeline_of(state, state.trials[number].choice.action.id)
    return {variant.without.object.name: variant for variant in variants(pipeline, state, types)}


def shapes(state: State, number: int, types: Mapping[str, ActionType] = TYPES) -> dict[str, str]:
    return {name: shape(variant.pipeline) for name, variant in without(state, number, types).items()}


LINE = (("base east slow", 0.2), ("model-0 north slow", 0.4), ("model-1 east fast", 0.6))


def test_without_a_training_step_the_next_takes_its_input() -> None:
    assert shapes(searched(*LINE), 2) == {
        "model-0": "step(step(base, north), east)",
        "model-1": "step(step(base, east), east)",
        "model-2": "step(step(base, east), north)",
    }


def test_a_rebuilt_model_says_what_it_is_without() -> None:
    variant = without(searched(*LINE), 2)["model-0"]
    assert variant.pipeline is not None
    assert variant.pipeline.object.name == "model-2 without model-0"
    assert variant.notes == ()


def test_without_a_merge_the_best_scoring_of_its_models_stands_in_its_place() -> None:
    state = searched(
        ("base east slow", 0.5), ("base north slow", 0.3), ("model-0+model-1", 0.4), ("model-2 north slow", 0.6)
    )
    variant = without(state, 3)["model-2"]
    assert shape(variant.pipeline) == "step(step(base, east), north)"
    assert variant.notes == ("in place of model-2 stands model-0, the best-scoring of model-0, model-1",)


def test_a_merge_left_with_a_base_model_drops_that_branch() -> None:
    state = searched(
        ("base east slow", 0.5), ("base north slow", 0.3), ("base east fast", 0.2), ("model-0+model-1+model-2", 0.4)
    )
    assert shapes(state, 3)["model-1"] == "mean(step(base, east), step(base, east))"
    assert "'base' is a base model" in without(state, 3)["model-1"].notes[0]


def test_where_one_model_is_left_for_a_merge_that_model_stands_in_its_place() -> None:
    state = searched(("base east slow", 0.3), ("base north slow", 0.5), ("model-0+model-1", 0.4))
    assert shapes(state, 2)["model-0"] == "step(base, north)"
    assert without(state, 2)["model-0"].notes == ("model-2 is left with too few models; in its place stands model-1",)


def test_a_merge_that_takes_base_models_keeps_the_branch() -> None:
    state = searched(
        ("base east slow", 0.3), ("base north slow", 0.5), ("model-0+model-1", 0.4), types=toy.ACTION_TYPES
    )
    meta = {o.id: {**o.meta, "x": [float(i), 1.0]} for i, o in enumerate(state.of_kind("model"))}
    pipeline = pipeline_of(state, state.trials[2].choice.action.id)
    for node in pipeline.nodes():
        node.object.meta.update(meta.get(node.object.id, {}))  # type: ignore[attr-defined]
    found = {v.without.object.name: shape(v.pipeline) for v in variants(pipeline, state, toy.ACTION_TYPES)}
    assert found["model-0"] == "mean(base, step(base, north))"


def test_a_merge_does_not_take_one_model_twice() -> None:
    state = searched(
        ("base east slow", 0.3), ("model-0 north slow", 0.5), ("model-0+model-1", 0.4), ("model-1+model-2", 0.6)
    )
    assert shapes(state, 3) == {
        "model-0": "step(base, north)",
        "model-1": "step(base, east)",
        "model-2": "step(step(base, east), north)",
        "model-3": "step(step(base, east), north)",
    }


def test_where_nothing_can_stand_in_the_reason_is_given() -> None:
    class Needs(toy.ToyStep):
        def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
            return "it takes no base model" if inputs["model"][0].name == "base" else None

    variant = without(searched(*LINE), 1, {**TYPES, "step": Needs()})["model-0"]
    assert variant.pipeline is None
    assert variant.notes == ("model-1 cannot be made without model-0: it takes no base model",)


def test_a_merge_of_unscored_models_has_nothing_to_stand_in_for_it() -> None:
    state = searched(("base east slow", None), ("base north slow", None), ("model-0+model-1", 0.4))
    assert without(state, 2)["model-2"].pipeline is None


class Kept:
    """Artifacts that keep the items of every score: the mean, up and down."""

    def values(self, object_id: str, score: Score) -> list[float]:
        return [score.value + 0.1 * (-1) ** i for i in range(score.n)]


def attributed(state: State, number: int, *, on_test: bool = False) -> Attribution:
    whole = pipeline_of(state, state.trials[number].choice.action.id)
    found = variants(whole, state, toy.ACTION_TYPES)
    data = plan_data(state, [whole, *(v.pipeline for v in found if v.pipeline)])
    plan = Plan.of(data, "here")
    again = toy.search(Replay(plan=plan), trials=100)
    followed = follow(plan, again, ActionSpace(again, toy.ACTION_TYPES))
    artifacts: Any = Kept()
    done = Rerun(study="toy.attribute", state=again, status=followed)
    tested = {i: tuple(replace(s, value=s.value - 0.02) for s in found) for i, found in again.scores.items()}
    return attribution("toy", whole, found, state, data, done, artifacts, tested if on_test else None)


@pytest.mark.parametrize("seed", range(4))
def test_worths_are_the_differences_of_objectives_on_the_toy_world(seed: int) -> None:
    state = toy.grown(40, seed=seed)
    trial = state.trial_of(state.ranked()[0][0].id)
    assert trial is not None
    data = attributed(state, trial.number)
    steps = [n for n in pipeline_of(state, trial.choice.action.id).nodes() if n.type]
    assert len(data.steps) == len(steps)
    for step in data.steps:
        if step.objective is None:
            assert step.lost
            assert step.worth is None
        else:
            assert step.worth is not None and data.objective is not None
            assert data.without_luck is not None
            luck = data.without_luck.luck
            assert step.worth.value == pytest.approx(data.objective.value - step.objective.value - luck)
            assert step.worth.low <= step.worth.value <= step.worth.high
            assert set(step.tasks) == {goal.task for goal in toy.GOALS}


def test_a_step_of_the_luckiest_of_equal_models_is_worth_less_than_its_luck() -> None:
    rng = np.random.default_rng(0)
    items = {m: {"t": rng.integers(0, 2, 200).astype(float)} for m in range(40)}
    best = max(items, key=lambda m: items[m]["t"].mean())
    goals, shown, claimed = [TaskWeight(task="t")], [], 0
    found = corrected_winner(items, goals, seed=0, of=best)
    for seed in range(40):
        step = {"t": np.random.default_rng(seed).integers(0, 2, 200).astype(float)}
        worth = less_luck(difference(items[best], step, goals, seed=seed), found)
        assert worth is not None
        shown.append(worth.value)
        claimed += worth.low > 0
    assert abs(np.mean(shown)) < 0.03 and found.raw - 0.5 > 0.06
    assert claimed <= 2


def test_an_attribution_reads_as_a_table_and_a_picture(tmp_path: Any) -> None:
    state = toy.grown(40)
    trial = state.trial_of(state.ranked()[0][0].id)
    assert trial is not None
    data = attributed(state, trial.number)
    assert "| without | objective | worth |" in markdown(data)
    save(pictures(data.sections())[0], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5_000
    save(pictures(replace(data, steps=()).sections())[0], tmp_path / "empty.png")


def test_on_the_sealed_test_nothing_is_taken_from_a_worth_and_it_is_said() -> None:
    state = toy.grown(40)
    trial = state.trial_of(state.ranked()[0][0].id)
    assert trial is not None
    data = attributed(state, trial.number, on_test=True)
    assert (data.side, data.without_luck) == ("test", None)
    step = next(step for step in data.steps if step.worth is not None)
    assert data.objective is not None and step.objective is not None and step.worth is not None
    assert step.worth.value == pytest.approx(data.objective.value - step.objective.value)
    assert "had no part in picking it" in markdown(data)
    assert "these validation items picked" in markdown(attributed(state, trial.number))


def mixed(least: int = 1) -> tuple[State, dict[str, Variant]]:
    """A step that mixes two datasets, and a step on one after it; what is left without each step and dataset."""
    step = mixtures.Mix()
    model, dataset, setting = step.slots
    step.slots = (model, replace(dataset, at_least=least), setting)
    types: Mapping[str, ActionType] = {"mix": step}
    state = reduce_events(mixtures.first_events())
    for number, (parent, *datasets) in enumerate(
        [("base", "sort", "call"), ("model-0", "facts", "words")][: 3 - least]
    ):
        ids = {obj.name: obj.id for obj in state.pool.values()}
        inputs = {"model": [ids[parent]], "dataset": [ids[d] for d in datasets], "hyperparameters": [ids["firm"]]}
        action = ActionSpace(state, types).action("mix", inputs)
        made = Object(id=action.id, kind="model", name=f"model-{number}", meta=state.of_kind("model")[0].meta)
        choice = Choice(action=action, reason="", by="test")
        state = reduce_events(
            [Asked(number=number, choice=choice), Told(number=number, outcome=Made(object=made, scores=()))], state
        )
    whole = pipeline_of(state, state.trials[-1].choice.action.id)
    return state, {variant.what: variant for variant in variants(whole, state, types)}


def test_a_step_that_mixes_datasets_is_also_left_without_each_of_them() -> None:
    state, found = mixed()
    assert {what: shape(variant.pipeline) for what, variant in found.items()} == {
        "model-0": "mix(base, facts, words)",
        "sort in model-0": "mix(mix(base, call), facts, words)",
        "call in model-0": "mix(mix(base, sort), facts, words)",
        "model-1": "mix(base, sort, call)",
        "facts in model-1": "mix(mix(base, sort, call), words)",
        "words in model-1": "mix(mix(base, sort, call), facts)",
    }
    plan = Plan.of(plan_data(state, [v.pipeline for v in found.values() if v.pipeline]), "here")
    assert len({step.make for step in plan.steps}) == len(plan.steps)


def test_a_step_that_takes_no_fewer_datasets_says_so() -> None:
    _, found = mixed(least=2)
    assert found["sort in model-0"].pipeline is None
    assert found["sort in model-0"].notes == (
        "model-0 cannot be made without sort: mix takes 2 or more for dataset, not 1",
    )
