"""What running jobs are at, in files that any process of this machine can read: `progress/<key>.jsonl` in a run folder."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lamdagent.core.jobs import Job, Progress
from lamdagent.core.state import State
from lamdagent.core.types import Outcome

EVERY_S = 1.0
MOST_POINTS = 1000
WAITING = "waiting for a worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressPoint:
    """Where a job stood at `time_s` (since 1970): see `core.jobs.Progress`. A fact that is not finite is None."""

    time_s: float
    phase: str
    done: int = 0
    total: int | None = None
    facts: Mapping[str, float | None] = field(default_factory=dict)


class ProgressFiles:
    """An observer that keeps one file for each job, begun anew when the job is started again, and left after its end.

    A job is written of once a second at most, and beyond that only where a phase begins that it was not in before. A file
    that would hold more than 1000 points loses every second one, and from then on gets them half as often.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._clock = folder / "progress", clock
        self._files: dict[int | str, _File] = {}

    def started(self, job: Job, state: State) -> None:
        self._files[job.key] = _File(_path(self._folder, job.key))
        self._tell(job.key, Progress(phase=WAITING))

    def progressed(self, key: int | str, progress: Progress) -> None:
        if key in self._files:
            self._tell(key, progress)

    def ended(self, key: int | str, outcome: Outcome, state: State) -> None:
        self._files.pop(key, None)

    def closed(self, state: State) -> None:
        self._files.clear()

    def _tell(self, key: int | str, progress: Progress) -> None:
        facts = {name: value if math.isfinite(value) else None for name, value in progress.facts.items()}
        now = round(self._clock(), 3)
        self._files[key].add(
            ProgressPoint(time_s=now, phase=progress.phase, done=progress.done, total=progress.total, facts=facts)
        )


class _File:
    """The points of one job."""

    def __init__(self, path: Path) -> None:
        self._path, self._every_s = path, EVERY_S
        self._points: list[ProgressPoint] = []
        self._phases: set[str] = set()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)

    def add(self, point: ProgressPoint) -> None:
        last_s = self._points[-1].time_s if self._points else -math.inf
        if point.phase in self._phases and point.time_s - last_s < self._every_s:
            return
        self._phases.add(point.phase)
        self._points.append(point)
        if len(self._points) > MOST_POINTS:
            self._thin()
        else:
            with self._path.open("a", encoding="utf-8") as out:
                out.write(_line(point))

    def _thin(self) -> None:
        self._points, self._every_s = self._points[::2], self._every_s * 2
        partial = self._path.with_suffix(".partial")  # renamed, so that no reader finds half of it
        partial.write_text("".join(map(_line, self._points)), encoding="utf-8")
        partial.rename(self._path)


def read_progress(folder: Path, key: int | str) -> tuple[ProgressPoint, ...]:
    """The points of a job in their order, from a run folder; none where nothing was heard of it.

    Args:
        key: a trial's number, or the name of a provided model.
    """
    path = _path(folder / "progress", key)
    if not path.exists():
        return ()
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return tuple(
        ProgressPoint(**json.loads(line)) for line in lines if line.endswith("\n")
    )  # the last may be half there


def running_progress(folder: Path, state: State) -> dict[int | str, tuple[ProgressPoint, ...]]:
    """The points of every job that the journal says is not done, by its key: the models that are being scored, and the
    running trials. A job that nothing was heard of is left out; one whose driver was killed is in it with old points."""
    keys: list[int | str] = [*(model.name for model in state.unscored), *(trial.number for trial in state.running)]
    return {key: points for key in keys if (points := read_progress(folder, key))}


def _path(folder: Path, key: int | str) -> Path:
    return folder / f"{key}.jsonl"


def _line(point: ProgressPoint) -> str:
    return json.dumps(asdict(point)) + "\n"
