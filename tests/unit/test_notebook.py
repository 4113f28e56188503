"""A study in a notebook: read only, also while it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

import lamdagent
from lamdagent.core.errors import UserError
from lamdagent.core.events import Asked, Scored, Told
from lamdagent.core.state import State
from lamdagent.core.types import Failed, Trial
from lamdagent.study.journal import SqliteJournal
from lamdagent.testing import toy

STATE = toy.grown(20)


def written(folder: Path, state: State, trials: int) -> SqliteJournal:
    """The journal of a toy search as its driver holds it after some trials."""
    folder.mkdir(parents=True)
    journal = SqliteJournal(folder / "journal.sqlite", writer=True)
    base = state.of_kind("model")[0]
    journal.append(*toy.first_events(), Scored(object_id=base.id, scores=state.scores[base.id]))
    for trial in state.trials[:trials]:
        tell(journal, trial)
    return journal


def tell(journal: SqliteJournal, trial: Trial) -> None:
    assert trial.outcome is not None
    journal.append(Asked(number=trial.number, choice=trial.choice))
    journal.append(Told(number=trial.number, outcome=trial.outcome))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "toy"
    written(folder, STATE, len(STATE.trials)).close()
    return folder


def test_trials_are_a_table_whose_values_are_those_of_the_journal(folder: Path) -> None:
    trials = lamdagent.load(folder).trials
    assert list(trials.index) == list(range(20))
    assert {"type", "input.model", "input.dataset", "status", "cause", "objective", "near-east", "near-east.gain"} <= {
        *trials.columns
    }
    for trial in STATE.trials:
        row, objective = trials.loc[trial.number], STATE.objective(trial.choice.action.id)
        assert row["reason"] == trial.choice.reason
        if objective is not None:
            assert (row["objective"], row["stderr"]) == (objective.value, objective.stderr)
            assert row["near-east"] == STATE.scores[trial.choice.action.id][0].value


def test_a_failed_trial_has_a_cause_and_no_objective(folder: Path) -> None:
    failed = [t.number for t in STATE.trials if isinstance(t.outcome, Failed)]
    assert failed, "the toy world has failures"
    trials = lamdagent.load(folder).trials
    assert set(trials.loc[failed, "cause"]) == {"diverged"}
    assert trials.loc[failed, "objective"].isna().all()
    assert trials.loc[failed, "near-east"].isna().all()


def test_a_study_without_trials_is_a_table_without_rows(tmp_path: Path) -> None:
    written(tmp_path / "runs" / "new", STATE, 0).close()
    trials = lamdagent.load(tmp_path / "runs" / "new").trials
    assert len(trials) == 0
    assert "objective" in trials.columns


def test_a_running_search_can_be_read_and_read_again(tmp_path: Path) -> None:
    journal = written(tmp_path / "runs" / "toy", STATE, 5)
    try:
        study = lamdagent.load(tmp_path / "runs" / "toy")
        assert len(study.trials) == 5
        tell(journal, STATE.trials[5])
        assert len(study.trials) == 5, "a view is of one moment"
        assert len(study.refresh().trials) == 6
    finally:
        journal.close()


def test_a_lineage_reads_as_a_tree(folder: Path) -> None:
    study = lamdagent.load(folder)
    best = study.leaderboard.best
    assert best is not None
    text = repr(study.lineage())
    assert text.splitlines()[0].startswith(f"{STATE.trials[best.trial].choice.action.type} → ")
    assert "└─ " in text
    assert str(study.lineage(best.trial)) == text
    with pytest.raises(UserError, match="has no trial '99'"):
        study.lineage(99)


def test_figures_hold_every_scored_trial_and_every_task(folder: Path) -> None:
    study = lamdagent.load(folder)
    (axes,) = study.plot_history().axes
    (bars,) = axes.containers
    assert isinstance(bars, ErrorbarContainer)
    points = np.asarray(bars.lines[0].get_xdata())
    assert points.tolist() == list(study.trials["objective"].dropna().index)
    (axes,) = study.plot_tasks().axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["near-east", "near-north"]
    legend = axes.get_legend()
    assert legend is not None and legend.get_texts()[0].get_text() == "base"


def test_a_study_shows_its_leaderboard_in_a_cell(folder: Path) -> None:
    study = lamdagent.load(folder)
    html = study._repr_html_()
    assert study.leaderboard.models[0].name in html
    assert "<svg" in html
    assert study.leaderboard.models[0].name in repr(study)


def test_a_made_dataset_has_a_lineage_and_no_bars(tmp_path: Path) -> None:
    state = toy.grown(40, makes_data=True)
    folder = tmp_path / "runs" / "toy"
    folder.mkdir(parents=True)
    journal = SqliteJournal(folder / "journal.sqlite", writer=True)
    base = state.of_kind("model")[0]
    journal.append(*toy.first_events(makes_data=True), Scored(object_id=base.id, scores=state.scores[base.id]))
    for trial in state.trials:
        tell(journal, trial)
    journal.close()
    study = lamdagent.load(folder)
    number = study.leaderboard.datasets[0].trial
    assert repr(study.lineage(number)).startswith("blend → ")
    with pytest.raises(UserError, match="made no scored model"):
        study.plot_tasks(number)
