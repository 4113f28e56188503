"""What each step of a pipeline is worth: the pipeline, less the pipeline without that step.

`results/variants.py` says what is left without a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamdagent.core.format import action_of, change, change_with_interval, scored
from lamdagent.core.pipeline import Pipeline
from lamdagent.core.plan import PlanStatus
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State, objective_of
from lamdagent.core.types import ObjectId, ObjectiveValue, Score, Split, TaskWeight
from lamdagent.evaluation.estimates import Corrected, Difference
from lamdagent.evaluation.ranking import ItemsById, items_of, without_luck
from lamdagent.results.rerun import Rerun
from lamdagent.results.result import Part, Picture, Section, Table
from lamdagent.results.variants import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """What a derived study gave to the pipelines of a plan. `names` are those of the plan, by the pipeline's id."""

    replay: State
    followed: PlanStatus
    names: Mapping[ObjectId, str]

    def id_of(self, pipeline: Pipeline | None) -> ObjectId | None:
        return None if pipeline is None else self.followed.ids.get(self.names[pipeline.object.id])

    def why_not(self, pipeline: Pipeline) -> str:
        return self.followed.unreachable.get(self.names[pipeline.object.id], "it was not done")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWorth:
    """What one step of the pipeline, or one dataset of a step that mixes several, is worth."""

    step: str
    """The name of what the step makes."""
    dataset: str | None
    """The dataset that the step is without; null where the step itself is left out."""
    action: str
    """The step, in one line."""
    stands_in: tuple[str, ...]
    """What stood in for what without it, in words."""
    without: str | None
    """The name of the model without the step; null where there is none."""
    objective: ObjectiveValue | None
    """The objective of that model."""
    lost: str | None
    """Why there is no such model, or no score of it."""
    worth: Difference | None
    """The whole less what is without the step, on the same items; null where items are not kept, or too few."""
    tasks: Mapping[str, Difference | None]
    """The same by task."""

    @property
    def what(self) -> str:
        """What is left out: `model-3`, or `sort in model-3`."""
        return self.step if self.dataset is None else f"{self.dataset} in {self.step}"

    @property
    def notes(self) -> tuple[str, ...]:
        return self.stands_in if self.lost in (None, *self.stands_in) else (*self.stands_in, str(self.lost))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """What each step of a pipeline is worth."""

    study: str
    """The study's name."""
    pipeline: str
    """The name of the pipeline's model."""
    side: Split
    """Whose items all scores and worths are over: those of the sealed test where it was opened for the pipeline."""
    objective: ObjectiveValue | None
    """Its objective when done again."""
    lost: str | None
    """Why it could not be done again."""
    goals: tuple[TaskWeight, ...]
    """The tasks of the objective with their weights."""
    steps: tuple[StepWorth, ...]
    """Its steps, first steps first, each followed by its datasets where it mixes several."""
    without_luck: Corrected | None
    """Its objective in the search, less the luck of having been picked from all models; null where items are not kept, and
    on the test, which had no part in picking."""

    @property
    def title(self) -> str:
        return f"attribution of {self.pipeline} of {self.study}"

    def sections(self) -> list[Section]:
        parts: list[Part] = [f"{self.pipeline}: {scored(self.objective)}"]
        if self.lost is not None:
            parts.append(f"{self.pipeline} could not be done again: {self.lost}")
        rows = [[s.what, scored(s.objective), _words(s.worth), s.action] for s in self.steps]
        notes = [f"without {step.what}: {note}" for step in self.steps for note in step.notes]
        sums = "worth: the whole less what is without the step, on the same items (95 %); worths do not add up"
        notes.append(self._covers())
        parts += [
            Table(heads=["without", "objective", "worth", "step"], rows=rows, notes=[*notes, sums]),
            Picture(name="worth", caption="What each step is worth, with 95 % intervals", data=self),
        ]
        return [Section(parts=parts)]

    def _covers(self) -> str:
        """Which items these are, and what part they had in picking the pipeline."""
        found = self.without_luck
        if self.side == "test":
            return f"on the sealed test, which was opened for {self.pipeline} before and had no part in picking it"
        if found is None:
            return (
                f"if {self.pipeline} was picked for its score, its luck on these validation items is in every worth: "
                "items are not kept"
            )
        return (
            f"these validation items picked {self.pipeline}; what that adds ({change(found.luck)}) is taken from every "
            "worth, and intervals hold with and without it; on the sealed test once `report` opened it"
        )


def _words(worth: Difference | None) -> str:
    return "-" if worth is None else change_with_interval(worth.value, worth.low, worth.high)


def remade(pipeline: Pipeline, found: Sequence[Variant], plan: Mapping[str, Any], done: Rerun) -> list[ObjectId]:
    """The models of a pipeline and its variants in the derived study that did them, without those that were not done."""
    ids = map(_done(plan, done).id_of, [pipeline, *(v.pipeline for v in found)])
    return list(dict.fromkeys(i for i in ids if i))


def _done(plan: Mapping[str, Any], done: Rerun) -> _Done:
    names = {step["id"]: step["make"] for step in plan["steps"]}
    names |= {leaf["id"]: name for name, leaf in plan["objects"].items()}
    return _Done(replay=done.state, followed=done.status, names=names)


def attribution(
    study: str,
    pipeline: Pipeline,
    found: Sequence[Variant],
    search: State,
    plan: Mapping[str, Any],
    done: Rerun,
    artifacts: ArtifactStore,
    tested: Scores | None = None,
) -> Attribution:
    """Hold a pipeline against the same without each of its steps.

    Args:
        plan: the plan as data, which the derived study of `done` followed.
        tested: what the `remade` models score on the sealed test; None judges by validation.
    """
    made, scores = _done(plan, done), done.state.scores if tested is None else tested
    whole = made.id_of(pipeline)
    items = items_of(scores, remade(pipeline, found, plan, done), artifacts)

    def luck(goals: Sequence[TaskWeight] | None) -> Corrected | None:
        return without_luck(search, pipeline.object.id, artifacts, goals) if tested is None else None

    return Attribution(
        study=study,
        pipeline=pipeline.object.name,
        side="validation" if tested is None else "test",
        objective=None if whole is None else objective_of(made.replay.goals, scores.get(whole, ())),
        lost=None if whole is not None else made.why_not(pipeline),
        goals=made.replay.goals,
        steps=tuple(_step(variant, whole, search, made, scores, items, luck) for variant in found),
        without_luck=luck(None),
    )


Scores = Mapping[ObjectId, tuple[Score, ...]]
Luck = Callable[[Sequence[TaskWeight] | None], Corrected | None]
"""The whole's score in the search without the luck of having been picked, by the goals that count; None is all."""


def _step(
    variant: Variant,
    whole: ObjectId | None,
    search: State,
    made: _Done,
    scores: Scores,
    items: ItemsById,
    luck: Luck,
) -> StepWorth:
    step, rest, goals = variant.without, variant.pipeline, made.replay.goals
    trial, without = search.trial_of(step.object.id), made.id_of(rest)
    alone = {g.task: [TaskWeight(task=g.task)] for g in goals}
    lost = None
    if without is None:
        lost = variant.notes[-1] if rest is None else made.why_not(rest)
    return StepWorth(
        step=step.object.name,
        dataset=None if variant.dataset is None else variant.dataset.name,
        action=action_of(search, trial) if trial else str(step.type),
        stands_in=variant.notes,
        without=None if rest is None else made.names[rest.object.id],
        objective=None if without is None else objective_of(goals, scores.get(without, ())),
        lost=lost,
        worth=less_luck(_worth(made.replay, items, whole, without, goals), luck(None)),
        tasks={
            task: less_luck(_worth(made.replay, items, whole, without, one), luck(one)) for task, one in alone.items()
        },
    )


def less_luck(worth: Difference | None, found: Corrected | None) -> Difference | None:
    """A worth less the luck of the pick. The interval holds it with and without: that luck is known poorly."""
    from lamdagent.results.statistics import two_sided_p

    if worth is None or found is None:
        return worth
    luck = found.luck
    value, low, high = worth.value - luck, min(worth.low, worth.low - luck), max(worth.high, worth.high - luck)
    p = max(worth.p, two_sided_p(value, worth.stderr))
    return Difference(value=value, stderr=worth.stderr, low=low, high=high, p=p)


def _worth(
    replay: State,
    items: ItemsById,
    whole: ObjectId | None,
    without: ObjectId | None,
    goals: Sequence[TaskWeight],
) -> Difference | None:
    """The original less what is without the step, on the same items; None where one has no items, or too few."""
    from lamdagent.evaluation.statistics import difference

    if whole is None or without is None or whole not in items or without not in items:
        return None
    try:
        return difference(items[whole], items[without], goals, seed=replay.seed)
    except ValueError:
        return None
