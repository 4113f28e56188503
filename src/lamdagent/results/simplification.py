"""A shorter pipeline that is as good: steps and datasets are dropped one after another while nothing is lost.

Greedy: of all pipelines with one step, or one dataset of a step, fewer the cheapest is made and scored first. It takes the
place of the pipeline if it loses nothing beyond noise; then its own shorter ones are tried. Every one is held against the
whole pipeline, not against the one before, so that small losses do not add up. What lost once is not tried again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lamdagent.core.action_type import ActionType, cost_of
from lamdagent.core.format import change, recipe, scored
from lamdagent.core.pipeline import Pipeline, pipeline_of
from lamdagent.core.plan import plan_data
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State
from lamdagent.core.types import ObjectId, ObjectiveValue
from lamdagent.evaluation.estimates import Difference
from lamdagent.evaluation.ranking import items_of
from lamdagent.results.recommendation import PipelineCost, pipeline_cost
from lamdagent.results.rerun import Rerun
from lamdagent.results.result import Part, Section, Table
from lamdagent.results.variants import Variant, variants

ONE_SIDED_P = 0.1
"""A two-sided p below this, of a loss, is a one-sided p below 0.05."""
KINDS = ("dataset", "hyperparameters")
RULE = (
    "dropped: what costs nothing beyond noise (the whole less what is without it, paired on the same items, one-sided "
    "95 %) and breaks no guard that the whole holds. The whole may have been picked for its luck, which speaks "
    "against dropping"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A shorter pipeline that was tried."""

    without: str
    """What it lacks: a step, by what it makes, or a dataset in a step; names are those of the derived study."""
    trial: int | None
    """The number of its trial in the derived study; null where it could not be made."""
    cost: PipelineCost | None
    """What its pipeline takes; null where it could not be made."""
    objective: ObjectiveValue | None
    """Its objective; null where it has none."""
    lost: Difference | None
    """The objective of the whole less its own, on the same items; null where that cannot be told."""
    dropped: bool
    """Whether it took the place of the pipeline."""
    why: str
    """Why it did or did not, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simplification:
    """A pipeline made shorter, as a trial of a derived study."""

    study: str
    """The study's name."""
    derived: str
    """The run folder of the derived study, which `show`, `lineage` and `export` read."""
    pipeline: str
    """The name of the model whose pipeline was made shorter."""
    objective: ObjectiveValue | None
    """Its objective when done again."""
    cost: PipelineCost
    """What its pipeline takes."""
    trial: int
    """The number of the trial in the derived study that made the shorter one; the whole again where nothing was dropped."""
    model: str
    """The name of its model there."""
    found: ObjectiveValue | None
    """The objective of the shorter one."""
    found_cost: PipelineCost
    """What its pipeline takes."""
    lost: Difference | None
    """What it lost against the whole, on the same items; null where nothing was dropped."""
    how: str
    """The shorter pipeline, in one line."""
    no_better_than: str | None
    """The provided model that the whole pipeline gains nothing on, by the same rule; null where it gains."""
    tried: tuple[Drop, ...]
    """Every shorter pipeline that was made, in order."""
    left: int
    """How many more could have been tried: `--trials` was reached."""

    @property
    def title(self) -> str:
        return f"{self.pipeline} of {self.study}, made shorter"

    def sections(self) -> list[Section]:
        rows = [
            [d.without, scored(d.objective), _lost(d.lost), "-" if d.cost is None else d.cost.words, d.why]
            for d in self.tried
        ]
        parts: list[Part] = [f"{self.pipeline}: {scored(self.objective)}, {self.cost.words}"]
        heads = ["without", "objective", "lost", "takes", "so"]
        parts += [Table(heads=heads, rows=rows, last_is_extra=True)] if rows else []
        parts += [RULE] if rows else ["there is nothing to drop"]
        parts += [f"{self.left} more could be tried: --trials {len(self.tried) + self.left}"] if self.left else []
        if self.no_better_than is not None:
            parts.append(
                f"{self.no_better_than} as it was given loses nothing either: no step of this pipeline is needed"
            )
        return [Section(parts=[*parts, self._result()])]

    def _result(self) -> str:
        if not any(drop.dropped for drop in self.tried):
            return f"nothing was dropped: {self.pipeline} stays as it is"
        return (
            f"trial {self.trial} of {self.derived}: {scored(self.found)}, {self.found_cost.words}, {_lost(self.lost)} lost\n"
            f"{self.how}\nlamdagent export {self.derived} {self.trial} --to FOLDER"
        )


def _lost(lost: Difference | None) -> str:
    return "-" if lost is None else change(lost.value, lost.stderr)


Remake = Callable[[Mapping[str, Any], str], Rerun]
"""Has a plan done in the derived study; the text says what for."""


def simplified(
    study: str,
    derived: str,
    state: State,
    whole_id: ObjectId,
    types: Mapping[str, ActionType],
    artifacts: ArtifactStore,
    remake: Remake,
    trials: int,
) -> Simplification:
    """Make a pipeline of a study shorter.

    Args:
        remake: called with plans, one after another; all are done in one derived study.
        trials: how many shorter pipelines are made at most.
    Raises:
        LookupError: the pipeline could not be done again; the message says why.
    """
    plan = plan_data(state, [whole_id])
    done = remake(plan, state.pool[whole_id].name)
    name = plan["result"]
    if name not in done.status.ids:
        raise LookupError(done.status.unreachable.get(name, "it was not done"))
    whole = found = done.status.ids[name]
    tried: list[Drop] = []
    failed: set[str] = set()
    while left := [v for v in _shorter(done.state, found, types) if _key(v) not in failed]:
        if len(tried) == trials:
            break
        drop, made, done = _try(left[0], whole, found, remake, done, artifacts)
        tried.append(drop)
        if drop.dropped and made is not None:
            found = made
        else:
            failed.add(_key(left[0]))
    trial = done.state.trial_of(found)
    assert trial is not None
    return Simplification(
        study=study,
        derived=derived,
        pipeline=state.pool[whole_id].name,
        objective=done.state.objective(whole),
        cost=pipeline_cost(done.state, whole),
        trial=trial.number,
        model=done.state.pool[found].name,
        found=done.state.objective(found),
        found_cost=pipeline_cost(done.state, found),
        lost=None if found == whole else _difference(done.state, whole, found, artifacts),
        how=recipe(done.state, found),
        no_better_than=_no_better_than(done.state, whole, artifacts),
        tried=tuple(tried),
        left=len(left),
    )


def _shorter(state: State, model: ObjectId, types: Mapping[str, ActionType]) -> list[Variant]:
    """The pipelines of a model with one step or dataset less that train something, cheapest first."""
    pipeline = pipeline_of(state, model)
    found = [v for v in variants(pipeline, state, types) if v.pipeline is not None and v.pipeline.type is not None]
    return sorted(found, key=lambda v: _foreseen(v, types))


def _foreseen(variant: Variant, types: Mapping[str, ActionType]) -> tuple[float, int]:
    """What a pipeline will take, rows and steps; one whose rows are not known comes last."""
    assert variant.pipeline is not None
    steps = [node for node in variant.pipeline.nodes() if node.type is not None]
    rows = [_rows(step, types[str(step.type)]) for step in steps]
    return (math.inf if None in rows else sum(n or 0 for n in rows), len(steps))


def _rows(step: Pipeline, type: ActionType) -> int | None:
    return cost_of(type, {slot: [child.object for child in group] for slot, group in step.inputs.items()}).rows


def _key(variant: Variant) -> str:
    """What is left out: of a step that trains on datasets the same in every pipeline that has such a step."""
    step, dataset = variant.without, variant.dataset
    by_kind = {kind: sorted(c.object.id for c in step.children if c.object.kind == kind) for kind in KINDS}
    if not by_kind["dataset"]:
        return step.object.id
    return f"{step.type} {by_kind['hyperparameters']} {dataset.id if dataset else by_kind['dataset']}"


def _try(
    variant: Variant, whole: ObjectId, found: ObjectId, remake: Remake, done: Rerun, artifacts: ArtifactStore
) -> tuple[Drop, ObjectId | None, Rerun]:
    """Have a shorter pipeline made, and hold it against the whole and against the shortest found so far, which may be
    better than the whole."""
    assert variant.pipeline is not None
    plan = plan_data(done.state, [whole, variant.pipeline])
    names = {step["id"]: step["make"] for step in plan["steps"]}
    name = names[variant.pipeline.object.id]
    done = remake(plan, f"without {variant.what}")
    made = done.status.ids.get(name)
    if made is None:
        why = f"kept: without it there is no model: {done.status.unreachable.get(name, 'it was not done')}"
        return _drop(variant, None, None, done, False, why), None, done
    lost = _difference(done.state, whole, made, artifacts)
    guards = {g.task for g, _ in done.state.broken(made)} - {g.task for g, _ in done.state.broken(whole)}
    if lost is None:
        dropped, why = False, "kept: whether it is worth something cannot be told; items are not kept, or too few"
    elif guards:
        dropped, why = False, f"kept: without it the guard of {', '.join(sorted(guards))} is broken"
    elif _beyond_noise(lost):
        dropped, why = False, "kept: it is worth more than noise"
    elif found != whole and (since := _difference(done.state, found, made, artifacts)) and _beyond_noise(since):
        dropped, why = False, "kept: without it what was gained by dropping the others is lost"
    else:
        dropped, why = True, "dropped"
    return _drop(variant, made, lost, done, dropped, why), made, done


def _drop(
    variant: Variant, made: ObjectId | None, lost: Difference | None, done: Rerun, dropped: bool, why: str
) -> Drop:
    trial = None if made is None else done.state.trial_of(made)
    return Drop(
        without=variant.what,
        trial=None if trial is None else trial.number,
        cost=None if made is None else pipeline_cost(done.state, made),
        objective=None if made is None else done.state.objective(made),
        lost=lost,
        dropped=dropped,
        why=why,
    )


def _beyond_noise(lost: Difference) -> bool:
    return lost.value > 0 and lost.p < ONE_SIDED_P


def _no_better_than(state: State, whole: ObjectId, artifacts: ArtifactStore) -> str | None:
    base = state.pool[state.pool[whole].root]
    lost = _difference(state, whole, base.id, artifacts)
    return None if lost is None or _beyond_noise(lost) else base.name


def _difference(state: State, whole: ObjectId, made: ObjectId, artifacts: ArtifactStore) -> Difference | None:
    """The objective of the whole less that of another model, on the items that both have."""
    from lamdagent.evaluation.statistics import difference

    items = items_of(state.scores, [whole, made], artifacts)
    if len({whole, made} & set(items)) < len({whole, made}):
        return None
    try:
        return difference(items[whole], items[made], state.goals, seed=state.seed)
    except ValueError:
        return None
