"""Signatures of what comes of a search: skills that are lost, gains that stop, gains that only validation sees."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from lamdagent.core.evidence import parts
from lamdagent.core.format import change, scored
from lamdagent.core.state import ONE_SIDED_95, State, objective_of
from lamdagent.core.types import ObjectId, Score, Trial
from lamdagent.evaluation.ranking import ItemsById
from lamdagent.results.diagnosis.pairs import Pairs
from lamdagent.results.diagnosis.signature import (
    FEWEST_TESTED,
    FEWEST_TRIALS,
    FEWEST_USES,
    FORGETFUL,
    LONG_ENOUGH,
    NOISE,
    RARE,
    STANDSTILL_ALARM,
    STANDSTILL_WATCH,
    Figure,
    Signature,
    Verdict,
    too_few,
    unknown,
    worst,
)
from lamdagent.results.holdout import HoldoutResults

FORGETTING, PLATEAU, OVERFITTING = "forgetting", "plateau", "validation overfitting"
SHOWN = 3
TIED = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A trial's worst change on a task, in the task's unit, against the parent that is lowest on it.

    The error is paired where items are kept (`pairs`). `beyond` says whether it is a loss beyond noise, corrected for the
    number of tasks.
    """

    trial: Trial
    task: str
    value: float
    stderr: float
    beyond: bool


def forgetting(state: State, study: str, items: ItemsById | None = None) -> Signature:
    """Which action types, datasets and settings make models lose what every parent could.

    Args:
        items: what each item gave, of the models whose items are kept.
    """
    losses = list(_losses(Pairs(state, items or {})))
    if len(losses) < FEWEST_TRIALS:
        return too_few(FORGETTING, len(losses), "trials with scores and standard errors", len(state.trials), study)
    lost = [loss for loss in losses if loss.beyond]
    figure = Figure(label="trials that lost a skill", value=len(lost), n=len(losses))
    words = [f"{len(lost)} of {len(losses)} trials lost some of a skill that every parent had, beyond noise (95 %)"]
    if lost:
        words.append(_worst_of(state, lost))
    groups: dict[str, list[Loss]] = defaultdict(list)
    for loss in losses:
        for part in parts(state, loss.trial):
            groups[part].append(loss)
    rows = [row for part, of in groups.items() if (row := _forgetful(part, of, losses, len(groups))) is not None]
    rows.sort(key=lambda row: (row.p_other, -row.figure.value))
    blamed = [row for row in rows if row.p_other < NOISE]
    words += [row.words for row in (blamed or rows[:1])[:SHOWN]]
    leader = _leader_lost(state)
    verdict = worst([*(row.verdict for row in rows), *(["watch"] if leader else [])])  # type: ignore[list-item]
    words += [leader] if leader else []
    advice = "None needed."
    if verdict != "ok":
        without = f"leave {blamed[0].part} out of a next study, or " if blamed else ""
        advice = f"To keep a skill, {without}name its task under guards: with the max_drop that you allow."
    return Signature(
        name=FORGETTING, verdict=verdict, measured="; ".join(words) + ".", advice=advice,
        figures=(figure, *(row.figure for row in rows)),
    )  # fmt: skip


def _losses(pairs: Pairs) -> Iterator[Loss]:
    state = pairs.state
    for trial in state.trials:
        made_id = trial.choice.action.id
        made = _by_task(state, made_id)
        models = [i for i in trial.choice.action.object_ids if state.pool[i].kind == "model"]
        parents = [(i, _by_task(state, i)) for i in models]
        changes = []
        for goal in state.goals:
            given = [(i, known[goal.task]) for i, known in parents if goal.task in known]
            if goal.task in made and given and len(given) == len(parents):
                low_id, low = min(given, key=lambda row: row[1].value)
                if (gap := pairs.on(goal, made[goal.task], low, (made_id, low_id))) is not None:
                    changes.append((gap.value, gap.stderr or 0.0, goal.task))
        if changes:
            value, error, task = min(changes, key=lambda c: c[0] / c[1])
            reach = float(stats.norm.isf(NOISE / len(changes)))
            yield Loss(trial=trial, task=task, value=value, stderr=error, beyond=value < -reach * error)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Forgetful:
    part: str
    words: str
    figure: Figure
    p_other: float
    verdict: Verdict


def _forgetful(part: str, own: Sequence[Loss], every: Sequence[Loss], groups: int) -> _Forgetful | None:
    """A part whose trials lose skills more often than noise explains; None for others."""
    k, n = sum(loss.beyond for loss in own), len(own)
    if n < FEWEST_USES or stats.binomtest(k, n, NOISE, alternative="greater").pvalue >= RARE / groups:
        return None
    other_k, other_n = sum(loss.beyond for loss in every) - k, len(every) - n
    p_other = float(stats.fisher_exact([[k, n - k], [other_k, other_n - other_k]], alternative="greater").pvalue)
    mean = float(np.mean([loss.value for loss in own]))
    stderr = float(np.std([loss.value for loss in own], ddof=1)) / math.sqrt(n)
    beside = f", {other_k} of the {other_n} others" if other_n else ""
    return _Forgetful(
        part=part,
        words=f"{part}: {k} of {n}{beside}, worst task {change(mean, stderr)} on average",
        figure=Figure(label=f"worst change by {part}", value=mean, n=n, stderr=stderr),
        p_other=p_other,
        verdict="alarm" if k >= FORGETFUL * n else "watch",
    )


def _worst_of(state: State, lost: Sequence[Loss]) -> str:
    most = min(lost, key=lambda loss: loss.value)
    name = state.pool[most.trial.choice.action.id].name
    return f"the most {change(most.value, most.stderr)} on {most.task} ({name}, trial {most.trial.number})"


def _leader_lost(state: State) -> str:
    """What the best made model lost against its base model, beyond noise; empty where nothing."""
    leader = next((obj for obj, _ in state.ranked() if obj.made_by is not None), None)
    if leader is None or not state.goals:
        return ""
    base = _by_task(state, leader.root)
    drops = [drop for s in _by_task(state, leader.id).values() if (drop := _drop(s, base.get(s.task))) is not None]
    value, error, task = min(drops, default=(0.0, 0.0, ""))
    if value >= -float(stats.norm.isf(NOISE / len(state.goals))) * error:
        return ""
    return f"the best model, {leader.name}, lost {change(value, error)} on {task} of its base model"


def _drop(score: Score, base: Score | None) -> tuple[float, float, str] | None:
    if score.gain is not None and score.gain_stderr is not None:
        return score.gain, score.gain_stderr, score.task
    if base is None or base.stderr is None or score.stderr is None:
        return None  # journals of before scores had gains still have both scores
    return score.value - base.value, math.hypot(score.stderr, base.stderr), score.task


def _by_task(state: State, object_id: ObjectId) -> dict[str, Score]:
    return {s.task: s for s in state.scores.get(object_id, ()) if s.split == "validation"}


def plateau(state: State, study: str, items: ItemsById | None = None) -> Signature:
    """How long ago the last improvement beyond noise came, and how unusual that is.

    Records grow rare by themselves: if results had no trend, the last record of N would be among the first s with the
    probability s / N, whatever their distribution. Here a record must rise beyond noise, so it is earlier the more
    models are as good as the best: in simulation 60 trials without a trend alarm in 5 % of cases where no two models
    are alike, and in 14 % where a tenth of them cannot be told from the best. There is little left to gain then, too.

    Args:
        items: what each item gave, of the models whose items are kept: improvements are paired on these.
    Source: Rényi 1962, on records of independent draws.
    """
    ended = [trial for trial in state.trials if trial.outcome is not None]
    base = {o.id: v.value for o in state.of_kind("model") if o.made_by is None and (v := state.objective(o.id))}
    if not base:
        return unknown(PLATEAU, "No base model is scored yet.", f"Begin with: lamdagent run {study}.")
    if len(ended) < LONG_ENOUGH:
        return too_few(PLATEAU, len(ended), "ended trials", len(state.trials), study, LONG_ENOUGH)
    start, made = max(base, key=base.__getitem__), [t.choice.action.id for t in ended]
    found = [i if state.objective(i) is not None and not state.broken(i) else None for i in made]
    held, at, count = _last_improvement(start, found, Pairs(state, items or {}))
    since, p = len(ended) - at, (1 + at) / (1 + len(ended))
    last = f"nothing improved on the base model's {scored(state.objective(start))} beyond noise"
    if at:
        which = "the only improvement" if count == 1 else f"the last of {count} improvements"
        last = f"{which} beyond noise, to {scored(state.objective(held))}, came with trial {ended[at - 1].number}"
    verdict: Verdict = "ok" if p > STANDSTILL_WATCH else "watch" if p > STANDSTILL_ALARM else "alarm"
    values = {i: v.value for i in (start, *found) if i is not None and (v := state.objective(i)) is not None}
    best = max(values.values())
    within = f"; what rose since, to {best:.3f}, is within noise" if best > values[held] + TIED else ""
    figures = (
        Figure(label="trials since the last improvement", value=since, n=len(ended)),
        Figure(label="least probability of so long a wait without a trend", value=p, n=len(ended)),
    )
    return Signature(
        name=PLATEAU, verdict=verdict, advice=_onwards(verdict, bool(within), study), figures=figures,
        measured=f"{since} of {len(ended)} trials ago: {last}{within}. Of searches whose results have no trend, at "
        f"least {p:.0%} wait so long.",
    )  # fmt: skip


def _last_improvement(start: ObjectId, found: Sequence[ObjectId | None], pairs: Pairs) -> tuple[ObjectId, int, int]:
    """The last model that rose beyond noise above the one before that had; its place from 1; how many there were.

    Small gains that add up count as one. The place is 0 where nothing rose.
    """
    held, at, count = start, 0, 0
    for place, model in enumerate(found, 1):
        if model is None:
            continue
        gap = pairs.objective(model, held)
        if gap.value > ONE_SIDED_95 * (gap.stderr or 0.0) + TIED:
            held, at, count = model, place, count + 1
    return held, at, count


def _onwards(verdict: Verdict, within_noise: bool, study: str) -> str:
    if verdict == "ok":
        return "None needed."
    if within_noise:
        more = "More items show smaller gains (tasks: limit, or evaluation.items)"
        return f"{more}; how many: lamdagent validation-size {study}."
    return "More trials of the same kind are unlikely to help: other datasets or settings, or another policy.kind, may."


def overfitting(state: State, test: HoldoutResults, study: str) -> Signature:
    """Whether validation runs ahead of the sealed test the longer the search goes on. Only where it was opened."""
    gaps = _gaps(state, test)
    if not test.opened:
        return unknown(
            OVERFITTING,
            "It cannot be known while the sealed test is closed.",
            f"lamdagent report {study} opens it for the best models, and counts that it did: best once, at the end.",
        )
    if len({number for number, _ in gaps}) < FEWEST_TESTED:
        missing = f"{len(gaps)} made models were tested; a trend takes {FEWEST_TESTED}."
        return unknown(OVERFITTING, missing, f"More of them: lamdagent report {study} --top N.")
    number_N, gap_N = (np.array(column, dtype=float) for column in zip(*gaps, strict=True))
    fit = stats.linregress(number_N, gap_N)
    slope, stderr = 10 * float(fit.slope), 10 * float(fit.stderr)
    p = float(stats.t.sf(slope / stderr, len(gaps) - 2)) if stderr else float(slope <= 0)
    mean, error = float(gap_N.mean()), float(gap_N.std(ddof=1)) / math.sqrt(len(gap_N))
    verdict: Verdict = "alarm" if p < RARE else "watch" if p < NOISE else "ok"
    advice = "None needed."
    if verdict != "ok":
        advice = (
            "Choose by more validation items (tasks: limit, or evaluation.items), and trust the test, not the rank."
        )
    return Signature(
        name=OVERFITTING,
        verdict=verdict,
        measured=f"Validation less test grows by {change(slope, stderr)} every ten trials, over {len(gaps)} tested "
        f"models (mean {change(mean, error)}; opened {'once' if test.opened == 1 else f'{test.opened} times'}).",
        advice=advice,
        figures=(
            Figure(label="growth of validation less test, every ten trials", value=slope, stderr=stderr, n=len(gaps)),
            Figure(label="validation less test", value=mean, stderr=error, n=len(gaps)),
        ),
    )


def _gaps(state: State, test: HoldoutResults) -> list[tuple[int, float]]:
    """Trial number, and validation less test, of every made model that was tested on the test of today.

    A test that was exchanged is another test: today's is that of the best tested model.
    """
    tested: Mapping[ObjectId, Sequence[Score]] = test.scores
    ranked = [obj for obj, _ in state.ranked() if obj.id in tested]
    sides = {s.task_id for s in tested[ranked[0].id]} if ranked else set()
    found = []
    for obj in ranked:
        trial, ours = state.trial_of(obj.id), state.objective(obj.id)
        theirs = objective_of(state.goals, tested[obj.id])
        if trial and ours and theirs and {s.task_id for s in tested[obj.id]} == sides:
            found.append((trial.number, ours.value - theirs.value))
    return found
