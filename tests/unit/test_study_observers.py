"""Observers that a study file names."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.study_file import STUDY

from lamdagent.core.budget import Budget
from lamdagent.core.errors import ConfigError
from lamdagent.core.events import StudyOpened
from lamdagent.core.jobs import Progress
from lamdagent.core.search import Search
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import ID_FORMULA, Failed
from lamdagent.memories.table import Table
from lamdagent.observers.jsonl import Jsonl
from lamdagent.policies.random import Random
from lamdagent.study import run as study_run
from lamdagent.study.changes import changes
from lamdagent.study.config import Study, load_study
from lamdagent.study.journal import MemoryJournal
from lamdagent.study.parts import StudyParts
from lamdagent.testing import toy


def load(folder: Path, observers: str) -> Study:
    (folder / "study.yaml").write_text(f"{STUDY}observers: {observers}\n", encoding="utf-8")
    return load_study(folder / "study.yaml")


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    ("observers", "words"),
    [
        ("[jsonll]", "unknown observer 'jsonll'. Did you mean 'jsonl'?"),
        ("[{path: x}]", "observers.0 needs a kind. Known: jsonl"),
        ("[{kind: jsonl, file: x}]", "observers.0.file: unknown key 'file'"),
        ("[jsonl]", "observers.0.path: is missing"),
        ("jsonl", "observers: expected a list"),
    ],
)
def test_an_observer_that_cannot_be_is_refused_with_its_line(observers: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, observers)
    assert f"study.yaml:{len(STUDY.splitlines()) + 1}: " in str(caught.value)
    assert words in str(caught.value)


def test_a_studys_observers_are_told_beside_those_that_the_caller_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def open_toy_study(study: Study, *, watch: toy.Watch, inline: bool) -> Iterator[Any]:
        search = Search(
            journal=MemoryJournal(*toy.first_events()), action_types=toy.ACTION_TYPES, policy=Random(), memory=Table(),
            budget=Budget(trials=6),
        )  # fmt: skip
        yield SimpleNamespace(search=search, runner=toy.inline(watch=watch))

    monkeypatch.setattr(study_run, "open_study", open_toy_study)
    study = load(tmp_path, "[{kind: jsonl, path: logs/one.jsonl}, {kind: jsonl, path: two.jsonl}]")
    study_run.run_loaded(study, observers=[Jsonl(tmp_path / "given.jsonl")])
    for file in ("logs/one.jsonl", "two.jsonl", "given.jsonl"):
        told = lines(tmp_path / file)
        assert [line["key"] for line in told if line["event"] == "started"] == ["base", *range(6)]
        assert [line["key"] for line in told if line["event"] == "ended"] == ["base", *range(6)]
        assert told[-1]["event"] == "closed"
        assert told[-1]["reason"] == "trials"
        assert "progressed" in {line["event"] for line in told}


def test_a_study_that_began_may_name_other_observers(tmp_path: Path) -> None:
    began = load(tmp_path, "[]")
    opened = StudyOpened(config=began.dump(), seed=0, goals=began.goals, guards=began.guards, id_formula=ID_FORMULA)
    goes_on = load(tmp_path, "[{kind: jsonl, path: x.jsonl}]")
    assert len(StudyParts(goes_on).observers) == 1
    assert changes(goes_on, reduce_events([opened]), [], []) == []
    assert StudyParts(goes_on).worker_spec.study == StudyParts(began).worker_spec.study


def test_a_line_says_what_was_made_or_why_nothing_was_and_how_the_scores_are(tmp_path: Path) -> None:
    observer, state = Jsonl(tmp_path / "log.jsonl"), toy.grown(25)
    for trial in state.trials:
        assert trial.outcome is not None
        observer.ended(trial.number, trial.outcome, state)
    told = lines(tmp_path / "log.jsonl")
    assert {line.get("failed") for line in told} == {None, "diverged"}
    observer.ended(25, Failed(cause="cancelled", message="by hand"), state)
    last = lines(tmp_path / "log.jsonl")[-1]
    assert (last["stopped"], "failed" in last) == ("cancelled", False)
    made = next(line for line in told if "made" in line)
    assert made["made"] == f"model-{made['key']}"
    (score,) = [s for s in state.scores[state.trials[made["key"]].choice.action.id] if s.task == "near-east"]
    assert made["scores"]["near-east"] == {"value": score.value, "stderr": score.stderr}


def test_a_figure_that_is_no_number_is_null_so_that_every_line_is_json(tmp_path: Path) -> None:
    observer = Jsonl(tmp_path / "log.jsonl")
    observer.progressed(0, Progress(phase="train", facts={"loss": math.nan, "rate": 0.5}))
    observer.closed(State())
    (first, last) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert "NaN" not in first
    assert json.loads(first)["facts"] == {"loss": None, "rate": 0.5}
    assert json.loads(last)["reason"] is None


def test_another_run_adds_its_lines(tmp_path: Path) -> None:
    for _ in range(2):
        toy.search(Random(), trials=1, observers=[Jsonl(tmp_path / "log.jsonl")])
    assert [line["event"] for line in lines(tmp_path / "log.jsonl")].count("closed") == 2
