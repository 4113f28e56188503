"""Models from elsewhere, scored by a study's tasks to compare with: never chosen from, and in no ranking."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lamdagent.core.format import change_with_interval, with_error
from lamdagent.core.jobs import Job
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State, objective_of
from lamdagent.evaluation.estimates import Difference
from lamdagent.results.by_hand import best_made, paired
from lamdagent.results.rerun import require_begun
from lamdagent.results.result import Section, Table
from lamdagent.results.scores import TaskScore, task_scores
from lamdagent.study.config import Study
from lamdagent.study.initial_pool import reference
from lamdagent.study.open import open_study


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A model from elsewhere."""

    name: str
    """The folder or hub id that was given."""
    uri: str
    """Where it lies: a folder, or a hub id with its commit."""
    objective: float | None
    """Its validation objective; null where a task has no score."""
    stderr: float | None
    """The standard error of that."""
    scores: Mapping[str, TaskScore]
    """Its validation scores by task."""
    lead: Difference | None
    """The objective of the search's best model less this one's, paired on the same items; null without them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """The models from elsewhere that a study was compared with."""

    study: str
    """The study's name."""
    tasks: tuple[str, ...]
    """The tasks of the objective."""
    references: tuple[Reference, ...]
    """In the order in which they were scored."""

    @property
    def title(self) -> str:
        return f"references of {self.study}"

    def sections(self) -> list[Section]:
        rows = [
            [
                one.name,
                "-" if one.objective is None else with_error(one.objective, one.stderr),
                *(with_error(s.value, s.stderr) if (s := one.scores.get(task)) else "-" for task in self.tasks),
                "-" if one.lead is None else change_with_interval(one.lead.value, one.lead.low, one.lead.high),
            ]
            for one in self.references
        ]
        heads = ["model", "objective", *self.tasks, "the best found less this (95 %, paired)"]
        heading = "References, never chosen from"
        return [Section(heading=heading, parts=[Table(heads=heads, rows=rows)])] if rows else []


def references_of(study: str, state: State, artifacts: ArtifactStore) -> References:
    """The references of a state."""
    best, found = best_made(state), []
    for model, known in ((known.model, known) for known in state.references.values()):
        objective = objective_of(state.goals, known.scores)
        lead = None
        if best is not None:
            lead = paired(state.goals, (best, state.scores[best]), (model.id, known.scores), artifacts)
        found.append(
            Reference(
                name=model.name,
                uri=model.uri,
                objective=None if objective is None else objective.value,
                stderr=None if objective is None else objective.stderr,
                scores=task_scores(known.scores, state.goals),
                lead=lead,
            )
        )
    return References(study=study, tasks=tuple(goal.task for goal in state.goals), references=tuple(found))


def score_references(study: Study, given: Sequence[str]) -> References:
    """Score models by a study's tasks, on as many validation items as its best models are asked.

    Models that were scored before are not scored again.

    Args:
        given: Hugging Face folders or hub ids.
    Raises:
        UserError: the study has not begun, or a model cannot be used or scored.
    """
    require_begun(study)
    objects = {obj.id: obj for obj in (reference(study, one) for one in given)}
    evaluation = study.body.evaluation
    with open_study(study) as opened:
        search, runner = opened.search, opened.runner
        sides = {task.ids["validation"] for task in opened.parts.tasks}
        known = {i for i, one in search.state.references.items() if {s.task_id for s in one.scores} == sides}
        left = {object_id: obj for object_id, obj in objects.items() if object_id not in known}
        for obj in left.values():
            items, spent = evaluation.max_items or evaluation.items, search.state.spent_by_search
            runner.submit(Job(key=obj.id, action=None, objects=(obj,), items=items, spent=spent))
        while left:
            for key, outcome in runner.wait(1.0):
                search.record_reference(obj := left.pop(str(key)), outcome)
                print(f"scored {obj.name}", file=sys.stderr, flush=True)
        return references_of(study.body.study, search.state, opened.parts.artifacts)
