"""What one would try without a search, as a study of its own, and where a search stands against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.budget import Budget
from lamdagent.core.errors import UserError
from lamdagent.core.settings import Free
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Object, ObjectId, Score
from lamdagent.policies.by_hand import ByHand
from lamdagent.policies.random import Random
from lamdagent.results.by_hand import AgainstHand, against_hand, best_made, by_hand_study, on_test
from lamdagent.study.config import Document
from lamdagent.study.config.schema import study_of
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import mixtures, toy


@dataclass
class Kept(toy.Unwritten):
    """A store that has every item of these states' models."""

    states: Sequence[State]

    def values(self, object_id: ObjectId, score: Score) -> list[float] | None:
        model = next(state.pool[object_id] for state in self.states if object_id in state.pool)
        task = next(task for task in mixtures.TASKS if task.name == score.task)
        return list(task.values(model, score.split, None, score.n))  # type: ignore[arg-type]


def standing(found: State, rivals: State | None) -> AgainstHand:
    made = against_hand(
        "mixtures", found, rivals, Kept([found, *([rivals] if rivals else [])]), "lamdagent by-hand s.yaml"
    )
    assert made is not None
    return made


def study(policy: str = "screen", **more: Any) -> Any:
    return {
        "study": "s", "models": {"base": {"path": "b"}}, "datasets": {n: {"path": f"{n}.jsonl"} for n in ("x", "y")},
        "actions": {"sft": {"hyperparameters": {"firm": {}}}, "ties": {"hyperparameters": {"half": {"density": 0.5}}}},
        "tasks": [{"task": "t", "path": "t.jsonl"}], "policy": {"kind": policy}, "budget": {"trials": 7}, **more,
    }  # fmt: skip


def test_quick_is_all_mixed_for_one_epoch_and_for_three() -> None:
    state = mixtures.search(ByHand(quick=True), budget=Budget())
    assert [t.choice.reason for t in state.trials] == [
        "by hand: all 6 datasets mixed, 1 epoch",
        "by hand: all 6 datasets mixed, 3 epochs",
    ]
    assert [t.outcome.cost.training.rows for t in state.trials if t.outcome] == [7_200, 21_600]


def test_a_named_setting_is_tried_though_its_epoch_lies_outside_what_is_free() -> None:
    short = Free(num_train_epochs=[0.1, 0.5])
    state = mixtures.search(ByHand(quick=True), budget=Budget(), free=short)
    assert [t.choice.reason for t in state.trials] == ["by hand: all 6 datasets mixed, 1 epoch"]


def test_the_whole_list_goes_on_after_the_quick_one_and_does_nothing_twice() -> None:
    journal = MemoryJournal(*mixtures.first_events())
    mixtures.search(ByHand(quick=True), budget=Budget(), journal=journal)
    both = mixtures.search(ByHand(), budget=Budget(), journal=journal)
    alone = mixtures.search(ByHand(), budget=Budget())
    assert set(alone.tried) < set(both.tried)
    assert len(both.trials) == len(alone.trials) + 1  # 3 epochs are not in the whole list
    assert both == reduce_events(journal.read())


def test_the_study_by_hand_mixes_all_datasets_and_has_its_own_budget(tmp_path: Path) -> None:
    search = study_of(Document.of(tmp_path / "s.yaml", study()))
    rivals = by_hand_study(search, policy={"kind": "by-hand", "quick": True}, budget={"train_rows": 500})
    assert rivals.folder == search.folder.with_name("s.by-hand")
    assert rivals.dump()["actions"]["sft"]["datasets"] == [1, "all"]
    assert rivals.dump()["actions"]["ties"] == search.dump()["actions"]["ties"]
    assert (rivals.body.budget.trials, rivals.body.budget.train_rows) == (None, 500)
    assert rivals.dump()["policy"] == {"kind": "by-hand", "quick": True}


@pytest.mark.parametrize("policy", ["by-hand"])
def test_a_study_that_is_itself_by_hand_is_refused(tmp_path: Path, policy: str) -> None:
    search = study_of(Document.of(tmp_path / "s.yaml", study(policy)))
    with pytest.raises(UserError, match=r"policy by-hand is no search .* run this one: lamdagent run"):
        by_hand_study(search, policy={"kind": "by-hand"}, budget={})


def test_a_search_is_held_against_the_best_by_hand_on_the_same_items_with_what_each_took() -> None:
    found = mixtures.search(Random(), mixtures.CONFLICT, budget=Budget(trials=30))
    rivals = mixtures.search(ByHand(), mixtures.CONFLICT, budget=Budget(train_rows=30_000))
    made = standing(found, rivals)
    assert made.found and made.by_hand and made.validation
    assert made.validation.value == pytest.approx(made.found.objective - made.by_hand.objective)
    assert made.validation.low < made.validation.value < made.validation.high
    assert made.by_hand.trials == len(rivals.trials)
    assert 0 < (made.by_hand.train_rows or 0) <= 30_000
    first, ours, theirs = made.words.splitlines()
    assert first.startswith("against the best by hand: ") and first.endswith("(95 %, paired)")
    assert ours.startswith(f"  found    {made.found.model}, ") and "30 trials" in ours
    assert f"{made.by_hand.train_rows:,} training rows, " in theirs


def test_the_sealed_test_is_paired_where_both_were_scored_on_it() -> None:
    found = mixtures.search(Random(), mixtures.CONFLICT, budget=Budget(trials=10))
    rivals = mixtures.search(ByHand(quick=True), mixtures.CONFLICT, budget=Budget())
    made, store = standing(found, rivals), Kept([found, rivals])
    sealed = [
        {i: tuple(on_test_side(s, state.pool[i]) for s in state.scores[i])}
        for state in (found, rivals)
        if (i := best_made(state))
    ]
    both = on_test(made, (found, sealed[0]), (rivals, sealed[1]), store)
    ours, theirs = (sum(s.value for s in scores) / 4 for each in sealed for scores in each.values())
    assert both.test and both.test.value == pytest.approx(ours - theirs)
    assert " on the sealed test (95 %, paired)" in both.words
    assert on_test(made, (found, sealed[0]), (rivals, {}), store).test is None


def on_test_side(score: Score, model: Object) -> Score:
    task = next(task for task in mixtures.TASKS if task.name == score.task)
    values = task.values(model, "test", None)  # type: ignore[arg-type]
    return Score(task=score.task, value=sum(values) / len(values), n=len(values), split="test",
                 stderr=None, task_id=task.ids["test"])  # fmt: skip


def test_without_rivals_one_line_names_the_command() -> None:
    made = standing(mixtures.search(Random(), budget=Budget(trials=1)), None)
    assert made.words == "against the best by hand: not run, see what that would give: lamdagent by-hand s.yaml"


def test_models_without_a_task_in_common_are_not_paired() -> None:
    found = mixtures.search(Random(), budget=Budget(trials=2))
    scores = {i: tuple(replaced(s) for s in each) for i, each in found.scores.items()}
    rivals = State(**{**{k: getattr(found, k) for k in State.__slots__}, "scores": scores})
    made = standing(found, rivals)
    assert made.validation is None and "no items in common to pair" in made.words


def replaced(score: Score) -> Score:
    return Score(**{**{k: getattr(score, k) for k in Score.__slots__}, "task_id": "another"})


def test_a_study_by_hand_is_held_against_nothing() -> None:
    state = State(config={"policy": {"kind": "by-hand"}})
    assert against_hand("s.by-hand", state, None, toy.Unwritten(), "") is None
