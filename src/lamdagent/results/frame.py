"""Trials as a pandas DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamdagent.core.state import State
from lamdagent.core.training import Training
from lamdagent.results.trial import TrialRecord, trial_record

if TYPE_CHECKING:
    import pandas as pd


def trials_frame(state: State) -> pd.DataFrame:
    """A row for each trial, by its number.

    Columns: `type`, an `input.SLOT` for each slot (names joined by `+`), `status`, `cause`, `objective`, `stderr`, and its
    95 % interval, `low` to `high`; for each task its score, `TASK.stderr`, `TASK.low`, `TASK.high`, and `TASK.gain` and
    `TASK.gain_stderr` against the base model; `train_rows`, `train_tokens`, `train_flops`, `wall_s`, `gpu_s`, `peak_bytes`,
    `reused`, `tokens`, `usd`, `reason`, `by`. What is not known is missing, never 0.
    """
    import pandas as pd

    records = [trial_record(state, trial) for trial in state.trials]
    slots = list(dict.fromkeys(slot for record in records for slot in record.action.inputs))
    tasks = [goal.task for goal in state.goals]
    rows = [_row(record, slots, tasks) for record in records]
    index = pd.Index([record.number for record in records], name="number", dtype="int64")
    return pd.DataFrame(rows, index=index, columns=_columns(slots, tasks))


def _columns(slots: list[str], tasks: list[str]) -> list[str]:
    scores = [f"{task}{end}" for task in tasks for end in ("", ".stderr", ".low", ".high", ".gain", ".gain_stderr")]
    inputs = [f"input.{slot}" for slot in slots]
    cost = ["train_rows", "train_tokens", "train_flops", "wall_s", "gpu_s", "peak_bytes", "reused", "tokens", "usd"]
    return ["type", *inputs, "status", "cause", "objective", "stderr", "low", "high", *scores, *cost, "reason", "by"]


def _row(record: TrialRecord, slots: list[str], tasks: list[str]) -> dict[str, object]:
    training = Training() if record.cost is None else record.cost.training
    row: dict[str, object] = {
        "type": record.action.type,
        "status": record.status,
        "cause": record.cause,
        "objective": record.objective,
        "stderr": record.stderr,
        "low": record.low,
        "high": record.high,
        "train_rows": training.rows,
        "train_tokens": training.tokens,
        "train_flops": training.flops,
        "wall_s": None if record.cost is None else record.cost.wall_s,
        "gpu_s": None if record.cost is None else record.cost.gpu_s,
        "peak_bytes": None if record.cost is None else record.cost.peak_bytes,
        "reused": None if record.cost is None else record.cost.reused,
        "tokens": record.tokens,
        "usd": record.usd,
        "reason": record.reason,
        "by": record.by,
    }
    for slot in slots:
        names = record.action.inputs.get(slot)
        row[f"input.{slot}"] = None if names is None else "+".join(names)
    for task in tasks:
        if (score := record.scores.get(task)) is not None:
            row |= {
                task: score.value,
                f"{task}.stderr": score.stderr,
                f"{task}.low": score.low,
                f"{task}.high": score.high,
                f"{task}.gain": score.gain,
                f"{task}.gain_stderr": score.gain_stderr,
            }
    return row
