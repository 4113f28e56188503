"""Execute and evaluate: what a worker does with a job.

Idempotent: what an earlier process finished is found by its id and not done again, so a job can always be submitted
once more.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import logging
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lamdagent.core.action_type import ActionType, AnyChat, Loaded, ModelLoader, cost_of
from lamdagent.core.audit import Row
from lamdagent.core.errors import BudgetSpent, Contaminated, ContractViolation, Diverged, Duplicate, Invalid, UserError
from lamdagent.core.jobs import Job, Progress
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.protocols import ArtifactStore, CallStore
from lamdagent.core.training import NO_TRAINING, Training, training_flops
from lamdagent.core.types import (
    REQUIRED_META,
    Cause,
    Cost,
    Failed,
    Made,
    Object,
    ObjectId,
    ObjectiveValue,
    Outcome,
    Score,
)
from lamdagent.evaluation.contamination.made import RowScreen
from lamdagent.evaluation.evaluator import Evaluation
from lamdagent.objects.artifacts import disk_full_as_user_error
from lamdagent.objects.datasets.size import size_like
from lamdagent.runners.calls import JobLog
from lamdagent.runners.hardware import machine_kind
from lamdagent.runners.warned import hearing_warnings

log = logging.getLogger(__name__)

VERSIONED = ("lamdagent", "torch", "transformers", "trl", "peft", "datasets", "mergekit", "lm_eval")
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")
LOG_TAIL_LINES = 30
CAUSES: Mapping[type[Exception], Cause] = {
    Diverged: "diverged",
    Invalid: "invalid",
    Contaminated: "contaminated",
    Duplicate: "duplicate",
}
Scores = tuple[Score, ...]


@dataclass(frozen=True, kw_only=True)
class Toolkit:
    """What jobs are done with. `locate` gives the Hugging Face folder of a model that the user provided.

    `models` is None where objects have no weights, as in the toy world. `examine` looks at a model just made in the
    context's `workdir`: figures of it, or `Invalid` raised.
    `screen` holds the rows of a dataset just made against the evaluation; None leaves them unread.
    `rows` gives the rows of a dataset of the study as they are kept, each with where it stands; None leaves them unaudited.
    `calls` keeps what jobs are answered by language models; None where no job may ask one.
    `whole` are the objects whose files were found to be as they were written.
    """

    action_types: Mapping[str, ActionType]
    evaluation: Evaluation
    artifacts: ArtifactStore
    models: ModelLoader | None
    locate: Callable[[Object], Path]
    examine: Callable[[ObjectId, Object, JobContext], Mapping[str, float]] | None = None
    screen: RowScreen | None = None
    calls: CallStore | None = None
    rows: Callable[[str], Iterator[Row]] | None = None
    whole: set[ObjectId] = field(default_factory=set)


class JobContext:
    """The `Context` of one job. Time is charged to the phase that was told of last.

    Args:
        answered: hears of what language models are asked for the job.
    """

    def __init__(
        self,
        job: Job,
        toolkit: Toolkit,
        watch: Callable[[Progress], None],
        answered: Callable[[LLMCall], None] = lambda call: None,
    ) -> None:
        self._job, self._answered = job, answered
        self._objects = {obj.id: obj for obj in job.objects}
        self._toolkit, self._watch, self._made = toolkit, watch, job.action.id if job.action else None
        self._phase, self._since = "load", time.monotonic()
        self._phases_s: dict[str, float] = {}
        self._started = self._since
        self._training = NO_TRAINING if job.action is None else Training()
        self._reused: Mapping[str, Any] | None = None
        self.workdir = Path()

    @property
    def models(self) -> ModelLoader:
        if self._toolkit.models is None:
            raise ContractViolation("an action or a task asked for weights in a world whose objects have none")
        return self._toolkit.models

    def object(self, object_id: ObjectId) -> Object:
        return self._objects[object_id]

    def folder(self, obj: Object) -> Path:
        if obj.kind == "dataset":
            self._have(obj)
        return self._toolkit.artifacts.open(obj.id)

    def weights(self, obj: Object) -> Path:
        if obj.made_by is None:
            return self._toolkit.locate(obj)
        self._have(obj)
        return self.folder(obj) / "weights"

    def _have(self, obj: Object) -> None:
        """Have an object's files be what was written; those that are gone or damaged are made again.

        Raises:
            UserError: they cannot be made here, since the user provided them.
        """
        artifacts = self._toolkit.artifacts
        if obj.id in self._toolkit.whole or not (damaged := artifacts.damaged(obj.id)):
            self._toolkit.whole.add(obj.id)
            return
        if (action := self._job.recipes.get(obj.id)) is None:
            raise UserError(
                f"{obj.kind} {obj.name!r}: {damaged[0]}. Remove {artifacts.open(obj.id)} and run the same command again: "
                "it is imported again."
            )
        log.warning("%s: %s: it is made again", obj.name, damaged[0])
        before = (artifacts.record(obj.id) or {}).get("files")
        artifacts.remove(obj.id, scores=False)
        job = dataclasses.replace(self._job, action=action)
        _make(job, JobContext(job, self._toolkit, self._watch, self._answered), self._toolkit)
        if before is not None and before != (artifacts.record(obj.id) or {}).get("files"):
            log.warning(
                "%s: made again, and not to the same bits: scores of it and of its descendants may shift", obj.name
            )

    def keep(self, loaded: Loaded) -> None:
        if self._made is not None:
            self.models.keep(self._made, loaded)

    def asking(self, chat: AnyChat) -> AnyChat:
        if self._toolkit.calls is None:
            raise ContractViolation("a job asked a language model in a world that keeps no answers (Toolkit.calls)")
        return chat.bound(JobLog(self._job, self._toolkit.calls, self._answered))

    def trained(self, *, rows: int, tokens: int | None, parameters: int | None) -> None:
        self._training = Training(rows=rows, tokens=tokens, flops=training_flops(parameters, tokens))

    def foresee(self, training: Training) -> None:
        """Take what is not told of the training from what was foreseen of the action: that it trains nothing, say."""
        self._training = self._training.or_else(training)

    def reuse(self, cost: Mapping[str, Any]) -> None:
        """Take what making the object took from the record of when it was made."""
        self._reused = cost
        self._training = Training(**cost.get("training", {}))

    def progress(self, phase: str, done: int, total: int | None = None, **facts: float) -> None:
        now = time.monotonic()
        self._phases_s[self._phase] = self._phases_s.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = (phase.split() or [self._phase])[0], now
        self._watch(Progress(phase=phase, done=done, total=total, facts=facts))

    def cost(self) -> Cost:
        self.progress(self._phase, 1, 1)
        phases_s = {phase: round(s, 3) for phase, s in self._phases_s.items()}
        unit = 1 if sys.platform == "darwin" else 1024
        peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        wall_s, models = round(time.monotonic() - self._started, 3), self._toolkit.models
        return Cost(
            wall_s=wall_s,
            phases_s=phases_s,
            peak_bytes=peak_bytes,
            training=self._training,
            gpu_s=wall_s if models is not None and models.device != "cpu" else 0.0,
            reused=self._reused is not None,
            saved_s=0.0 if self._reused is None else self._reused.get("wall_s", 0.0),
        )


def work(
    job: Job,
    toolkit: Toolkit,
    watch: Callable[[Progress], None],
    report: Callable[[Exception], None] = lambda error: None,
    answered: Callable[[LLMCall], None] = lambda call: None,
) -> Outcome:
    """Execute the job's action, unless that was done before, and score what it made; or score the provided model.

    Args:
        report: is handed the exception that made the job fail, whole; the outcome holds the end of it.
        answered: hears of what language models are asked for the job.
    Raises:
        UserError: no job can be done here until the user mends something, such as a full disk.
    """
    with hearing_warnings() as warned:
        outcome = _work(job, JobContext(job, toolkit, watch, answered), toolkit, report)
    return dataclasses.replace(outcome, warnings=warned.texts)


def _work(job: Job, context: JobContext, toolkit: Toolkit, report: Callable[[Exception], None]) -> Outcome:
    try:
        with disk_full_as_user_error(toolkit.artifacts.root):
            model = _make(job, context, toolkit) if job.action else job.objects[0]
            found = _score(model, job, context, toolkit) if model.kind == "model" else _Scored()
        return Made(
            object=model, scores=found.scores, cost=context.cost(), rescored=found.rescored, gains=found.gains
        )  # fmt: skip
    except (UserError, ContractViolation):
        raise
    except BudgetSpent as spent:  # not the action's fault: the trial stays open
        return Failed(cause=spent.bound, message=str(spent), cost=context.cost())
    except Exception as error:  # a failure of one trial is a value: the search goes on
        report(error)
        message = str(error) if isinstance(error, tuple(CAUSES)) else f"{type(error).__name__}: {error}"
        tail = "".join(traceback.format_exception(error)).splitlines()[-LOG_TAIL_LINES:]
        return Failed(cause=cause_of(error), message=message[:2000], log_tail="\n".join(tail), cost=context.cost())


def cause_of(error: Exception) -> Cause:
    """The kind of failure an exception stands for."""
    if isinstance(error, tuple(CAUSES)):
        return next(cause for kind, cause in CAUSES.items() if isinstance(error, kind))
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words in text for words in OUT_OF_MEMORY):
        return "oom"
    return "error"


@functools.cache
def versions() -> dict[str, str]:
    """The installed versions of what a result depends on."""
    found = {}
    for name in VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"python": sys.version.split()[0], **found}


def _make(job: Job, context: JobContext, toolkit: Toolkit) -> Object:
    assert job.action is not None
    action, type = job.action, toolkit.action_types[job.action.type]
    made = Object(id=action.id, kind=type.makes, name=action.id, made_by=action.id)
    record = toolkit.artifacts.record(action.id)
    damaged = [] if record is None else toolkit.artifacts.damaged(action.id)
    if record is not None and not damaged:
        toolkit.whole.add(action.id)
        context.reuse(record.get("cost", {}))
        return _admitted(dataclasses.replace(made, meta=record["meta"]), record, job, toolkit)
    if damaged:
        log.warning("%s: it is made again", damaged[0])
        toolkit.artifacts.remove(action.id, scores=False)
    inputs = {slot: [context.object(i) for i in ids] for slot, ids in action.inputs.items()}
    context.progress("load", 0)
    foreseen = cost_of(type, inputs)
    if foreseen == NO_TRAINING:
        context.foresee(foreseen)
    record = {"id": action.id, "kind": type.makes, "action": dataclasses.asdict(action), "versions": versions()}
    with toolkit.artifacts.write(action.id, record) as workdir:
        context.workdir = workdir
        if toolkit.models is not None:
            record["machine"] = machine_kind(toolkit.models.device)
        record["meta"] = _checked(type, dict(type.execute(inputs, action.seed, context)))
        context.foresee(foreseen)
        if type.makes == "model" and toolkit.examine is not None:
            context.progress("check", 0)
            record["meta"] |= toolkit.examine(action.id, context.object(record["meta"]["root"]), context)
        made = _admitted(dataclasses.replace(made, meta=record["meta"]), record, job, toolkit, workdir)
        context.progress("write", 0)
        record["cost"] = dataclasses.asdict(context.cost())
    toolkit.whole.add(action.id)
    return made


def _admitted(made: Object, record: dict[str, Any], job: Job, toolkit: Toolkit, workdir: Path | None = None) -> Object:
    """What was made, if it may join the pool: a dataset, once its rows were held against the evaluation and the pool.

    Args:
        workdir: where the rows lie while they are new; None for those that were made before.
    Raises:
        Contaminated, Duplicate: it may not.
    """
    if made.kind != "dataset":
        return made
    if (screen := toolkit.screen) is not None and workdir is not None:
        made = dataclasses.replace(made, meta=screen.admit(made.id, workdir, record))
    elif screen is not None:
        made = dataclasses.replace(made, meta=screen.admit_again(made.id, toolkit.artifacts.open(made.id), record))
    if screen is not None:
        rows = (workdir or toolkit.artifacts.open(made.id)) / "data.jsonl"
        made = dataclasses.replace(made, meta={**made.meta, **size_like(rows, job.objects)})
    if (twin := made.same_rows(job.objects)) is not None:
        raise Duplicate(twin.name)
    return made


def _checked(type: ActionType, meta: dict[str, Any]) -> dict[str, Any]:
    """What an action type returned, if all is there that its kind of object must have.

    Raises:
        ContractViolation: it is not; everything that reads the object later relies on it.
    """
    wanted = REQUIRED_META[type.makes]
    if missing := [f"{key} ({of.__name__})" for key, of in wanted.items() if not isinstance(meta.get(key), of)]:
        raise ContractViolation(
            f"action type {type.name!r} makes a {type.makes}, and its execute() returned no {', '.join(missing)}; "
            f"it returned {', '.join(sorted(meta)) or 'nothing'}"
        )
    return meta


def _score(model: Object, job: Job, context: JobContext, toolkit: Toolkit) -> _Scored:
    """What a model scored; where it raced, on as many items as that took, and what others scored on these."""
    evaluation = toolkit.evaluation

    def scores(of: Object, n: int | None) -> Scores:
        root = of.root
        return evaluation.scores(of, job.split, context, n, context.object(root) if root != of.id else None)

    first = job.items or (evaluation.first if job.split == "validation" else None)
    found = scores(model, first)  # before any race: a model that cannot be scored fails here
    if job.action is None or job.split != "validation":
        return _Scored(scores=found)
    asked, others = first, list[Object]()
    if job.leader is not None:
        leader, known = context.object(job.leader), job.asked.get(job.leader, 0)
        asked = evaluation.race(model, leader, context, known)
        if asked != first:
            # Base models are asked what their descendants are, so that gains are over all items.
            raised = [leader, context.object(leader.root)] if known < (asked or 0) else []
            others = [context.object(model.root), *raised]
    # Not over the leader: who leads depends on when a job is handed out, and an outcome must not.
    parents = [context.object(i) for i in job.action.object_ids if i in job.asked]
    return _Scored(
        scores=found if asked == first else scores(model, asked),
        rescored={of.id: scores(of, asked) for of in others},
        gains=evaluation.gains(model, parents, context, asked, job.asked),
    )


@dataclass(frozen=True, kw_only=True)
class _Scored:
    scores: Scores = ()
    rescored: Mapping[ObjectId, Scores] = field(default_factory=dict)
    gains: Mapping[ObjectId, ObjectiveValue] = field(default_factory=dict)
