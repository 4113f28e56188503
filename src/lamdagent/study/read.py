"""Find a study from what the user typed, and read it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lamdagent.core.errors import JournalError, UserError
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Made, Trial
from lamdagent.study import registry
from lamdagent.study.config import load_study
from lamdagent.study.journal import read_journal


@dataclass(frozen=True, kw_only=True)
class ReadStudy:
    """A study as its journal tells it. `home` is where relative paths of the study file start from.

    `file` is the study file, None where it was read from its run folder.
    """

    name: str
    folder: Path
    home: Path
    state: State
    file: Path | None = None

    @property
    def artifacts(self) -> ArtifactStore:
        """The store that the study's config names, for reading only."""
        config = dict(self.state.config.get("artifacts", {"kind": "local"}))
        found = registry.find("artifacts", config.pop("kind"))
        # A store asks its study for places only: the other parts would have to be made.
        asked: Any = SimpleNamespace(root=self.folder.parent, path=lambda given: self.home / Path(given).expanduser())
        store: ArtifactStore = found(**found.Config.model_validate(config).arguments(asked))
        return store


def read_study(path: Path) -> ReadStudy:
    """The study of a file or a run folder.

    Raises:
        UserError: there is no such study, or it has not begun.
    """
    file = _study_file(path)
    folder, home = folder_of(path), path.parent.parent if file is None else load_study(file).home
    state = reduce_events(read_journal(folder))
    return ReadStudy(name=folder.name, folder=folder, home=home, state=state, file=file)


def folder_of(path: Path) -> Path:
    """The folder that holds the journal of a study, of a study file or that folder itself.

    Raises:
        UserError: there is no such study, or it has not begun.
    """
    file = _study_file(path)
    if file is None and not path.is_dir():
        raise UserError(f"{path}: no such study file or run folder. See what is there with: ls {path.parent}/runs")
    folder = path if file is None else load_study(file).folder
    journal = folder / "journal.sqlite"
    if not journal.exists() or not journal.stat().st_size:
        hint = "It is no run folder of a study." if file is None else f"Begin it with: lamdagent run {file}"
        raise JournalError(f"{folder}: no search has begun here. {hint}")
    return folder


def _study_file(path: Path) -> Path | None:
    file = path / "study.yaml" if (path / "study.yaml").is_file() else path
    return file if file.is_file() else None


def find_trial(study: ReadStudy, wanted: str) -> Trial:
    """A trial by its number, or the best one.

    Raises:
        UserError: there is none.
    """
    trials = study.state.trials
    if wanted == "best":
        if (best := best_trial(study.state)) is None:
            raise UserError(f"study {study.name!r} has no scored trial yet. See: lamdagent show {study.folder}")
        return best
    if not re.fullmatch("[0-9]{1,9}", wanted) or int(wanted) >= len(trials):
        allowed = f"0 to {len(trials) - 1}, or best" if trials else "none yet"
        raise UserError(f"study {study.name!r} has no trial {wanted!r:.40}. Allowed: {allowed}.")
    return trials[int(wanted)]


def made_trial(study: ReadStudy, wanted: str) -> Trial:
    """A trial that made something.

    Raises:
        UserError: there is none, or it failed or still runs.
    """
    trial = find_trial(study, wanted)
    if not isinstance(trial.outcome, Made):
        state = "is running" if trial.outcome is None else "failed"
        raise UserError(f"trial {trial.number} {state}: it made nothing. See: lamdagent show {study.folder}")
    return trial


def made_model(study: ReadStudy, wanted: str) -> Trial:
    """A trial that made a model.

    Raises:
        UserError: there is none, or it made a dataset, failed, or still runs.
    """
    trial = made_trial(study, wanted)
    if isinstance(trial.outcome, Made) and trial.outcome.object.kind != "model":
        rows = study.artifacts.open(trial.outcome.object.id) / "data.jsonl"
        raise UserError(
            f"trial {trial.number} made the {trial.outcome.object.kind} {trial.outcome.object.name}, and this takes a "
            f"model. Its rows are in {rows}; models: lamdagent show {study.folder}"
        )
    return trial


def best_trial(state: State) -> Trial | None:
    """The trial with the best objective; None where no trial is scored."""
    made = (state.trial_of(obj.id) for obj, _ in state.ranked())
    return next((trial for trial in made if trial is not None), None)
