"""What jobs and workers are told, and what they tell back. Values as in `core.types`: frozen, picklable, stdlib only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lamdagent.core.audit import Finding
from lamdagent.core.spent import Spent
from lamdagent.core.types import Action, Object, ObjectId, Split

AUDIT = "audit"
"""The key that the progress of an audit is told under."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a runner is handed: an action to execute and score, or (`action` None) one provided model to score.

    `objects` are all that it may need: the action's inputs and whatever those descend from, and the datasets of the pool,
    none of which is made a second time; or first the model to score. `recipes` says how those were made that were, so that
    files which are gone or damaged are made again. `key` is the trial's number, or the model's name. A
    made model races the `leader`. `items` is how many items a task asks; None is as many as the study says. `asked` is how
    many the leader and the action's models were asked of a task at the most. `spent` is what the search itself, without
    any job, has asked a language model.
    """

    key: int | str
    action: Action | None
    objects: tuple[Object, ...]
    leader: ObjectId | None = None
    split: Split = "validation"
    items: int | None = None
    asked: Mapping[ObjectId, int] = field(default_factory=dict)
    spent: Spent = Spent()
    recipes: Mapping[ObjectId, Action] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """What a worker is told of a study, on this machine or another.

    `study` is the study file with all defaults filled in, `file` where it lies: relative paths start from its folder.
    Keys and tokens are never part of it; a worker reads them from its own environment.
    """

    study: Mapping[str, Any]
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRequest:
    """What is to be done once before the first job.

    `imports` are the .gguf files to import, by the id of the model they become, and `dtype` what these are stored in.
    `datasets` are held against the evaluation, by name. `audited` is looked at as it would be trained on and asked; with
    `only_audit` nothing else is done, and nothing written.
    """

    imports: Mapping[ObjectId, str] = field(default_factory=dict)
    dtype: str = "auto"
    datasets: Mapping[str, ObjectId] = field(default_factory=dict)
    audited: tuple[Object, ...] = ()
    only_audit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetOverlap:
    """What a dataset holds of the evaluation: `lines` to read, and the numbers of the `rows` that overlap, from 0."""

    lines: tuple[str, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The answer to a `PrepareRequest`.

    `models` are the facts of each imported model, `sizes` the number of items on each side of each task. `overlaps` are
    those of the datasets that have any, by name; `passages` a line on each task whose prompts repeat long passages.
    `findings` are those of the audit. `affinity` says by dataset how alike it and each task's prompts are, from 0 to 1.
    `prompts` are a few validation prompts of each task, cut.
    """

    models: Mapping[ObjectId, Mapping[str, Any]]
    sizes: Mapping[str, Mapping[Split, int]]
    overlaps: Mapping[str, DatasetOverlap]
    passages: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    affinity: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a running job stands: `done` of `total` steps of `phase`, and figures worth showing such as the loss."""

    phase: str
    done: int = 0
    total: int | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
