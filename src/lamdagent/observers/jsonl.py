"""Write what a search does to a file as it does it, one JSON object a line, for whoever watches from another process."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any, TextIO

from pydantic import Field

from lamdagent.core.config import Config, Parts, PathText
from lamdagent.core.jobs import Job, Progress
from lamdagent.core.state import State
from lamdagent.core.types import Made, Outcome


class JsonlConfig(Config):
    """One JSON object a line, added to a file as things happen."""

    path: PathText = Field(description="the file, from the study file's folder; lines are added to what is there")

    def arguments(self, parts: Parts) -> dict[str, Any]:
        return {"file": parts.path(self.path)}


class Jsonl:
    """Lines of `event` (started, progressed, ended, closed), `time_s` (since 1970), and what is known of it.

    The file is opened with the first line. Unlike the journal it tells of running jobs, and is never read back.
    """

    Config = JsonlConfig

    def __init__(self, file: Path) -> None:
        self._file = file
        self._out: TextIO | None = None

    def started(self, job: Job, state: State) -> None:
        study = state.config.get("study")
        self._write("started", study=study, key=job.key, action=job.action.type if job.action else None)

    def progressed(self, key: int | str, progress: Progress) -> None:
        facts = {name: value if math.isfinite(value) else None for name, value in progress.facts.items()}
        self._write("progressed", key=key, phase=progress.phase, done=progress.done, total=progress.total, facts=facts)

    def ended(self, key: int | str, outcome: Outcome, state: State) -> None:
        if isinstance(outcome, Made):
            made = outcome.object
            scores = {score.task: {"value": score.value, "stderr": score.stderr} for score in outcome.scores}
            self._write("ended", key=key, made=made.name, kind=made.kind, scores=scores, wall_s=outcome.cost.wall_s)
        else:
            why = {"stopped" if outcome.stopped else "failed": outcome.cause}
            self._write("ended", key=key, **why, message=outcome.message, wall_s=outcome.cost.wall_s)

    def closed(self, state: State) -> None:
        stopped = state.stopped
        self._write("closed", reason=stopped and stopped.reason, message=stopped and stopped.message)
        if self._out is not None:
            self._out.close()
            self._out = None

    def _write(self, event: str, **facts: Any) -> None:
        if self._out is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._out = self._file.open("a", encoding="utf-8", buffering=1)
        print(json.dumps({"event": event, "time_s": round(time.time(), 3), **facts}), file=self._out)
