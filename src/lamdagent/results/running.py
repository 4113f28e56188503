"""The jobs that run now, as another process than the driver sees them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lamdagent.core.format import action_of, duration
from lamdagent.core.state import State
from lamdagent.results.result import Section, Table
from lamdagent.study.progress import ProgressPoint, running_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """A job that has begun and not ended."""

    key: int | str
    """The trial's number, or the name of a provided model that is being scored."""
    label: str
    """What is done, in one line."""
    phase: str
    """What it was at when it was last heard of."""
    done: int
    """How many steps of the phase it had done."""
    total: int | None
    """How many steps the phase has; null where that is not known."""
    facts: Mapping[str, float | None]
    """Figures of it, such as the loss; null where one is not finite."""
    age_s: float
    """Seconds since it was started."""
    silent_s: float
    """Seconds since it was last heard of: many where its driver was killed."""


def running_jobs(state: State, folder: Path, now_s: float | None = None) -> tuple[RunningJob, ...]:
    """The running jobs of a study's run folder, in the order in which they were started.

    Args:
        now_s: seconds since 1970; left out, the time it is.
    """
    now_s = time.time() if now_s is None else now_s
    found = sorted(running_progress(folder, state).items(), key=lambda pair: pair[1][0].time_s)
    return tuple(_job(state, key, points[0], points[-1], now_s) for key, points in found)


def running_section(jobs: tuple[RunningJob, ...]) -> list[Section]:
    """A table of the running jobs; nothing where none runs."""
    rows = [[str(j.key), _step(j), duration(j.age_s), f"{duration(j.silent_s)} ago", j.label] for j in jobs]
    table = Table(heads=["job", "at", "for", "last heard", "what"], rows=rows, last_is_extra=True)
    return [Section(heading=f"{len(jobs)} running", parts=[table])] if jobs else []


def _job(state: State, key: int | str, first: ProgressPoint, last: ProgressPoint, now_s: float) -> RunningJob:
    return RunningJob(
        key=key,
        label=action_of(state, state.trials[key]) if isinstance(key, int) else f"scoring {key}",
        phase=last.phase,
        done=last.done,
        total=last.total,
        facts=last.facts,
        age_s=round(max(0.0, now_s - first.time_s), 1),
        silent_s=round(max(0.0, now_s - last.time_s), 1),
    )


def _step(job: RunningJob) -> str:
    return f"{job.phase} {job.done}/{job.total}" if job.total else job.phase
