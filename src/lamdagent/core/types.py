"""The values that flow around the loop.

Frozen, JSON round-trip, picklable, stdlib only. A value's id is the hash of its content, so equal content has the
same id in every study and on every machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, cast

from lamdagent.core.errors import ContractViolation
from lamdagent.core.training import Training

Kind = Literal["model", "dataset", "hyperparameters"]
Split = Literal["validation", "test"]
SIDES: tuple[Split, ...] = ("validation", "test")
StopReason = Literal[
    "trials", "hours", "train_rows", "train_tokens", "gpu_hours", "target", "patience", "llm_tokens", "usd",
    "exhausted", "interrupted", "error",
]  # fmt: skip
Cause = Literal[
    "oom", "timeout", "crash", "diverged", "invalid", "contaminated", "duplicate", "error", "cancelled",
    "llm_tokens", "usd",
]  # fmt: skip
Status = Literal["running", "made", "failed", "stopped"]
STOPPED: tuple[Cause, ...] = ("cancelled", "llm_tokens", "usd")
"""Causes that say nothing of an action: somebody stopped the trial, or a budget for a language model was spent on the way.
The latter is never journalled: the trial stays open."""
ObjectId = str
ActionId = str


ID_FORMULA = 2
"""Goes up where ids begin to cover more. A study goes on under the formula that it began with, or not at all."""


def content_id(value: Any) -> str:
    """The id of a JSON value: 20 hexadecimal digits of BLAKE2b over its canonical text."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


class _ModelNeeds(TypedDict):
    root: ObjectId


class ModelMeta(_ModelNeeds, total=False):
    """What is known of a model: `root` is the base model it descends from, which for a base model is itself.

    Models with equal `architecture`, `shapes`, `tokenizer`, `config` and `conventions` can be merged (see
    `objects.models.metadata`); `unlike_base` is what keeps one from being merged relative to its root. `distance` is how
    far a made model's weights lie from those of its root.
    """

    architecture: str
    dtype: str
    parameters: int
    shapes: str
    tokenizer: str
    chat_template: bool
    eos: str
    config: Mapping[str, Any]
    conventions: Mapping[str, Any]
    tied: bool
    unlike_base: str
    distance: float


class _DatasetNeeds(TypedDict):
    rows: int
    format: str


class DatasetMeta(_DatasetNeeds, total=False):
    """What is known of a dataset: its number of `rows`, and their `format` (see `objects.datasets.formats`).

    It is trained on as so many `examples`, one for each answer of a conversation; all together have `characters`, and
    about as many `tokens` under a model's tokenizer, by `ModelMeta.tokenizer`.
    `dropped` rows were left out of the dataset `whole`, or of what an action made, because they held evaluation items;
    `overlapping` ones hold some and stayed. `digest` is that of the rows; a provided dataset's is its id. `unused` columns
    are not trained on, each with the number of rows that have something in it. `affinity` says by task how alike the rows
    and the validation prompts are, from 0 to 1. `samples` are a few of its rows as texts, cut.
    """

    split: str
    digest: str
    examples: int
    characters: int
    tokens: Mapping[str, int]
    dropped: int
    overlapping: int
    whole: ObjectId
    unused: Mapping[str, int]
    affinity: Mapping[str, float]
    samples: Sequence[str]


class _SettingNeeds(TypedDict):
    action: str
    values: Mapping[str, Any]


class SettingMeta(_SettingNeeds, total=False):
    """A hyperparameter setting: the `action` type that it is for, all `values`, and those `given` that are no default.

    `of` is the name of the setting that a policy varied to this one, by the values in `varied`.
    """

    given: Mapping[str, Any]
    of: str
    varied: Mapping[str, float]


REQUIRED_META: Mapping[Kind, Mapping[str, type]] = {
    "model": {"root": str},
    "dataset": {"rows": int, "format": str},
    "hyperparameters": {"action": str, "values": Mapping},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """A member of the pool: what an action takes or makes.

    `name` is what people and agents read; it is not part of the id. `uri` says where a provided object came from and is
    empty for a made one, whose files lie under its id. `meta` holds what others may need to know without opening files;
    `model`, `dataset` and `setting` are the same mapping with the keys of that kind, and more where a plugin adds some.
    """

    id: ObjectId
    kind: Kind
    name: str
    uri: str = ""
    made_by: ActionId | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> ModelMeta:
        return cast(ModelMeta, self._meta_of("model"))

    @property
    def dataset(self) -> DatasetMeta:
        return cast(DatasetMeta, self._meta_of("dataset"))

    @property
    def setting(self) -> SettingMeta:
        return cast(SettingMeta, self._meta_of("hyperparameters"))

    @property
    def root(self) -> ObjectId:
        """The base model that a model descends from; itself where nothing else is known."""
        return self.model.get("root", self.id)

    def same_rows(self, others: Iterable[Object]) -> Object | None:
        """The first of `others` that is a dataset with the same rows as this one."""
        rows = self._rows_digest
        return next((o for o in others if rows and o.id != self.id and o._rows_digest == rows), None)

    @property
    def _rows_digest(self) -> str | None:
        if self.kind != "dataset":
            return None
        return self.dataset.get("digest", self.id if self.made_by is None else None)

    def _meta_of(self, kind: Kind) -> Mapping[str, Any]:
        if self.kind != kind:
            raise ContractViolation(f"{self.kind} {self.name!r} was taken for a {kind}")
        return self.meta


ALL = 2**31
"""As many as there are, as the most that a slot takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One argument of an action type: between `at_least` and `at_most` objects of one kind, `ALL` for as many as there are.

    `ordered=False` means that the order of the objects changes nothing, so only one order is ever offered. `accepts`
    gives None for an object that the slot takes, else the reason why not, which names the object; without it the slot
    takes any of its kind. It is pure and cheap, and asked of each object alone, before any are put together.
    """

    name: str
    kind: Kind
    at_least: int = 1
    at_most: int = 1
    ordered: bool = False
    accepts: Callable[[Object], str | None] | None = None

    @property
    def count(self) -> str:
        """How many objects it takes, in words."""
        if self.at_least == self.at_most:
            return f"{self.at_least}"
        return f"{self.at_least} or more" if self.at_most == ALL else f"{self.at_least} to {self.at_most}"

    def most(self, there: int) -> int:
        """The most objects that the slot takes where so many are there."""
        return min(self.at_most, there)

    def why_refused(self, obj: Object) -> str | None:
        """Why the slot does not take an object of its kind; None if it does."""
        return None if self.accepts is None else self.accepts(obj)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """An action type with every slot filled. Same fields, same id, same result."""

    type: str
    version: int
    inputs: Mapping[str, tuple[ObjectId, ...]]
    seed: int = 0

    @property
    def id(self) -> ActionId:
        return content_id([self.type, self.version, {k: list(v) for k, v in self.inputs.items()}, self.seed])

    @property
    def object_ids(self) -> tuple[ObjectId, ...]:
        return tuple(i for ids in self.inputs.values() for i in ids)


FALLBACK = " (fallback)"
"""What stands after the name of a policy that chose for another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a policy selected, in its own words why, and which policy it was; `plan` is what it wants to do next, if it
    says, which binds nobody."""

    action: Action
    reason: str
    by: str
    plan: str = ""

    @property
    def fell_back(self) -> bool:
        """Whether another policy chose than the one of the study file, which could not."""
        return self.by.endswith(FALLBACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A model's result on one side of one task: the mean of `n` items with its standard error, in the task's unit.

    `gain` is the mean difference to the base model that it descends from, on the items that both have, with its paired
    standard error; None for base models. `task_id` names the file of items that the mean is of. `looks` are the means of
    fewer of the first items, as (how many, mean), where a race looked; so models compare on the items that both have.
    `clusters` counts those of its items; None where each is one. `shared` are (task, covariance of errors) over same rows.
    """

    task: str
    split: Split
    value: float
    n: int
    stderr: float | None = None
    gain: float | None = None
    gain_stderr: float | None = None
    task_id: str = ""
    looks: tuple[tuple[int, float], ...] = ()
    clusters: int | None = None
    shared: tuple[tuple[str, float], ...] = ()

    def mean_of_first(self, n: int) -> float | None:
        """The mean of the first `n` items; None where it is not known."""
        return self.value if n == self.n else dict(self.looks).get(n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A prompt, its right answer in every spelling that counts, and how a task lets an answer to it end.

    `new_tokens` bounds the answer, and is 0 where none is generated (a choice, say). `until` are texts that end it, as
    EOS does. Without `targets` there is no loss.
    """

    prompt: str
    targets: tuple[str, ...] = ()
    new_tokens: int = 0
    until: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskWeight:
    """How a task counts in the objective: `weight * value / max_score`, divided by the sum of all weights."""

    task: str
    weight: float = 1.0
    max_score: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A skill that must not be lost: on `task`, a model may score at most `max_drop` below its base model, in the
    task's unit."""

    task: str
    max_drop: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveValue:
    """The weighted, scaled mean of a model's scores, with its error where all have one; a difference has no interval."""

    value: float
    stderr: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a trial took. `phases_s` splits `wall_s` by what the worker was doing; peak memory is of its process.

    `training` is what it trained on. Where its object was found already made (`reused`) that counts in full, though it took
    no time: `saved_s` is how long making took when it was made. `gpu_s` is how long it held a GPU: 0 without one, None
    where that is not known.

    `tokens`, input and output together, and `usd` are what its job asked a language model; `usd` is None where it asked
    nothing or a price is not known.
    """

    wall_s: float = 0.0
    phases_s: Mapping[str, float] = field(default_factory=dict)
    peak_bytes: int | None = None
    tokens: int = 0
    usd: float | None = None
    training: Training = Training()
    gpu_s: float | None = None
    reused: bool = False
    saved_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A trial that ended with a new, scored object.

    `rescored` holds the new scores of models that were asked more items because the made one raced: the leader and the
    base models. `gains` are its objective less that of each parent, paired on the items that both have. `warnings` are
    those of libraries and of ours while it was made and scored, as `library: text`; in a journal, those not heard before.
    """

    object: Object
    scores: tuple[Score, ...]
    cost: Cost = Cost()
    rescored: Mapping[ObjectId, tuple[Score, ...]] = field(default_factory=dict)
    gains: Mapping[ObjectId, ObjectiveValue] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A trial that made nothing. Failures are values: the search learns from them and goes on. `warnings` as of `Made`."""

    cause: Cause
    message: str
    log_tail: str = ""
    cost: Cost = Cost()
    warnings: tuple[str, ...] = ()

    @property
    def stopped(self) -> bool:
        """Whether it was stopped from outside, so that nothing follows from it for its action."""
        return self.cause in STOPPED


Outcome = Made | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One turn of the loop. `outcome` is None while it runs."""

    number: int
    choice: Choice
    outcome: Outcome | None = None

    @property
    def status(self) -> Status:
        if self.outcome is None:
            return "running"
        if isinstance(self.outcome, Made):
            return "made"
        return "stopped" if self.outcome.stopped else "failed"
