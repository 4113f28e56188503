"""How values read, in one place: scores, actions, durations and sizes, the same in text, memory and prompts."""

from __future__ import annotations

from lamdagent.events import State
from lamdagent.types import Failed, Object, ObjectId, Objective, Score, Trial


def scored(value: Score | Objective | None) -> str:
    """`0.612 ± 0.024`: a value with its standard error, or `-` where there is none."""
    if value is None:
        return "-"
    return f"{value.value:.3f}" + ("" if value.stderr is None else f" ± {value.stderr:.3f}")


def action_of(state: State, trial: Trial) -> str:
    """`sft(model=base, dataset=math, hyperparameters=gentle)`."""
    action = trial.choice.action
    slots = (f"{slot}={'+'.join(state.pool[i].name for i in ids)}" for slot, ids in action.inputs.items())
    return f"{action.type}({', '.join(slots)})"


def origin(state: State, object_id: ObjectId) -> str:
    """How an object came to be: its action, or that the user brought it."""
    trial = state.trial_of(object_id)
    return "brought by the user" if trial is None else action_of(state, trial)


def result(state: State, trial: Trial) -> str:
    """What came of a trial, in a few words."""
    if trial.outcome is None:
        return "running"
    if isinstance(trial.outcome, Failed):
        return f"failed ({trial.outcome.cause})"
    return scored(state.objective(trial.choice.action.id))


def setting(obj: Object) -> str:
    """What the user wrote of a hyperparameter setting: `learning_rate=0.001, num_train_epochs=1`."""
    values = obj.meta["values"]
    shown = {key: values[key] for key in obj.meta.get("given", values)}
    return ", ".join(
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in shown.items()
    )


def duration(seconds: float) -> str:
    """`8.2 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(n_bytes: float) -> str:
    """`1.8 MB`, `270 MB`, `14 GB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if n_bytes < 1000 or unit == "TB":
            return f"{n_bytes:.0f} {unit}" if n_bytes >= 10 or unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    raise AssertionError("unreachable")
