"""Scores from items, races against the leader, guards, and what the sealed test keeps out of sight."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lamdagent.core import events
from lamdagent.core.budget import Budget
from lamdagent.core.events import Asked, HoldoutOpened, ObjectAdded, Scored, StudyOpened, Told
from lamdagent.core.evidence import evidence_table
from lamdagent.core.items import mean_and_error
from lamdagent.core.jobs import Job
from lamdagent.core.search import Search, job_of, run
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Action, Choice, Guard, Made, Object, Score, Split, TaskWeight, Trial
from lamdagent.evaluation.evaluator import Evaluation, score_of
from lamdagent.memories.table import Table
from lamdagent.policies.agent.menu import describe
from lamdagent.policies.random import Random
from lamdagent.results.holdout import holdout_results_of as sealed_of
from lamdagent.runners.inline import Inline
from lamdagent.runners.job import JobContext, _score, work
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy

CTX: Any = None


class Coin(toy.ToyTask):
    """Items that are right with a model's own probability, the same items for all models."""

    def __init__(self, chances: Mapping[str, float], items: int = 400) -> None:
        super().__init__("coin", (0.0, 0.0))
        self.chances, self.items, self.asked = chances, items, dict.fromkeys(chances, 0)

    def values(self, model: Object, split: Split, ctx: Any, n: int | None = None) -> Sequence[float]:
        n = min(n or self.items, self.items)
        self.asked[model.name] = max(self.asked[model.name], n)
        rng = random.Random(f"items {split}")
        return [float(rng.random() < self.chances[model.name]) for _ in range(n)]


def race(challenger: float, leader: float, *, first: int = 50, most: int = 400) -> tuple[int | None, Coin]:
    coin = Coin({"challenger": challenger, "leader": leader})
    first_model, second_model = (Object(id=name, kind="model", name=name) for name in coin.chances)
    evaluation = Evaluation(tasks=[coin], goals=[TaskWeight(task="coin")], first=first, most=most)
    return evaluation.race(first_model, second_model, CTX), coin


def test_a_model_far_behind_the_leader_is_asked_the_first_items_only() -> None:
    asked, coin = race(0.1, 0.9)
    assert asked == 50
    assert coin.asked == {"challenger": 50, "leader": 50}


def test_a_close_race_goes_on_until_the_items_end() -> None:
    asked, _ = race(0.7, 0.705)
    assert asked == 400


def test_a_race_ends_as_soon_as_one_is_ahead() -> None:
    asked, _ = race(0.75, 0.5)
    assert asked is not None
    assert asked < 400


def test_a_race_ends_with_the_items_of_a_task_that_has_fewer_than_allowed() -> None:
    asked, coin = race(0.5, 0.5, most=10_000)
    assert coin.asked["leader"] == 400
    assert asked is not None


def test_without_max_items_nobody_races() -> None:
    coin = Coin({"a": 0.5, "b": 0.5})
    a, b = (Object(id=name, kind="model", name=name) for name in "ab")
    assert Evaluation(tasks=[coin], goals=[TaskWeight(task="coin")], first=50).race(a, b, CTX) == 50
    assert coin.asked == {"a": 0, "b": 0}


def test_a_gain_is_paired_with_the_base_on_all_items_of_the_model() -> None:
    coin = Coin({"made": 0.8, "base": 0.6})
    made, base = (Object(id=name, kind="model", name=name) for name in coin.chances)
    evaluation = Evaluation(tasks=[coin], goals=[TaskWeight(task="coin")], first=50, most=400)
    (score,) = evaluation.scores(made, "validation", CTX, 200, base)
    theirs, its = (coin.values(model, "validation", CTX, 200) for model in (base, made))
    pairs = [a - b for a, b in zip(its, theirs, strict=True)]
    assert score.n == 200
    assert (score.gain, score.gain_stderr) == mean_and_error(pairs)
    assert coin.asked["base"] == 200


def test_a_raced_leader_has_its_new_scores_in_the_state() -> None:
    class Close(toy.ToyTask):
        """More items than are asked at first, alternating so that no race is ever won."""

        def values(self, model: Object, split: Split, ctx: Any, n: int | None = None) -> Sequence[float]:
            return [0.0, 1.0] * (min(n or 80, 80) // 2)

    tasks = [Close("near-east", (1.5, 0.5)), Close("near-north", (0.5, 1.5))]
    evaluation = Evaluation(tasks=tasks, goals=toy.GOALS, first=20, most=80)
    journal = MemoryJournal(*toy.first_events())
    search = Search(
        journal=journal, action_types=toy.ACTION_TYPES, policy=Random(), memory=Table(), budget=Budget(trials=3)
    )
    state = run(search, Inline(replace(toy.toolkit(), evaluation=evaluation)))
    made = [t.outcome for t in state.trials if isinstance(t.outcome, Made)]
    assert any(outcome.rescored for outcome in made)
    (base,) = (o for o in state.of_kind("model") if o.made_by is None)
    assert {score.n for score in state.scores[base.id]} == {80}


class Written:
    """A task whose items are written down for every model."""

    name = "written"
    ids: Mapping[Split, str] = {"validation": "v", "test": "t"}

    def __init__(self, items: Mapping[str, Sequence[float]]) -> None:
        self.items = items

    def values(self, model: Object, split: Split, ctx: Any, n: int | None = None) -> Sequence[float]:
        return self.items[model.id][:n]


def searched(items: Mapping[str, Sequence[float]]) -> State:
    """The state after a search of one base model, whose trials make the other models one after the other."""
    goals = (TaskWeight(task="written"),)
    task: Any = Written(items)
    evaluation = Evaluation(tasks=[task], goals=goals, first=10, most=40)
    base, *others = (Object(id=i, kind="model", name=i, meta={"root": "base"}) for i in items)
    state = reduce_events([StudyOpened(config={}, seed=0, goals=goals), ObjectAdded(object=base)])
    outcome = work(Job(key=base.name, action=None, objects=(base,)), scoring(evaluation), lambda progress: None)
    assert isinstance(outcome, Made)
    state = reduce_events([Scored(object_id=base.id, scores=outcome.scores)], state)
    for number, other in enumerate(others):
        trial = Trial(number=number, choice=Choice(action=Action(type="step", version=1, inputs={}), reason="", by=""))
        job = replace(job_of(trial, state), objects=tuple(state.pool.values()))
        context: Any = JobContext(job, scoring(evaluation), lambda progress: None)
        found = _score(other, job, context, scoring(evaluation))
        made = Made(object=other, scores=found.scores, rescored=found.rescored, gains=found.gains)
        asked = Asked(number=number, choice=trial.choice)
        state = reduce_events([asked, Told(number=number, outcome=made)], state)
    return state


def scoring(evaluation: Evaluation) -> Any:
    return replace(toy.toolkit(), evaluation=evaluation)


def test_a_leader_keeps_what_it_was_asked_when_a_challenger_is_dismissed_early() -> None:
    state = searched({"base": [1, 0] * 20, "a": [0, 1] * 18 + [1] * 4, "b": [1] + [0] * 39})
    scores = {i: state.scores[i][0] for i in ("base", "a", "b")}
    assert [obj.id for obj, _ in state.ranked()] == ["a", "base", "b"]
    assert scores["a"].n == 40
    assert scores["a"].value == pytest.approx(0.55)
    assert scores["b"].n < 40


def test_a_model_dismissed_on_easy_items_does_not_pass_the_leader_that_was_asked_hard_ones_too() -> None:
    easy = [1.0] * 20
    state = searched({"base": easy + [0, 0, 0, 1] * 5, "b": [1, 1, 1, 0] * 5 + [0] * 20})
    base, b = state.objective("base"), state.objective("b")
    assert base is not None and b is not None
    assert state.ranked()[0][0].id == "base"
    first = replace(
        state, scores={**state.scores, "base": (score(easy + [0.0] * 20),), "b": (score([1, 1, 1, 0] * 5),)}
    )
    assert first.scores["b"][0].value > first.scores["base"][0].value
    assert [obj.id for obj, _ in first.ranked()] == ["base", "b"]
    assert first.lead("b", "base") == pytest.approx(-0.25)


def score(values: Sequence[float]) -> Score:
    task: Any = Written({})
    return score_of(task, "validation", values, looks=range(10, len(values), 10))


def test_a_model_that_is_ahead_early_is_asked_what_the_leader_was() -> None:
    coin = Coin({"challenger": 0.9, "leader": 0.4})
    challenger, leader = (Object(id=name, kind="model", name=name) for name in coin.chances)
    evaluation = Evaluation(tasks=[coin], goals=[TaskWeight(task="coin")], first=50, most=400)
    assert evaluation.race(challenger, leader, CTX, 300) == 300


def test_gains_and_guards_of_a_raced_model_are_over_all_its_items() -> None:
    state = searched({"base": [1, 0] * 20, "a": [0, 1] * 18 + [1] * 4})
    (made,), (base,) = state.scores["a"], state.scores["base"]
    assert (made.n, base.n) == (40, 40)
    assert made.gain == pytest.approx(made.value - base.value)


def test_scores_on_fewer_items_do_not_replace_those_on_more() -> None:
    state = searched({"base": [1, 0] * 20, "a": [0, 1] * 18 + [1] * 4})
    cut = Made(object=state.pool["a"], scores=state.scores["a"], rescored={"base": (score([1.0] * 20),)})
    again = Asked(
        number=1, choice=replace(state.trials[0].choice, action=replace(state.trials[0].choice.action, seed=9))
    )
    cut = replace(cut, object=replace(cut.object, id=again.choice.action.id))
    told = reduce_events([again, Told(number=1, outcome=cut)], state)
    assert told.scores["base"] == state.scores["base"]


def guarded(max_drop: float) -> Any:
    """A toy study in which one model has lost 0.3 ± 0.05 of a guarded skill and leads on the objective."""
    first = toy.first_events()
    assert isinstance(first[0], StudyOpened)
    opened = replace(first[0], guards=(Guard(task="near-north", max_drop=max_drop),))
    state = run(
        Search(
            journal=MemoryJournal(opened, *first[1:]), action_types=toy.ACTION_TYPES, policy=Random(), memory=Table(),
            budget=Budget(trials=6),
        ),
        toy.inline(),
    )  # fmt: skip
    best, _ = state.ranked()[0]
    lost = [
        Score(task="near-east", split="validation", value=1.0, n=50, stderr=0.0, gain=0.5, gain_stderr=0.0),
        Score(task="near-north", split="validation", value=0.9, n=50, stderr=0.0, gain=-0.3, gain_stderr=0.05),
    ]
    return replace(state, scores={**state.scores, best.id: tuple(lost)}), best


def test_a_model_that_lost_a_guarded_skill_beyond_noise_ranks_behind_all_that_hold_it() -> None:
    state, best = guarded(0.02)
    assert state.objective(best.id) == max((v for _, v in state.ranked()), key=lambda v: v.value)
    holds = [not state.broken(obj.id) for obj, _ in state.ranked()]
    assert holds == sorted(holds, reverse=True)
    assert not holds[[obj.id for obj, _ in state.ranked()].index(best.id)]
    assert state.worst_drop(best.id).task == "near-north"


def test_a_drop_within_noise_or_within_what_is_allowed_breaks_no_guard() -> None:
    state, best = guarded(0.25)  # 0.3 lost, and 0.3 - 1.645 * 0.05 is less than 0.25
    assert not state.broken(best.id)
    assert state.ranked()[0][0] == best


def test_memory_prompt_and_evidence_say_which_models_break_a_guard() -> None:
    state, best = guarded(0.02)
    words = "breaks its guard: near-north -0.300 ± 0.050 against the base model (at most -0.02)"
    assert words in describe(state, best, {})
    assert "break a guard and rank last: near-north (at most -0.02): " in evidence_table(state)
    assert "guard" in Table(best=50).update(state, state.trials[-1])


def test_a_state_holds_nothing_of_the_test_side() -> None:
    score = Score(task="near-east", split="test", value=0.123456, n=50, stderr=0.01)
    journal = [*toy.first_events(), HoldoutOpened(models=("m",)), events.Tested(object_id="m", scores=(score,))]
    assert reduce_events(journal) == reduce_events(toy.first_events())
    assert "0.123456" not in repr(reduce_events(journal))
    test = sealed_of(journal)
    assert (test.opened, test.scores) == (1, {"m": (score,)})


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_search_never_asks_for_the_test_side(split: str) -> None:
    asked: set[str] = set()

    class Watched(toy.ToyTask):
        def values(self, model: Object, split: Split, ctx: Any, n: int | None = None) -> Sequence[float]:
            asked.add(split)
            return super().values(model, split, ctx, n)

    tasks = [Watched("near-east", (1.5, 0.5)), toy.TASKS[1]]
    toolkit = replace(toy.toolkit(), evaluation=Evaluation(tasks=tasks, goals=toy.GOALS))
    search = Search(
        journal=MemoryJournal(*toy.first_events()), action_types=toy.ACTION_TYPES, policy=Random(), memory=Table(),
        budget=Budget(trials=8),
    )  # fmt: skip
    run(search, Inline(toolkit))
    assert (split in asked) == (split == "validation")
