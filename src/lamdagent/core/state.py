"""State: all that has happened, folded from events, and the one function that folds."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from lamdagent.core.errors import JournalError
from lamdagent.core.events import (
    Asked,
    AuditDone,
    Event,
    HoldoutOpened,
    LLMCalled,
    MemoryUpdated,
    ObjectAdded,
    Referenced,
    Scored,
    SearchStopped,
    StudyOpened,
    Tested,
    TimeSpent,
    Told,
)
from lamdagent.core.intervals import gain_interval, objective_interval
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.spent import Spent
from lamdagent.core.text import without_numbers
from lamdagent.core.types import (
    ActionId,
    Cost,
    Guard,
    Kind,
    Made,
    Object,
    ObjectId,
    ObjectiveValue,
    Score,
    TaskWeight,
    Trial,
)

ONE_SIDED_95 = 1.6448536269514722  # the normal quantile at 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that has happened, but for what was seen of the test side: a search cannot learn what it cannot hold."""

    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    goals: tuple[TaskWeight, ...] = ()
    guards: tuple[Guard, ...] = ()
    id_formula: int = 1
    task_ids: Mapping[str, str] = field(default_factory=dict)
    prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pool: Mapping[ObjectId, Object] = field(default_factory=dict)
    scores: Mapping[ObjectId, tuple[Score, ...]] = field(default_factory=dict)
    trials: tuple[Trial, ...] = ()
    tried: Mapping[ActionId, int] = field(default_factory=dict)
    memory: str = ""
    memories: Mapping[int, str] = field(default_factory=dict)
    llm_calls: tuple[LLMCall, ...] = ()
    tokens: int = 0
    usd: float = 0.0
    wall_s: float = 0.0
    gpu_s: float = 0.0
    stopped: SearchStopped | None = None
    references: Mapping[ObjectId, Referenced] = field(default_factory=dict)
    audit: AuditDone | None = None
    warnings: Mapping[str, tuple[ObjectId, str]] = field(default_factory=dict)
    """By text without numbers: the first model or trial's action that was warned of, and the warning."""

    @property
    def running(self) -> tuple[Trial, ...]:
        return tuple(t for t in self.trials if t.outcome is None)

    @property
    def spent_by_search(self) -> Spent:
        """What policy and memory asked a language model, without what jobs did."""
        return Spent.on(call for call in self.llm_calls if call.job is None)

    def calls_of_job(self, key: int | str) -> tuple[LLMCall, ...]:
        """What a job asked a language model."""
        return tuple(call for call in self.llm_calls if call.job == key)

    @property
    def unscored(self) -> tuple[Object, ...]:
        """ObjectAdded models that have no scores yet, in the order they came."""
        return tuple(o for o in self.of_kind("model") if o.made_by is None and o.id not in self.scores)

    def of_kind(self, kind: Kind) -> tuple[Object, ...]:
        return tuple(o for o in self.pool.values() if o.kind == kind)

    def objective(self, object_id: ObjectId) -> ObjectiveValue | None:
        """A model's objective on the validation side; None if any goal has no score."""
        return objective_of(self.goals, [s for s in self.scores.get(object_id, ()) if s.split == "validation"])

    def ranked(self) -> tuple[tuple[Object, ObjectiveValue], ...]:
        """Every scored model: those that hold all guards first, best first, earlier first among equals.

        Best is by the difference, on the items that both have, from the best of those that were asked most items; so
        nobody gains by having been asked fewer, or easier, ones.
        """
        known = [(o, v) for o in self.of_kind("model") if (v := self.objective(o.id)) is not None]
        broken = {o.id for o, _ in known if self.broken(o.id)}
        asked = {o.id: sum(s.n for s in self._counted(o.id)) for o, _ in known}
        most = max(known, key=lambda row: (row[0].id not in broken, asked[row[0].id], row[1].value), default=None)
        if most is None:
            return ()
        return tuple(sorted(known, key=lambda row: (row[0].id in broken, -self.lead(row[0].id, most[0].id))))

    def lead(self, a: ObjectId, b: ObjectId) -> float:
        """How much higher the objective of one scored model is than another's, on the items that both have.

        Where a journal of before does not say how a model did on these, each counts on all that it has.
        """
        theirs, scale = {s.task: s for s in self._counted(b)}, {g.task: g.weight / g.max_score for g in self.goals}
        total = sum(goal.weight for goal in self.goals)
        gaps = []
        for mine in self._counted(a):
            n = min(mine.n, theirs[mine.task].n)
            x, y = mine.mean_of_first(n), theirs[mine.task].mean_of_first(n)
            gap = mine.value - theirs[mine.task].value if x is None or y is None else x - y
            gaps.append(scale[mine.task] * gap)
        return math.fsum(gaps) / total

    def _counted(self, object_id: ObjectId) -> list[Score]:
        """The scores that a model's objective is made of."""
        counted = {goal.task for goal in self.goals if goal.weight}
        return [s for s in self.scores.get(object_id, ()) if s.split == "validation" and s.task in counted]

    def broken(self, object_id: ObjectId) -> tuple[tuple[Guard, Score], ...]:
        """The guards that a model breaks, beyond noise, with the scores that say so.

        It breaks one if the upper end of the one-sided 95 % interval of its paired gain lies below `-max_drop`.
        """
        if not self.guards:
            return ()
        by_task = {s.task: s for s in self.scores.get(object_id, ()) if s.split == "validation"}
        best = {goal.task: goal.max_score for goal in self.goals}
        found = [(guard, by_task[guard.task]) for guard in self.guards if guard.task in by_task]
        ends = [gain_interval(s, best.get(s.task, 1.0), ONE_SIDED_95) for _, s in found]
        # Without an error, as on a single item, nothing is beyond noise.
        return tuple(p for p, end in zip(found, ends, strict=True) if end is not None and end[1] < -p[0].max_drop)

    def worst_drop(self, object_id: ObjectId) -> Score | None:
        """The score of a made model with the lowest gain over its base model; None for base models."""
        compared = [s for s in self.scores.get(object_id, ()) if s.gain is not None and s.split == "validation"]
        return min(compared, key=lambda s: s.gain or 0.0, default=None)

    def trial_of(self, object_id: ObjectId) -> Trial | None:
        """The trial that made an object; None for what the user provided."""
        number = self.tried.get(object_id)
        return None if number is None else self.trials[number]


def objective_of(goals: Sequence[TaskWeight], scores: Sequence[Score]) -> ObjectiveValue | None:
    """The objective of one side's scores with its error and interval; None if any goal that counts has none."""
    return _objective(tuple(goals), tuple(scores))


@functools.lru_cache(maxsize=16_384)  # a ranking asks it of every model, after every trial
def _objective(goals: tuple[TaskWeight, ...], scores: tuple[Score, ...]) -> ObjectiveValue | None:
    found = weighted_mean(goals, scores)
    if found is None:
        return None
    by_task, counted = {s.task: s for s in scores}, [g for g in goals if g.weight]
    low, high = objective_interval(counted, [by_task[g.task] for g in counted]) or (None, None)
    return replace(found, low=low, high=high)


def weighted_mean(goals: Sequence[TaskWeight], scores: Sequence[Score]) -> ObjectiveValue | None:
    """The weighted mean of scores, or of their differences, with its error; None if any goal that counts has none.

    The standard error takes tasks as independent, sqrt(sum((w_k / max_k * stderr_k)**2)) / sum(w_k), but for those that
    ask the same rows. That is what a bootstrap over the items, stratified by task, gives.
    """
    by_task, goals = {s.task: s for s in scores}, [g for g in goals if g.weight]
    if not goals or any(g.task not in by_task for g in goals):
        return None
    scales, total = {g.task: g.weight / g.max_score for g in goals}, sum(g.weight for g in goals)
    value = sum(scale * by_task[task].value for task, scale in scales.items()) / total
    errors = [(scale, by_task[task].stderr) for task, scale in scales.items()]
    if any(stderr is None for _, stderr in errors):
        return ObjectiveValue(value=value, stderr=None)
    variance = sum((scale * (stderr or 0.0)) ** 2 for scale, stderr in errors) + sum(
        scale * scales[other] * covariance
        for task, scale in scales.items()
        for other, covariance in by_task[task].shared
        if other in scales
    )
    return ObjectiveValue(value=value, stderr=math.sqrt(max(0.0, variance)) / total)


def _most_items(old: Sequence[Score], new: Sequence[Score]) -> tuple[Score, ...]:
    """New scores, but for those on fewer of the same items than are known: nothing that was asked is thrown away."""
    known = {(s.task, s.split, s.task_id): s for s in old}
    return tuple(max(s, known.get((s.task, s.split, s.task_id), s), key=lambda s: s.n) for s in new)


def _gpu_s(cost: Cost, state: State) -> float:
    # A worker that died cannot say what it held: all its time, where jobs before it held a GPU.
    return cost.gpu_s if cost.gpu_s is not None else cost.wall_s if state.gpu_s else 0.0


def _warnings(state: State, by: ObjectId, texts: Sequence[str]) -> Mapping[str, tuple[ObjectId, str]]:
    new = {without_numbers(text): (by, text) for text in texts}
    return {**state.warnings, **new} if new else state.warnings


def reduce_events(events: Iterable[Event], state: State | None = None) -> State:
    """The state after `events`, from `state` or from nothing.

    Raises:
        JournalError: one of them cannot follow on those before it.
    """
    state = state or State()
    for event in events:
        if (fault := _why_not_next(state, event)) is not None:
            raise JournalError(f"the journal is damaged: {fault}. Restore it from a copy.")
        state = _step(state, event)
    return state


def _why_not_next(state: State, event: Event) -> str | None:
    """Why an event cannot follow on those before it, in words."""
    match event:
        case Asked(number=number, choice=choice, settings=settings):
            if number != len(state.trials):
                return f"trial {number} begins, and {len(state.trials)} have begun"
            new = {obj.id for obj in settings}
            if missing := [i for i in choice.action.object_ids if i not in state.pool and i not in new]:
                return f"trial {number} takes {missing[0]}, which is not in the pool"
        case Told(number=number) if not 0 <= number < len(state.trials):
            return f"trial {number} ends, and {len(state.trials)} have begun"
        case Told(number=number) if state.trials[number].outcome is not None:
            return f"trial {number} ends twice"
        case MemoryUpdated(number=number) if not 0 <= number < len(state.trials):
            return f"the memory takes in trial {number}, and {len(state.trials)} have begun"
        case Scored(object_id=object_id) if object_id not in state.pool:
            return f"{object_id} is scored, which is not in the pool"
    return None


def _step(state: State, event: Event) -> State:
    if state.stopped is not None and isinstance(event, Scored | Asked | Told | TimeSpent):
        state = replace(state, stopped=None)  # only a search that goes on writes these
    match event:
        case StudyOpened():
            return replace(state, **{field.name: getattr(event, field.name) for field in fields(event)})
        case ObjectAdded(object=obj):
            return replace(state, pool={**state.pool, obj.id: obj})
        case Scored(object_id=object_id, scores=scores):
            return replace(
                state,
                scores={**state.scores, object_id: scores},
                gpu_s=state.gpu_s + _gpu_s(event.cost, state),
                warnings=_warnings(state, object_id, event.warnings),
            )
        case Asked(number=number, choice=choice, settings=settings):
            trials = (*state.trials, Trial(number=number, choice=choice))
            pool = {**state.pool, **{obj.id: obj for obj in settings}} if settings else state.pool
            return replace(state, pool=pool, trials=trials, tried={**state.tried, choice.action.id: number})
        case Told(number=number, outcome=outcome):
            told = replace(state.trials[number], outcome=outcome)
            state = replace(
                state,
                trials=(*state.trials[:number], told, *state.trials[number + 1 :]),
                gpu_s=state.gpu_s + _gpu_s(outcome.cost, state),
                warnings=_warnings(state, told.choice.action.id, outcome.warnings),
            )
            if not isinstance(outcome, Made):
                return state
            made = outcome.object
            # Only models are scored: an entry for a dataset, though empty, would pass for a model that scored nothing.
            own = {made.id: outcome.scores} if made.kind == "model" else {}
            rescored = {i: _most_items(state.scores.get(i, ()), scores) for i, scores in outcome.rescored.items()}
            known = {**state.scores, **rescored, **own}
            return replace(state, pool={**state.pool, made.id: made}, scores=known)
        case MemoryUpdated(number=number, memory=memory):
            return replace(state, memory=memory, memories={**state.memories, number: memory})
        case LLMCalled(call=call):
            return replace(
                state,
                llm_calls=(*state.llm_calls, call),
                tokens=state.tokens + call.tokens_in + call.tokens_out,
                usd=state.usd + (call.usd or 0.0),
            )
        case TimeSpent(wall_s=wall_s):
            return replace(state, wall_s=state.wall_s + wall_s)
        case Referenced(model=model):
            return replace(state, references={**state.references, model.id: event})
        case AuditDone():
            return replace(state, audit=event)
        case SearchStopped():
            return replace(state, stopped=event)
        case HoldoutOpened() | Tested():
            return state
