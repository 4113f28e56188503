"""The alphabet of the journal, and the one function that reads it back.

State is the fold of the journal: derived, never stored. A new field of an event has a default, so that every journal
ever written still folds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lamdagent.core.audit import Finding
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.types import Choice, Cost, Guard, Object, ObjectId, Outcome, Score, StopReason, TaskWeight


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOpened:
    """The study began, with this config (as validated), seed, goals and guards.

    `id_formula` is the version of what ids cover, and `task_ids` are those of the validation sides, by task. `prompts` are
    a few validation prompts of each task, cut, without answers.
    """

    config: Mapping[str, Any]
    seed: int
    goals: tuple[TaskWeight, ...]
    guards: tuple[Guard, ...] = ()
    id_formula: int = 1
    task_ids: Mapping[str, str] = field(default_factory=dict)
    prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectAdded:
    """The user put an object into the pool."""

    object: Object


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDone:
    """What the user provided was looked at, and nothing was refused. `key` is the hash of all that was looked at and of
    the libraries that looked."""

    key: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A provided model was scored; `warnings` as of `Made`."""

    object_id: ObjectId
    scores: tuple[Score, ...]
    cost: Cost = Cost()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A trial began. Settings that a policy varied for it join the pool."""

    number: int
    choice: Choice
    settings: tuple[Object, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A trial ended."""

    number: int
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUpdated:
    """The memory took a trial in; `memory` is its whole new text."""

    number: int
    memory: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSpent:
    """The driver ran for this long since the last such event."""

    wall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMCalled:
    """A language model was asked something."""

    call: LLMCall


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutOpened:
    """Someone was about to look at the test side, for these models."""

    models: tuple[ObjectId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A model was scored on the test side."""

    object_id: ObjectId
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Referenced:
    """A model from elsewhere was scored on the validation side to be compared with; it never joins the pool."""

    model: Object
    scores: tuple[Score, ...]
    cost: Cost = Cost()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchStopped:
    """A run of the search ended, and why. Where trials, scores or driver time come after it, the search went on."""

    reason: StopReason
    message: str = ""


Event = (
    LLMCalled
    | StudyOpened
    | ObjectAdded
    | AuditDone
    | Scored
    | Asked
    | Told
    | MemoryUpdated
    | TimeSpent
    | HoldoutOpened
    | Tested
    | Referenced
    | SearchStopped
)
