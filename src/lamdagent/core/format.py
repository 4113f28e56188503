"""How values read, in one place: scores, actions, durations and sizes, the same in text, memory and prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lamdagent.core.state import State
from lamdagent.core.training import Training
from lamdagent.core.types import Action, Failed, Kind, Object, ObjectId, ObjectiveValue, Score, Trial

Labels = Mapping[ObjectId, str]
RECIPE_STEPS = 6
TASKS_SHOWN = 8
PARTS: tuple[Kind, ...] = ("dataset", "hyperparameters")
"""What an action takes beside models."""


def scored(value: Score | ObjectiveValue | None) -> str:
    """`0.612 ± 0.024`: a value with its standard error, or `-` where there is none."""
    if isinstance(value, ObjectiveValue):
        return with_error(value.value, value.stderr, value.low, value.high)
    return "-" if value is None else with_error(value.value, value.stderr)


def with_error(value: float, stderr: float | None, low: float | None = None, high: float | None = None) -> str:
    """`0.612 ± 0.024`: a value with its standard error; `1.000 (0.981 to 1.000)`, with its 95 % interval, where the items
    show no error because they are all alike."""
    if not stderr and low is not None:
        return with_interval(value, low, high)
    return f"{value:.3f}" + ("" if stderr is None else f" ± {stderr:.3f}")


def with_both(value: float, stderr: float | None, low: float | None, high: float | None) -> str:
    """`0.612 ± 0.024 (0.565 to 0.659)`: a value with its standard error and its 95 % interval."""
    error = with_error(value, stderr, low, high)
    return f"{error} ({interval(low, high)})" if stderr and low is not None else error


def change(value: float, stderr: float | None = None, low: float | None = None, high: float | None = None) -> str:
    """`-0.120 ± 0.020`: a difference with its standard error; `+0.000 (-0.089 to +0.089)`, with its 95 % interval, where
    all items differ alike."""
    if not stderr and low is not None:
        return change_with_interval(value, low, high)
    return f"{value:+.3f}" + ("" if stderr is None else f" ± {stderr:.3f}")


def interval(low: float | None, high: float | None) -> str:
    """`0.565 to 0.659`, or `-` where it is not known."""
    return "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def with_interval(value: float, low: float | None, high: float | None) -> str:
    """`0.612 (0.565 to 0.659)`, or `0.612` where the interval is not known."""
    return f"{value:.3f}" + ("" if low is None else f" ({interval(low, high)})")


def change_interval(low: float | None, high: float | None) -> str:
    """`+0.081 to +0.159`, or `-` where it is not known."""
    return "-" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"


def change_with_interval(value: float, low: float | None, high: float | None) -> str:
    """`+0.120 (+0.081 to +0.159)`, or `+0.120` where the interval is not known."""
    return change(value) + ("" if low is None else f" ({change_interval(low, high)})")


def percent(share: float) -> str:
    """`64%`."""
    return f"{share:.0%}"


def p_value(p: float | None) -> str:
    """`0.012`, `< 0.001`, or `-` where there was nothing to test."""
    return "-" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def action_of(state: State, trial: Trial, labels: Labels | None = None) -> str:
    """`sft(model=base, dataset=math, hyperparameters=gentle)`, with other names for models where `labels` are given."""
    return described(state, trial.choice.action, labels)


def described(state: State, action: Action, labels: Labels | None = None) -> str:
    """The same for an action that need not have been tried."""
    slots = (f"{slot}={'+'.join(_name(state, i, labels) for i in ids)}" for slot, ids in action.inputs.items())
    return f"{action.type}({', '.join(slots)}){_again(state, action)}"


def origin(state: State, object_id: ObjectId) -> str:
    """How an object came to be: its action, or that the user provided it."""
    trial = state.trial_of(object_id)
    return "provided by the user" if trial is None else action_of(state, trial)


def recipe(state: State, object_id: ObjectId, labels: Labels | None = None) -> str:
    """How an object was made, in one bounded line: `M0 > sft sort/gentle > sft call/firm` or `ties(M1 + M4, half)` for a
    model, `blend(east + north)` for a dataset. Of many steps those in the middle are left out."""
    kind = state.pool[object_id].kind
    steps: list[str] = []
    while (trial := state.trial_of(object_id)) is not None:
        objects = [state.pool[i] for i in trial.choice.action.object_ids]
        alike = [obj for obj in objects if obj.kind == kind]
        again = _again(state, trial.choice.action)
        if kind != "model" or len(alike) != 1:
            rest = "/".join(_name(state, obj.id, labels) for obj in objects if obj.kind != kind)
            parts = filter(None, [" + ".join(_name(state, obj.id, labels) for obj in alike), rest])
            return " > ".join([f"{trial.choice.action.type}({', '.join(parts)}){again}", *_without_middle(steps[::-1])])
        groups = ([_name(state, obj.id, labels) for obj in objects if obj.kind == part] for part in PARTS)
        steps.append(f"{trial.choice.action.type} {'/'.join('+'.join(group) for group in groups if group)}{again}")
        object_id = alike[0].id
    return " > ".join([_name(state, object_id, labels), *_without_middle(steps[::-1])]) if steps else "as given"


def _without_middle(steps: list[str]) -> list[str]:
    left_out = len(steps) - RECIPE_STEPS
    if left_out <= 1:
        return steps
    first = RECIPE_STEPS // 3
    return [*steps[:first], f"… {left_out} steps …", *steps[first + left_out :]]


def _again(state: State, action: Action) -> str:
    """What marks an action that is done once more with another seed of training."""
    return "" if action.seed == state.seed else f" (seed {action.seed})"


def _name(state: State, object_id: ObjectId, labels: Labels | None) -> str:
    return (labels or {}).get(object_id) or state.pool[object_id].name


def result(state: State, trial: Trial) -> str:
    """What came of a trial, in a few words."""
    if trial.outcome is None:
        return "running"
    if isinstance(trial.outcome, Failed):
        return fault(trial.outcome)
    made = trial.outcome.object
    return contents(made) if made.kind == "dataset" else scored(state.objective(made.id))


def fault(outcome: Failed) -> str:
    """`failed (oom)`, or `stopped (cancelled)`."""
    return f"{'stopped' if outcome.stopped else 'failed'} ({outcome.cause})"


def tally(state: State) -> str:
    """`12 trials ended, 3 of them failed`, with `, 1 stopped` where any was."""
    count = Counter(trial.status for trial in state.trials)
    ended = count.total() - count["running"]
    stopped = f", {count['stopped']} stopped" if count["stopped"] else ""
    return f"{ended} {'trial' if ended == 1 else 'trials'} ended, {count['failed']} of them failed{stopped}"


def by_task(state: State, object_id: ObjectId) -> str:
    """`facts 0.41 ±0.03, reverse 0.62 ±0.04`: a model's score on each task; empty where it has none."""
    scores = state.scores.get(object_id, ())
    shown = [
        f"{s.task} {s.value:.2f}" + ("" if s.stderr is None else f" ±{s.stderr:.2f}") for s in scores[:TASKS_SHOWN]
    ]
    return ", ".join([*shown, *([f"{len(scores) - TASKS_SHOWN} more tasks"] if len(scores) > TASKS_SHOWN else [])])


def guard_breaks(state: State, object_id: ObjectId) -> str:
    """`breaks its guard: facts -0.120 ± 0.020 against the base model (at most -0.020)`; empty where it holds them."""
    broken = [
        f"{guard.task} {change(score.gain or 0.0, score.gain_stderr)} against the base model (at most -{guard.max_drop:g})"
        for guard, score in state.broken(object_id)
    ]
    return f"breaks its guard: {', '.join(broken)}" if broken else ""


SHARED_SHOWN = 4
"""Values that settings share, at most, of those that no setting gives; and those of a mapping in a setting."""
STANDS_OUT = 2.0
"""Times as alike as the mean of the other tasks: what a dataset is about."""


def contents(dataset: Object) -> str:
    """What a dataset holds: `1,200 rows, messages`, and the task that it is about, if one stands out, `like sort (0.34)`."""
    rows, format = dataset.dataset.get("rows"), dataset.dataset.get("format")
    count = "? rows" if rows is None else "1 row" if rows == 1 else f"{rows:,} rows"
    return ", ".join(filter(None, (count, format, _about(dataset.dataset.get("affinity", {})))))


def _about(affinity: Mapping[str, float]) -> str:
    task = max(affinity, key=lambda name: affinity[name], default="")
    others = [value for name, value in affinity.items() if name != task]
    if not others or affinity[task] <= STANDS_OUT * sum(others) / len(others):
        return ""  # of a single task nothing can be told
    return f"like {task} ({affinity[task]:.2f})"


def setting(obj: Object) -> str:
    """What a hyperparameter setting changes of the defaults: `learning_rate=0.001, num_train_epochs=2`."""
    given = obj.setting.get("given", obj.setting["values"])
    return ", ".join(f"{key}={_shown(value)}" for key, value in given.items()) or "all defaults"


def compared_settings(settings: Sequence[Object]) -> tuple[str, dict[ObjectId, str]]:
    """Real values of several settings of one action type, defaults included: those that all share, and by id of each
    those in which they differ.

    Of values that all share the action's first few are shown, by the order of its keys, and any that a setting gives.
    """
    values = {obj.id: _flat(obj.setting["values"]) for obj in settings}
    keys = list(dict.fromkeys(key for of_one in values.values() for key in of_one))
    given = {key for obj in settings for key in _flat(obj.setting.get("given", obj.setting["values"]))}
    differ = [key for key in keys if len({repr(of_one.get(key, ...)) for of_one in values.values()}) > 1]
    shared = [key for i, key in enumerate(keys) if key not in differ and (i < SHARED_SHOWN or key in given)]
    first = next(iter(values.values()), {})
    lines = {i: ", ".join(f"{k}={_shown(of_one[k])}" for k in differ if k in of_one) for i, of_one in values.items()}
    return ", ".join(f"{key}={_shown(first[key])}" for key in shared), lines


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values that are set, those of mappings in it by `peft.r`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": one for inner, one in value.items()}
        elif value is not None:
            flat[key] = value
    return flat


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(v)}" for key, v in value.items()) + "}" if value else "defaults"
    return f"{value:g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """`8.2 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def trained_on(training: Training) -> str:
    """`trained on 300 rows, 12,000 tokens: 3.2e+10 FLOPs (6 x parameters x tokens)`; what is not known is left out."""
    if training.rows is None and training.tokens is None:
        return "trained on what is not known"
    if not training.rows and not training.tokens:
        return "trained on nothing"
    parts = [f"{n:,} {unit}" for n, unit in ((training.rows, "rows"), (training.tokens, "tokens")) if n is not None]
    flops = "" if training.flops is None else f": {training.flops:.2g} FLOPs (6 x parameters x tokens)"
    return f"trained on {', '.join(parts)}{flops}"


def size(n_bytes: float) -> str:
    """`1.8 MB`, `270 MB`, `14 GB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if n_bytes < 1000 or unit == "TB":
            return f"{n_bytes:.0f} {unit}" if n_bytes >= 10 or unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    raise AssertionError("unreachable")
