"""A line of CSV for each trial that ends."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from pydantic import Field

from lamdagent.core.config import Config, Parts
from lamdagent.core.jobs import Job, Progress
from lamdagent.core.state import State
from lamdagent.core.types import Made, Outcome


class CsvLinesConfig(Config):
    """A line of CSV for each trial that ends: its number, what came of it, and its seconds."""

    path: str = Field(description="the file, from the study file's folder")

    def arguments(self, parts: Parts) -> dict[str, Any]:
        return {"file": parts.path(self.path)}


class CsvLines:
    """Adds `key,made or cause,seconds` to a file."""

    Config = CsvLinesConfig

    def __init__(self, file: Path) -> None:
        self._file = file

    def started(self, job: Job, state: State) -> None:
        """Nothing is known yet."""

    def progressed(self, key: int | str, progress: Progress) -> None:
        """It comes at every step: too often for a line."""

    def ended(self, key: int | str, outcome: Outcome, state: State) -> None:
        what = outcome.object.name if isinstance(outcome, Made) else outcome.cause
        with self._file.open("a", encoding="utf-8", newline="") as lines:
            csv.writer(lines).writerow([key, what, outcome.cost.wall_s])

    def closed(self, state: State) -> None:
        """Every line is written already."""
