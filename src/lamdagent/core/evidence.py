"""What the journal says for itself: gains with their errors, failures, gaps, repeats. Computed, never remembered.

A made dataset has no score of its own: what it is worth is what the models trained on it gained.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lamdagent.core.effects import changed, effects_table, few, parent_of
from lamdagent.core.format import PARTS, action_of, by_task, change, contents, recipe, result
from lamdagent.core.state import State
from lamdagent.core.types import Failed, Made, Object, ObjectId, ObjectiveValue, Trial

COMPUTED = "\n\n[Computed from all trials]\n"
"""What stands in a memory between what was told and what was computed."""
REPEATS = 5
MADE_DATASETS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """A made model's objective less that of its best parent, on the items that both have, with its paired error.

    Journals of before do not say how the two did on the same items: there the error takes them as independent.
    """

    trial: Trial
    value: float
    stderr: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanGain:
    """The mean of `n` gains with its standard error: of the mean where there are several, else of the only one."""

    value: float
    stderr: float | None
    n: int

    def __str__(self) -> str:
        return f"{change(self.value, self.stderr)} (n={self.n})"


def labels(state: State) -> dict[ObjectId, str]:
    """A neutral label for every model, in the order they joined the pool, so that no name speaks for a model."""
    return {obj.id: f"M{i}" for i, obj in enumerate(state.of_kind("model"))}


def gains(state: State) -> Iterator[Gain]:
    """The gain of every trial that made a scored model from scored ones."""
    for trial in state.trials:
        made = state.objective(trial.choice.action.id)
        parents = {i: state.objective(i) for i in trial.choice.action.object_ids if state.pool[i].kind == "model"}
        known = {i: objective for i, objective in parents.items() if objective is not None}
        if made is None or not known:
            continue
        best = max(known, key=lambda i: known[i].value)
        paired = trial.outcome.gains.get(best) if isinstance(trial.outcome, Made) else None
        value, stderr = made.value - known[best].value, _together(made, known[best])
        yield Gain(trial=trial, value=paired.value if paired else value, stderr=paired.stderr if paired else stderr)


def dataset_gains(state: State) -> dict[ObjectId, MeanGain]:
    """What models trained on a dataset gained over their best parent, for every dataset that one was trained on."""
    found: dict[ObjectId, list[Gain]] = defaultdict(list)
    for gain in gains(state):
        for obj in _used(state, gain.trial):
            if obj.kind == "dataset":
                found[obj.id].append(gain)
    return {object_id: _mean_gain(of_one) for object_id, of_one in found.items()}


def evidence_table(state: State) -> str:
    """What each thing that was done changed of each task; made datasets; failures; broken guards. Bounded."""
    names, lines = labels(state), effects_table(state)
    lines += _made_datasets(state, names)
    failed = [t.outcome for t in state.trials if isinstance(t.outcome, Failed)]
    for what, stopped in (("Failures", False), ("Stopped from outside, which says nothing of the action", True)):
        causes = Counter(outcome.cause for outcome in failed if outcome.stopped == stopped)
        if causes:
            lines += [f"{what}: " + ", ".join(f"{cause} {n}" for cause, n in causes.most_common())]
    models = [i for i in names if i in state.scores]
    lines += [f"Of {len(models)} models these {words}" for words in [_guards(state, names, models)] if words]
    return "\n".join(lines) or "Nothing yet: no trial has made a scored model."


def told_notes(memory: str) -> str:
    """The part of a memory that stands before what was computed."""
    return memory.partition(COMPUTED)[0]


def computed_notes(memory: str) -> str:
    """The table in a memory that was computed from all trials; empty where it has none."""
    return memory.partition(COMPUTED)[2]


def planned(trial: Trial) -> str:
    """What was planned when a trial was chosen, as the last line of notes; empty where nothing was."""
    return f"\nPlanned at trial {trial.number + 1}: {trial.choice.plan}" if trial.choice.plan else ""


def line_of(state: State, trial: Trial, names: Mapping[ObjectId, str]) -> str:
    """A trial in a line: what was done, what came of it, each task's score, and what it changed of each."""
    object_id = trial.choice.action.id
    made = names.get(object_id) or (state.pool[object_id].name if object_id in state.pool else None)
    message = f": {trial.outcome.message:.120}" if isinstance(trial.outcome, Failed) else ""
    tasks = f" ({words})" if (words := by_task(state, object_id)) else ""
    parent, moved = parent_of(state, trial), changed(state, trial)
    since = f"; from {names.get(parent, state.pool[parent].name)}: {moved}" if parent is not None and moved else ""
    outcome = f"{f'{made}, ' if made else ''}{result(state, trial)}{message}{tasks}{since}"
    return f"{action_of(state, trial, names)} gave {outcome}"


def _made_datasets(state: State, names: dict[ObjectId, str]) -> list[str]:
    """The made datasets that models gained most on, and how many are left to try; nothing where none was made."""
    made = [obj for obj in state.of_kind("dataset") if obj.made_by is not None]
    if not made:
        return []
    gained = dataset_gains(state)
    tried = sorted((obj for obj in made if obj.id in gained), key=lambda obj: -gained[obj.id].value)
    lines = ["Made datasets, by the mean gain of the models trained on them:"]
    for obj in tried[:MADE_DATASETS]:
        lines.append(f"- {obj.name} {gained[obj.id]}: {recipe(state, obj.id, names)}, {contents(obj)}")
    untried = [obj.name for obj in made if obj.id not in gained]
    if untried:
        lines.append(f"- no model trained on them yet: {few(untried, most=MADE_DATASETS)}")
    return lines


def _guards(state: State, names: dict[ObjectId, str], models: Sequence[ObjectId]) -> str:
    broken = [(names[i], {guard for guard, _ in state.broken(i)}) for i in models]
    by_task = [
        f"{guard.task} (at most -{guard.max_drop:g}): {', '.join(name for name, guards in broken if guard in guards)}"
        for guard in state.guards
        if any(guard in guards for _, guards in broken)
    ]
    return f"break a guard and rank last: {'; '.join(by_task)}" if by_task else ""


def repeats(state: State, window: int = REPEATS) -> str | None:
    """A warning where the last `window` choices were of one pattern and none of them gained; None elsewhere."""
    run = _run_of_one_pattern(state, len(state.trials))
    if len(run) < window:
        return None
    values = [g for g in gains(state) if g.trial in run]
    if any(g.value > 2 * (g.stderr or 0.0) for g in values):
        return None
    best = max(values, key=lambda g: g.value, default=None)
    gained = "none was scored" if best is None else f"the largest gain was {change(best.value, best.stderr)}"
    pattern = _pattern(state, run[-1])
    return f"The last {len(run)} choices were all of the pattern {pattern}; {gained}. Choose another pattern."


def collapsed(state: State, window: int = REPEATS) -> int:
    """How many choices went on with a pattern that the `window` choices before had, too: a count of mode collapse."""
    return sum(len(_run_of_one_pattern(state, end)) > window for end in range(1, len(state.trials) + 1))


def _run_of_one_pattern(state: State, end: int) -> list[Trial]:
    run: list[Trial] = []
    for trial in reversed(state.trials[:end]):
        if run and _pattern(state, trial) != _pattern(state, run[0]):
            break
        run.append(trial)
    return run


def _pattern(state: State, trial: Trial) -> str:
    return f"{trial.choice.action.type}({', '.join(o.name for o in _used(state, trial))})"


def _used(state: State, trial: Trial) -> list[Object]:
    return [obj for i in trial.choice.action.object_ids if (obj := state.pool[i]).kind in PARTS]


def parts(state: State, trial: Trial) -> list[str]:
    """What a trial used, in words: its action type, and its settings and provided datasets with that type before them.

    Made datasets grow in number with the search; what they are worth is said elsewhere, of the best few.
    """
    type = trial.choice.action.type
    return [type, *(f"{type} {obj.kind} {obj.name}" for obj in _used(state, trial) if obj.made_by is None)]


def _mean_gain(found: Sequence[Gain]) -> MeanGain:
    mean, stderr = _mean_and_error([gain.value for gain in found])
    return MeanGain(value=mean, stderr=found[0].stderr if len(found) == 1 else stderr, n=len(found))


def _together(a: ObjectiveValue, b: ObjectiveValue) -> float | None:
    return None if a.stderr is None or b.stderr is None else math.hypot(a.stderr, b.stderr)


def _mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and its standard error; None for a single value."""
    n, mean = len(values), math.fsum(values) / len(values)
    if n < 2:
        return mean, None
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)
