"""Rows that an action made are held against the evaluation and the pool before anything trains on them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.errors import ContractViolation
from lamdagent.core.jobs import Job
from lamdagent.core.search import Search
from lamdagent.core.types import Action, Failed, Kind, Made, Object, Outcome, Slot, Split
from lamdagent.evaluation.contamination.gate import Mode
from lamdagent.evaluation.contamination.made import RowScreen
from lamdagent.evaluation.evaluator import Evaluation
from lamdagent.memories.table import Table
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.objects.datasets.readers import rows_digest
from lamdagent.policies.random import Random
from lamdagent.runners.job import Toolkit, work
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy

CLEAN = [{"prompt": f"say {word}", "completion": word} for word in ("one", "two", "three")]
LEAK = {"prompt": "Name the RIVER of Besi?", "completion": "daso"}
SOURCE = Object(id="source", kind="dataset", name="source", meta={"rows": 4, "format": "prompt_completion"})


class Quiz:
    """Loads its items as a task does, and counts how often."""

    name, ids = "quiz", {"validation": "v", "test": "t"}

    def __init__(self, prompt: str = "name the river of besi") -> None:
        self.prompt, self.loaded = prompt, 0

    def documents(self, split: Split) -> Iterator[tuple[int, str, str]]:
        self.loaded += 1
        yield 0, self.prompt if split == "test" else "what is two and two", "daso"


class Write:
    """An action that makes a dataset of the rows it is told."""

    name, version = "write", 1
    makes: Kind = "dataset"
    slots = (Slot(name="dataset", kind="dataset"),)

    def __init__(self, rows: Sequence[Any], said: int | None = None) -> None:
        self.rows, self.said, self.calls = rows, said, 0

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        return None

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Any) -> Mapping[str, Any]:
        self.calls += 1
        if self.rows:
            (ctx.workdir / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        return {"rows": len(self.rows) if self.said is None else self.said, "format": "prompt_completion"}


def make(
    root: Path, rows: Sequence[Any], mode: Mode = "fail", *, quiz: Quiz | None = None, pool: Sequence[Object] = (),
    leave_out: Mapping[str, Sequence[int]] | None = None, said: int | None = None, tasks: bool = True, seed: int = 0,
) -> Outcome:  # fmt: skip
    """What comes of an action that makes these rows."""
    screen = RowScreen([quiz or Quiz()] if tasks else [], mode=mode, leave_out=leave_out)  # type: ignore[list-item]
    toolkit = Toolkit(
        action_types={"write": Write(rows, said)},
        evaluation=Evaluation(tasks=(), goals=()),
        artifacts=LocalArtifacts(root),
        models=None,
        locate=lambda obj: root,
        screen=screen,
    )
    return work(Job(key=0, action=action(seed), objects=(SOURCE, *pool)), toolkit, lambda progress: None)


def action(seed: int = 0) -> Action:
    return Action(type="write", version=1, inputs={"dataset": (SOURCE.id,)}, seed=seed)


def rows_of(root: Path, outcome: Outcome) -> list[Any]:
    assert isinstance(outcome, Made), outcome
    return [json.loads(line) for line in (root / outcome.object.id / "data.jsonl").read_text().splitlines()]


def test_clean_rows_stay_and_have_the_digest_that_a_provided_dataset_of_them_has_as_its_id(tmp_path: Path) -> None:
    outcome = make(tmp_path, CLEAN)
    assert rows_of(tmp_path, outcome) == CLEAN
    assert isinstance(outcome, Made)
    digest = rows_digest()
    digest.update((tmp_path / action().id / "data.jsonl").read_bytes())
    size = {"examples": 3, "characters": sum(len(row["prompt"] + row["completion"]) for row in CLEAN)}
    assert outcome.object.meta == {"rows": 3, "format": "prompt_completion", "digest": digest.hexdigest(), **size}


def test_rows_that_hold_a_test_item_fail_the_trial_and_leave_nothing_to_train_on(tmp_path: Path) -> None:
    outcome = make(tmp_path, [*CLEAN, LEAK])
    assert isinstance(outcome, Failed)
    assert outcome.cause == "contaminated"
    assert "overlaps task 'quiz' (test): 1 item in 1 row, e.g. row 3 has item 0" in outcome.message
    assert list(tmp_path.iterdir()) == []


def test_dropping_leaves_exactly_those_rows_out_and_says_how_many(tmp_path: Path) -> None:
    outcome = make(tmp_path, [CLEAN[0], LEAK, *CLEAN[1:]], "drop")
    assert rows_of(tmp_path, outcome) == CLEAN
    assert isinstance(outcome, Made)
    assert {k: outcome.object.meta[k] for k in ("rows", "dropped")} == {"rows": 3, "dropped": 1}
    clean = make(tmp_path, CLEAN, seed=1)
    assert isinstance(clean, Made)
    assert outcome.object.meta["digest"] == clean.object.meta["digest"]


def test_nothing_but_leaks_cannot_be_dropped_empty(tmp_path: Path) -> None:
    outcome = make(tmp_path, [LEAK], "drop")
    assert isinstance(outcome, Failed)
    assert outcome.cause == "contaminated"
    assert "nothing is left to train on" in outcome.message


def test_with_warn_the_rows_stay_and_are_counted(tmp_path: Path) -> None:
    outcome = make(tmp_path, [*CLEAN, LEAK], "warn")
    assert rows_of(tmp_path, outcome) == [*CLEAN, LEAK]
    assert isinstance(outcome, Made)
    assert outcome.object.meta["overlapping"] == 1


def test_what_another_study_made_is_held_against_the_tasks_of_this_one(tmp_path: Path) -> None:
    other = Quiz("say something else")
    assert isinstance(make(tmp_path, [*CLEAN, LEAK], quiz=other), Made)
    outcome = make(tmp_path, [*CLEAN, LEAK])
    assert isinstance(outcome, Failed)
    assert outcome.cause == "contaminated"


@pytest.mark.parametrize(("first", "then"), [("drop", "warn"), ("warn", "drop"), ("drop", "fail")])
def test_what_another_study_made_is_not_taken_where_other_rows_were_left_out(
    tmp_path: Path, first: Mode, then: Mode
) -> None:
    assert isinstance(make(tmp_path, [*CLEAN, LEAK], first), Made)
    outcome = make(tmp_path, [*CLEAN, LEAK], then)
    assert isinstance(outcome, Failed)
    assert outcome.cause == "contaminated"
    again = make(tmp_path, [*CLEAN, LEAK], first)
    assert isinstance(again, Made)
    assert again.object.meta["rows"] == len(rows_of(tmp_path, again))


def test_a_replay_without_tasks_leaves_the_same_rows_out(tmp_path: Path) -> None:
    rows = [CLEAN[0], LEAK, *CLEAN[1:]]
    made = make(tmp_path / "study", rows, "drop")
    assert json.loads((tmp_path / "study" / action().id / "object.json").read_text())["left_out"] == [1]
    again = make(tmp_path / "replay", rows, tasks=False, leave_out={action().id: [1]})
    assert isinstance(made, Made) and isinstance(again, Made)
    assert again.object == made.object
    assert rows_of(tmp_path / "replay", again) == CLEAN


def test_the_items_are_loaded_once_however_many_datasets_are_made(tmp_path: Path) -> None:
    quiz = Quiz()
    screen = RowScreen([quiz], mode="fail")  # type: ignore[list-item]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.jsonl").write_text(json.dumps(CLEAN[0]) + "\n")
        screen.admit(name, tmp_path / name, {"meta": {"rows": 1, "format": "prompt_completion"}})
    assert quiz.loaded == 2  # both sides


def test_texts_in_a_shape_of_a_plug_ins_own_are_read_too(tmp_path: Path) -> None:
    outcome = make(tmp_path, [{"turns": [{"say": LEAK["prompt"]}, {"say": "well"}]}])
    assert isinstance(outcome, Failed)
    assert outcome.cause == "contaminated"


def test_the_rows_of_a_dataset_in_the_pool_are_not_kept_a_second_time(tmp_path: Path) -> None:
    digest = rows_digest()
    digest.update("".join(json.dumps(row) + "\n" for row in CLEAN).encode())
    provided = Object(id=digest.hexdigest(), kind="dataset", name="chat", uri="chat.jsonl", meta={"rows": 3})
    outcome = make(tmp_path, CLEAN, pool=[provided])
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.message) == ("duplicate", "its rows are those of dataset 'chat'")
    assert list(tmp_path.iterdir()) == []


def test_of_two_datasets_with_the_same_rows_made_at_once_the_second_is_a_duplicate() -> None:
    journal = MemoryJournal(*toy.first_events(makes_data=True))
    types = {"blend": toy.ToyBlend()}
    search = Search(journal=journal, action_types=types, policy=Random(), memory=Table())
    first, second = search.ask(2)
    meta = {"x": [0.0, 0.0], "rows": 1, "format": "vector", "digest": "of the rows"}
    made = [
        Made(object=Object(id=i, kind="dataset", name=i, made_by=i, meta=meta), scores=())
        for i in (first.choice.action.id, second.choice.action.id)
    ]
    assert isinstance(search.tell(0, made[0]).outcome, Made)
    ended = search.tell(1, made[1]).outcome
    assert isinstance(ended, Failed)
    assert (ended.cause, ended.message) == ("duplicate", "its rows are those of dataset 'dataset-0'")
    assert made[1].object.id not in search.state.pool


def test_models_and_datasets_of_unknown_rows_have_no_twin() -> None:
    made = Object(id="a", kind="dataset", name="a", made_by="a", meta={"rows": 1, "format": "text"})
    assert made.same_rows([replace(made, id="b"), toy.point("base", (0.0, 0.0))]) is None
    assert toy.point("base", (0.0, 0.0)).same_rows([made]) is None


@pytest.mark.parametrize(
    ("rows", "said", "words"),
    [
        ([], 1, "wrote no data.jsonl"),
        (CLEAN, 7, "3 rows and returned rows: 7"),
        (["text"], 1, "row 0 is no JSON object"),
    ],
)
def test_an_action_that_writes_other_rows_than_it_says_breaks_its_contract(
    tmp_path: Path, rows: list[Any], said: int, words: str
) -> None:
    with pytest.raises(ContractViolation, match=words):
        make(tmp_path, rows, said=said)


def test_rows_that_were_changed_since_they_were_made_are_not_trained_on(tmp_path: Path) -> None:
    assert isinstance(make(tmp_path, CLEAN), Made)
    rows = tmp_path / action().id / "data.jsonl"
    written = rows.read_text()
    rows.write_text(written.replace("one", "eins"))
    assert isinstance(make(tmp_path, CLEAN), Made)
    assert rows.read_text() == written, "they are made again"
