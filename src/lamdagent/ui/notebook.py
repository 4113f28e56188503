"""A study in a notebook: trials as a table, lineage, leaderboard and figures. Reads only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lamdagent.core.errors import UserError
from lamdagent.results.bars import validation_bars
from lamdagent.results.by_hand import standing
from lamdagent.results.diagnosis.of_study import diagnosis_of
from lamdagent.results.diagnosis.signature import Diagnosis
from lamdagent.results.frame import trials_frame
from lamdagent.results.history import history_of
from lamdagent.results.leaderboard import Leaderboard, leaderboard
from lamdagent.results.lineage import Lineage, lineage_of
from lamdagent.results.result import Picture
from lamdagent.results.running import running_jobs
from lamdagent.study.read import ReadStudy, made_trial, read_study
from lamdagent.ui.plots import figure_of
from lamdagent.ui.render.html import body
from lamdagent.ui.render.markdown import markdown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SHOWN = 20
"""How many models a notebook lists."""


class StudyView:
    """A study as it was when it was loaded; `refresh` reads what has happened since. Made by `lamdagent.load`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: ReadStudy = read_study(path)

    @property
    def name(self) -> str:
        """The study's name."""
        return self._read.name

    def refresh(self) -> StudyView:
        """Read the journal again, as of a search that is running."""
        self._read = read_study(self._path)
        return self

    @property
    def trials(self) -> pd.DataFrame:
        """A pandas DataFrame with a row for each trial; columns as in docs/python.md."""
        return trials_frame(self._read.state)

    @property
    def leaderboard(self) -> Leaderboard:
        """The models by objective, and what the scores can tell."""
        return leaderboard(
            self._read.name,
            self._read.state,
            self._read.artifacts,
            running_jobs(self._read.state, self._read.folder),
            standing(self._read),
        )

    @property
    def diagnosis(self) -> Diagnosis:
        """What may be going wrong."""
        return diagnosis_of(self._read, self._path)

    def lineage(self, trial: int | str = "best") -> Lineage:
        """The pipeline that made a trial's model; printed, it is a tree.

        Raises:
            UserError: there is no such trial, or it made nothing.
        """
        return lineage_of(self._read.state, made_trial(self._read, str(trial)).choice.action.id)

    def plot_history(self) -> Figure:
        """Draw the objective of every trial with its standard error, and the best so far."""
        return figure_of(Picture(name="history", caption="", data=history_of(self._read.state)))

    def plot_tasks(self, trial: int | str = "best") -> Figure:
        """Draw a trial's validation score by task beside its base model's, with 95 % intervals.

        Raises:
            UserError: there is no such trial, or it made no scored model.
        """
        made = made_trial(self._read, str(trial))
        state, object_id = self._read.state, made.choice.action.id
        if not state.scores.get(object_id):
            raise UserError(f"trial {made.number} made no scored model. See: lamdagent show {self._path} {made.number}")
        return figure_of(Picture(name="tasks", caption="", data=validation_bars(state, object_id)))

    def __repr__(self) -> str:
        return markdown(self.leaderboard)

    def _repr_html_(self) -> str:
        return body(self.leaderboard.sections(SHOWN))


def load(study: str | Path) -> StudyView:
    """Read a study for a notebook: its file or its run folder. A search that is running can be read too.

    Raises:
        UserError: there is no such study, or it has not begun.
    """
    return StudyView(Path(study))
