"""What was done did to each task: a model's score less that of the model it was made from, task by task.

A step may cost one task and give another; the objective alone hides both.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from lamdagent.core.format import change
from lamdagent.core.state import State, weighted_mean
from lamdagent.core.types import ObjectId, Score, Trial

TOP = 0.9
"""A share of a task's maximum: from there on little is left to gain."""
ROWS = 14
TASKS = 6
NAMES = 8
Work = tuple[str, tuple[str, ...], tuple[str, ...]]
"""An action type, datasets and settings, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A task's score less that of the parent on the items that both have, in the task's unit.

    The errors of both are taken as independent, so `stderr` is rather too large than too small. `room` says whether the
    parent was below `TOP` of the task's maximum.
    """

    task: str
    value: float
    stderr: float | None
    room: bool


def parent_of(state: State, trial: Trial) -> ObjectId | None:
    """The scored model that a trial began from, the best of several; None where there is none."""
    models = [i for i in trial.choice.action.object_ids if state.pool[i].kind == "model" and state.scores.get(i)]
    if len(models) < 2:
        return models[0] if models else None
    means = {i: weighted_mean(state.goals, list(_scores(state, i).values())) for i in models}  # no interval is needed
    known = {i: mean.value for i, mean in means.items() if mean is not None}
    return max(known, key=lambda i: known[i], default=None)


def changes_of(state: State, trial: Trial) -> list[Change]:
    """What a trial changed of each task, in the order of the goals; nothing where it made no scored model of one."""
    made, parent = _scores(state, trial.choice.action.id), parent_of(state, trial)
    if not made or parent is None:
        return []
    before = _scores(state, parent)
    return [
        _change(made[goal.task], before[goal.task], goal.max_score)
        for goal in state.goals
        if goal.task in made and goal.task in before
    ]


def effects_table(state: State, most: int = ROWS) -> list[str]:
    """Lines of what each action type did to each task on each dataset, or set of them, under each setting.

    Bounded: of more than `most` groups those that were done most often are shown, in the order of what they gave.
    """
    groups: dict[Work, dict[str, list[Change]]] = defaultdict(lambda: defaultdict(list))
    done: dict[Work, int] = defaultdict(int)
    for trial in state.trials:
        if not (found := changes_of(state, trial)):
            continue
        label = work_of(state, trial)
        done[label] += 1
        for one in found:
            if one.room or one.value < -2 * (one.stderr or 0.0):
                groups[label][one.task].append(one)
    if not done:
        return []
    frequent = sorted(done, key=lambda label: -done[label])[:most]
    weights = {goal.task: goal.weight / goal.max_score for goal in state.goals}
    frequent.sort(key=lambda label: -sum(weights[t] * _mean(found) for t, found in groups[label].items()))
    left_out = f" ({len(done) - most} more were done less often)" if len(done) > most else ""
    head = (
        f"Mean change of each task from the model that was gone on from, by what was done{left_out}; a model that already "
        f"had {TOP:.0%} of a task's maximum counts only where it lost:"
    )
    return [head, *(f"- {_label(work)} (n={done[work]}): {_row(state, groups[work], done[work])}" for work in frequent)]


def work_of(state: State, trial: Trial) -> Work:
    """What was done, but for the models. An amount that was varied stands under its setting."""
    objects = [state.pool[i] for i in trial.choice.action.object_ids]
    datasets = tuple(o.name for o in objects if o.kind == "dataset")
    settings = tuple(o.setting.get("of", o.name) for o in objects if o.kind == "hyperparameters")
    return trial.choice.action.type, datasets, settings


def _label(work: Work) -> str:
    """`sft facts+sort/firm`."""
    type, *parts = work
    return " ".join([type, *filter(None, ["/".join(few(part, "+") for part in parts if part)])])


def few(names: Sequence[str], between: str = ", ", most: int = NAMES) -> str:
    """At most so many names, and how many more there are."""
    more = f"{between}{len(names) - most} more" if len(names) > most else ""
    return f"{between.join(islice(names, most))}{more}"


def changed(state: State, trial: Trial) -> str:
    """`facts +0.11, reverse -0.13`: what a trial changed of each task; empty where that is not known."""
    return ", ".join(f"{one.task} {one.value:+.2f}" for one in changes_of(state, trial)[:TASKS])


def _row(state: State, groups: dict[str, list[Change]], done: int) -> str:
    order = {goal.task: i for i, goal in enumerate(state.goals)}
    largest = sorted(groups, key=lambda task: -abs(_mean(groups[task])))[:TASKS]
    shown = [_cell(task, groups[task], done) for task in sorted(largest, key=order.__getitem__)]
    return ", ".join(shown) or "nothing was left to gain where it was done"


def _cell(task: str, found: Sequence[Change], done: int) -> str:
    """`facts +0.112 ± 0.020`, with the count where it is not that of the row."""
    count = "" if len(found) == done else f" (n={len(found)})"
    return f"{task} {change(_mean(found), _error(found))}{count}"


def _mean(found: Sequence[Change]) -> float:
    return math.fsum(one.value for one in found) / len(found)


def _error(found: Sequence[Change]) -> float | None:
    """The standard error of the mean of several; that of the items of a single one."""
    if len(found) == 1:
        return found[0].stderr
    mean = _mean(found)
    return math.sqrt(math.fsum((one.value - mean) ** 2 for one in found) / (len(found) - 1) / len(found))


def _scores(state: State, object_id: ObjectId) -> dict[str, Score]:
    return {s.task: s for s in state.scores.get(object_id, ()) if s.split == "validation"}


def _change(made: Score, before: Score, most: float) -> Change:
    n = min(made.n, before.n)
    x, y = made.mean_of_first(n), before.mean_of_first(n)
    value = made.value - before.value if x is None or y is None else x - y
    # Where one was asked more items, its error is of all of them, and the difference of the first n.
    errors = [None if s.stderr is None else s.stderr * math.sqrt(s.n / n) for s in (made, before)]
    known = None if None in errors else math.hypot(*(error or 0.0 for error in errors))
    return Change(task=made.task, value=value, stderr=known, room=before.value < TOP * most)
