"""What the sealed test says of the best models of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from lamdagent.core.format import (
    change,
    change_with_interval,
    guard_breaks,
    interval,
    origin,
    p_value,
    with_error,
    with_interval,
)
from lamdagent.core.intervals import score_interval
from lamdagent.core.pipeline import node_label, pipeline_of, render
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State, objective_of
from lamdagent.core.types import Object, ObjectId, Score, TaskWeight
from lamdagent.evaluation.estimates import Corrected, Difference
from lamdagent.evaluation.ranking import ItemsById, items_of, rank_models
from lamdagent.results.bars import TaskBar, TaskBars
from lamdagent.results.by_hand import AgainstHand
from lamdagent.results.diagnosis.signature import Signature, signature_table
from lamdagent.results.history import History, history_of
from lamdagent.results.holdout import HoldoutResults
from lamdagent.results.leaders import relatives
from lamdagent.results.recommendation import Recommendation, recommendation
from lamdagent.results.repetition import Repetition
from lamdagent.results.result import Picture, Section, Table, Verbatim
from lamdagent.results.scores import SideObjective, side_objective

RESAMPLES = 20_000
"""Of the bootstrap: enough for a p that is small after all are adjusted for each other."""
NOTES = (
    "intervals and p hold one by one and cover the test's items; Holm's p is adjusted for all differences of this report",
    "by validation these are the best of many, which adds nothing to a test that had no say in it",
)
NAMED = 10
"""How many contenders are named; more are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideScore:
    """A model's score on one side of one task, in the task's unit."""

    value: float
    """The mean over the items."""
    stderr: float | None
    """The standard error of that."""
    low: float | None
    """Lower end of its 95 % interval, which covers the draw of the items."""
    high: float | None
    """Upper end."""
    n: int
    """How many items."""

    @property
    def words(self) -> str:
        return with_error(self.value, self.stderr, self.low, self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class BothSides:
    """A model's scores on one task."""

    validation: SideScore
    """What the search chose by."""
    test: SideScore
    """What it never saw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """A model's test scores less those of another model, paired on the same items."""

    name: str
    """The other model."""
    relation: Literal["base model", "parent"]
    """What it is to the model."""
    objective: Difference | None
    """The difference of objectives; null where items are not kept."""
    tasks: Mapping[str, Difference]
    """The differences by task."""
    objective_holm_p: float | None
    """The p of `objective`, adjusted for all differences of the report (Holm)."""
    tasks_holm_p: Mapping[str, float]
    """The p of each of `tasks`, adjusted in the same way."""
    test: Mapping[str, float]
    """The other model's test scores by task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedModel:
    """One of the best models, on both sides."""

    name: str
    """Its name."""
    trial: int | None
    """The number of the trial that made it."""
    how: str
    """The action that made it, in one line."""
    guards: str
    """Which guards it breaks and by how much, in words; empty where it holds them all."""
    validation: SideObjective | None
    """Its objective on validation."""
    test: SideObjective | None
    """Its objective on the test."""
    gap: float | None
    """Validation less test."""
    tasks: Mapping[str, BothSides]
    """Its scores by task."""
    against: tuple[Against, ...]
    """It is held against its base model, then its parents."""

    def section(self) -> Section:
        others = [a for a in self.against if a.objective is not None]
        objective = [scored_side(self.validation), scored_side(self.test)]
        rows = [["objective", *objective, *(_change(a.objective, a.objective_holm_p) for a in others)]]
        for task, sides in self.tasks.items():
            changes = [f"{a.test[task]:.3f}, {_change(a.tasks[task], a.tasks_holm_p[task])}" for a in others]
            rows.append([task, sides.validation.words, sides.test.words, *changes])
        heads = ["task", "validation", "test", *(f"{a.relation} {a.name}" for a in others)]
        picture = Picture(name=self.name, caption=f"Test scores of {self.name}", data=self._bars())
        table = Table(heads=heads, rows=rows, notes=NOTES)
        return Section(heading=f"{self.name}, task by task", parts=[self.how, picture, table])

    def _bars(self) -> TaskBars:
        base = next((a for a in self.against if a.relation == "base model" and a.tasks), None)
        return TaskBars(
            model=self.name,
            side="test",
            scores={
                task: TaskBar(value=s.test.value, low=s.test.low, high=s.test.high) for task, s in self.tasks.items()
            },
            base_model="" if base is None else base.name,
            base={} if base is None else base.test,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The best models of a study by validation, on the sealed test."""

    study: str
    """The study's name."""
    seed: int
    """Its seed."""
    trials: int
    """How many trials there are."""
    failed: int
    """How many of them failed."""
    stopped: int
    """How many of them were stopped from outside."""
    hours: float
    """How long the search took."""
    goals: tuple[TaskWeight, ...]
    """The tasks of the objective with their weights."""
    test_opened: int
    """How often the test was opened."""
    contenders: tuple[str, ...]
    """The models that cannot be told from the leader on validation, the leader first."""
    compared: int
    """How many models are held against the leader."""
    leader: Corrected | None
    """The leader's validation objective, and without the luck of having been picked."""
    recommended: Recommendation | None
    """The trial to take, chosen by validation."""
    repeated: tuple[Repetition, ...]
    """What `repeat` gave of these models: the spread over training seeds, on validation."""
    models: tuple[TestedModel, ...]
    """The best models, best by validation first; then the recommended one, where it is none of these."""
    history: History
    """How the search went."""
    diagnosis: tuple[Signature, ...]
    """What may have gone wrong."""
    lineage: str
    """The pipeline of the best model by validation, as a tree."""
    against_hand: AgainstHand | None
    """Where the search stands against what its user would try without one; null for a study that is no search."""

    @property
    def title(self) -> str:
        return f"Report of the study {self.study}"

    def sections(self) -> list[Section]:
        history = Picture(name="history", caption="The objective of every trial", data=self.history)
        found = [
            Section(parts=[*self._summary(), *([self.against_hand.words] if self.against_hand else [])]),
            Section(heading="The search", parts=[history]),
            Section(heading="The best on the sealed test", parts=[self._ranking()]),
            *(model.section() for model in self.models),
            Section(heading="What may have gone wrong", parts=[signature_table(self.diagnosis)]),
        ]
        if self.lineage:
            parts = [Verbatim(text=self.lineage)]
            found.append(Section(heading="How the best by validation was made", parts=parts))
        return found

    def _summary(self) -> list[str]:
        """What was searched, how often the test was opened, and what the ranking can tell."""
        stopped = f", {self.stopped} stopped" if self.stopped else ""
        times = "once" if self.test_opened == 1 else f"{self.test_opened} times"
        lines = [
            f"{self.trials} trials, {self.failed} of them failed{stopped}, seed {self.seed}, {self.hours:.2f} hours. "
            f"The test has been opened {times}; choose by validation, and look at the test once.",
        ]
        if self.leader is not None:
            lines.append(
                f"The leader's validation score of {self.leader.raw:.3f} is "
                f"{with_interval(self.leader.corrected, self.leader.low, self.leader.high)} "
                f"without the luck of having been picked from {self.compared} models (95 %, over items)."
            )
            leader, *others = self.contenders
            names = ", ".join(others[:NAMED]) or "none"
            more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
            lines.append(f"Not to be told from the leader, {leader}, on validation (95 %): {names}{more}.")
        lines += [self.recommended.words] if self.recommended is not None else []
        lines += [f"{found.model}, on validation: {found.words}." for found in self.repeated]
        return lines

    def _ranking(self) -> Table:
        heads = ["model", "validation", "test", "test, 95 %", "validation - test", "guards"]
        rows = [
            [
                m.name,
                scored_side(m.validation),
                scored_side(m.test),
                "-" if m.test is None else interval(m.test.low, m.test.high),
                "-" if m.gap is None else change(m.gap),
                m.guards or "-",
            ]
            for m in self.models
        ]
        return Table(heads=heads, rows=rows)


def scored_side(side: SideObjective | None) -> str:
    """`0.612 ± 0.024`, or `-`."""
    return "-" if side is None else with_error(side.value, side.stderr, side.low, side.high)


def _change(difference: Difference | None, holm_p: float | None) -> str:
    if difference is None:
        return "-"
    change = change_with_interval(difference.value, difference.low, difference.high)
    return f"{change}, p {p_value(difference.p)}, Holm {p_value(holm_p)}"


def report(
    study: str,
    state: State,
    test: HoldoutResults,
    artifacts: ArtifactStore,
    chosen: Sequence[ObjectId],
    signatures: Sequence[Signature],
    against_hand: AgainstHand | None = None,
    repeated: Sequence[Repetition] = (),
) -> Report:
    """The report on the chosen models, whose test scores are there."""
    ranking = rank_models(state, artifacts)
    items = items_of(test.scores, test.scores, artifacts)
    return Report(
        study=study,
        seed=state.seed,
        trials=len(state.trials),
        failed=sum(t.status == "failed" for t in state.trials),
        stopped=sum(t.status == "stopped" for t in state.trials),
        hours=round(state.wall_s / 3600, 3),
        goals=state.goals,
        test_opened=test.opened,
        contenders=tuple(obj.name for obj, _ in state.ranked() if obj.id in ranking.contenders),
        compared=ranking.compared,
        leader=ranking.corrected,
        recommended=recommendation(state, ranking),
        repeated=tuple(repeated),
        models=_adjusted([_model(state, test, items, object_id) for object_id in chosen]),
        history=history_of(state),
        diagnosis=tuple(signatures),
        lineage=_lineage(state, chosen[0]) if chosen else "",
        against_hand=against_hand,
    )


def _model(state: State, test: HoldoutResults, items: ItemsById, object_id: ObjectId) -> TestedModel:
    obj, trial = state.pool[object_id], state.trial_of(object_id)
    validation, tested = state.objective(object_id), objective_of(state.goals, test.scores[object_id])
    return TestedModel(
        name=obj.name,
        trial=None if trial is None else trial.number,
        how=origin(state, object_id),
        guards=guard_breaks(state, object_id),
        validation=side_objective(validation),
        test=side_objective(tested),
        gap=None if validation is None or tested is None else validation.value - tested.value,
        tasks={
            goal.task: BothSides(
                validation=_score(state.scores[object_id], goal), test=_score(test.scores[object_id], goal)
            )
            for goal in state.goals
        },
        against=tuple(_against(state, test, items, obj, state.pool[i]) for i in relatives(state, object_id)),
    )


def _adjusted(models: Sequence[TestedModel]) -> tuple[TestedModel, ...]:
    """The models, every difference with its p adjusted for all of them."""
    from lamdagent.results.statistics import holm

    alone = [
        (m, a, task, found)
        for m, model in enumerate(models)
        for a, against in enumerate(model.against)
        for task, found in ((None, against.objective), *against.tasks.items())
        if found is not None
    ]
    adjusted = holm([found.p for *_, found in alone])
    by_place = {(m, a, task): p for (m, a, task, _), p in zip(alone, adjusted, strict=True)}
    return tuple(
        replace(
            model,
            against=tuple(
                replace(
                    against,
                    objective_holm_p=by_place.get((m, a, None)),
                    tasks_holm_p={task: by_place[m, a, task] for task in against.tasks},
                )
                for a, against in enumerate(model.against)
            ),
        )
        for m, model in enumerate(models)
    )


def _against(state: State, test: HoldoutResults, items: ItemsById, obj: Object, other: Object) -> Against:
    from lamdagent.evaluation.statistics import difference

    def less(goals: Sequence[TaskWeight]) -> Difference:
        return difference(items[obj.id], items[other.id], goals, seed=0, resamples=RESAMPLES)

    paired = obj.id in items and other.id in items
    alone = [(goal.task, [TaskWeight(task=goal.task)]) for goal in state.goals] if paired else []
    return Against(
        name=other.name,
        relation="base model" if other.made_by is None else "parent",
        objective=less(state.goals) if paired else None,
        objective_holm_p=None,
        tasks_holm_p={},
        tasks={task: less(goals) for task, goals in alone},
        test={s.task: s.value for s in test.scores[other.id]} if paired else {},
    )


def _score(scores: Sequence[Score], goal: TaskWeight) -> SideScore:
    score = next(s for s in scores if s.task == goal.task)
    low, high = score_interval(score, goal.max_score) or (None, None)
    return SideScore(value=score.value, stderr=score.stderr, low=low, high=high, n=score.n)


def _lineage(state: State, object_id: ObjectId) -> str:
    return render(pipeline_of(state, object_id), lambda node: node_label(state, node))
