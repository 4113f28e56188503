from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamdagent.core import events, types
from lamdagent.core.errors import JournalError
from lamdagent.core.events import (
    Asked,
    Event,
    HoldoutOpened,
    ObjectAdded,
    Scored,
    SearchStopped,
    StudyOpened,
    TimeSpent,
    Told,
)
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Action, Choice, Failed, Made, Object, Score, TaskWeight
from lamdagent.testing import toy

BASE = toy.point("base", (0.0, 0.0))


def score(task: str, value: float, stderr: float | None = 0.1, split: str = "validation") -> Score:
    return Score(task=task, split=split, value=value, n=10, stderr=stderr)  # type: ignore[arg-type]


def scored(goals: list[TaskWeight], *scores: Score) -> State:
    opened = StudyOpened(config={}, seed=0, goals=tuple(goals))
    return reduce_events([opened, ObjectAdded(object=BASE), Scored(object_id=BASE.id, scores=scores)])


def choice(seed: int) -> Choice:
    return Choice(action=Action(type="step", version=1, inputs={"model": (BASE.id,)}, seed=seed), reason="", by="")


def made(seed: int, value: float) -> Made:
    action = choice(seed).action
    obj = Object(id=action.id, kind="model", name=f"model-{seed}", made_by=action.id)
    return Made(object=obj, scores=(score("a", value),))


def test_the_objective_is_the_weighted_mean_of_scaled_scores() -> None:
    state = scored(
        [TaskWeight(task="a", weight=3.0), TaskWeight(task="b", max_score=10.0)],
        score("a", 0.8),
        score("b", 4.0, stderr=2.0),
    )
    objective = state.objective(BASE.id)
    assert objective is not None
    assert objective.value == pytest.approx((3 * 0.8 + 1 * 4.0 / 10) / 4)
    assert objective.stderr == pytest.approx(math.sqrt((3 * 0.1) ** 2 + (2.0 / 10) ** 2) / 4)


@given(
    goals=st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 100), st.floats(0, 1)), min_size=1, max_size=4),
    factor=st.floats(0.1, 10),
)
def test_scaling_all_weights_changes_nothing_and_the_objective_lies_between_its_scores(
    goals: list[tuple[float, float, float]], factor: float
) -> None:
    scores = [score(str(i), share * most) for i, (_, most, share) in enumerate(goals)]
    one, many = (
        scored(
            [TaskWeight(task=str(i), weight=w * f, max_score=m) for i, (w, m, _) in enumerate(goals)], *scores
        ).objective(BASE.id)
        for f in (1.0, factor)
    )
    assert one is not None and many is not None
    assert one.value == pytest.approx(many.value)
    assert one.stderr == pytest.approx(many.stderr)
    shares = [share for *_, share in goals]
    assert min(shares) - 1e-9 <= one.value <= max(shares) + 1e-9


def test_a_missing_score_is_no_objective_rather_than_zero() -> None:
    goals = [TaskWeight(task="a"), TaskWeight(task="b")]
    assert scored(goals, score("a", 1.0)).objective(BASE.id) is None
    assert scored(goals).ranked() == ()
    assert scored([], score("a", 1.0)).objective(BASE.id) is None
    assert scored(goals).objective("nobody") is None


def test_the_test_side_never_counts() -> None:
    assert scored([TaskWeight(task="a")], score("a", 1.0, split="test")).objective(BASE.id) is None
    both = scored([TaskWeight(task="a")], score("a", 0.2), score("a", 1.0, split="test")).objective(BASE.id)
    assert both is not None and both.value == pytest.approx(0.2)


def test_a_score_without_a_standard_error_gives_an_objective_without_one() -> None:
    objective = scored(
        [TaskWeight(task="a"), TaskWeight(task="b")], score("a", 1.0), score("b", 0.5, stderr=None)
    ).objective(BASE.id)
    assert objective is not None
    assert (objective.value, objective.stderr) == (0.75, None)


def test_models_are_ranked_by_objective_and_the_earlier_of_equals_is_first() -> None:
    events: list[Event] = [StudyOpened(config={}, seed=0, goals=(TaskWeight(task="a"),)), ObjectAdded(object=BASE)]
    events.append(Scored(object_id=BASE.id, scores=(score("a", 0.5),)))
    for number, value in enumerate((0.5, 0.9, 0.9, 0.1)):
        events += [Asked(number=number, choice=choice(number)), Told(number=number, outcome=made(number, value))]
    names = [obj.name for obj, _ in reduce_events(events).ranked()]
    assert names == ["model-1", "model-2", "base", "model-0", "model-3"]


def test_trials_may_end_in_any_order() -> None:
    failed = Failed(cause="oom", message="")
    taken = {object_id for i in range(3) for object_id in choice(i).action.object_ids}
    given = [ObjectAdded(object=replace(BASE, id=object_id)) for object_id in taken]
    begun = [Asked(number=i, choice=choice(i)) for i in range(3)]
    state = reduce_events([*given, *begun, Told(number=1, outcome=failed)])
    assert [trial.number for trial in state.running] == [0, 2]
    state = reduce_events([Told(number=2, outcome=made(2, 0.5))], state)
    assert [type(trial.outcome) for trial in state.trials] == [type(None), Failed, Made]
    assert [*state.pool][len(taken) :] == [choice(2).action.id]


def test_a_brought_model_is_unscored_until_its_scores_come() -> None:
    other = toy.point("other", (1.0, 0.0))
    state = reduce_events(
        [ObjectAdded(object=BASE), ObjectAdded(object=toy.vector("d", (1.0, 0.0))), ObjectAdded(object=other)]
    )
    assert state.unscored == (BASE, other)
    assert reduce_events([Scored(object_id=BASE.id, scores=())], state).unscored == (other,)


def test_a_study_opened_again_keeps_all_but_its_config() -> None:
    before = toy.grown(3)
    after = reduce_events([StudyOpened(config={"new": 1}, seed=before.seed, goals=before.goals)], before)
    assert after == replace(before, config={"new": 1})


@pytest.mark.parametrize(
    ("event", "goes_on"),
    [
        (TimeSpent(wall_s=1.0), True),
        (Scored(object_id=BASE.id, scores=()), True),
        (HoldoutOpened(models=("m",)), False),
        (events.Tested(object_id="m", scores=()), False),
        (events.Referenced(model=BASE, scores=()), False),
        (StudyOpened(config={}, seed=0, goals=()), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_a_search_that_goes_on_takes_back_that_it_stopped(event: Event, goes_on: bool) -> None:
    stopped = SearchStopped(reason="hours")
    state = reduce_events([ObjectAdded(object=BASE), stopped, event])
    assert state.stopped == (None if goes_on else stopped)


def test_a_reference_is_in_no_pool_and_no_ranking_and_costs_the_search_nothing() -> None:
    before = toy.grown(3)
    model = replace(BASE, id="elsewhere", name="elsewhere")
    scores = tuple(replace(s, value=1e6) for s in before.scores[before.ranked()[0][0].id])
    event = events.Referenced(model=model, scores=scores, cost=types.Cost(wall_s=5.0, gpu_s=5.0))
    after = reduce_events([event], before)
    assert after == replace(before, references={"elsewhere": event})
    assert after.ranked() == before.ranked() and after.unscored == before.unscored and after.gpu_s == before.gpu_s


def test_worked_time_adds_up() -> None:
    assert reduce_events([TimeSpent(wall_s=1.5), TimeSpent(wall_s=2.0)]).wall_s == 3.5


def test_the_trial_of_an_object_is_the_one_that_made_it() -> None:
    state = reduce_events(
        [ObjectAdded(object=BASE), Asked(number=0, choice=choice(0)), Told(number=0, outcome=made(0, 1.0))]
    )
    assert state.trial_of(BASE.id) is None
    assert state.trial_of(choice(0).action.id) == state.trials[0]


@given(cut=st.integers(0, 40))
def test_folding_in_two_parts_is_folding_at_once(cut: int) -> None:
    events: list[Event] = list(toy.first_events())
    for number in range(8):
        events += [Asked(number=number, choice=choice(number)), Told(number=number, outcome=made(number, number / 8))]
    assert reduce_events(events[cut:], reduce_events(events[:cut])) == reduce_events(events)


NOT_NEXT: dict[str, list[Event]] = {
    "trial 1 begins, and 0 have begun": [Asked(number=1, choice=choice(0))],
    "trial 0 ends, and 0 have begun": [Told(number=0, outcome=Failed(cause="oom", message=""))],
    "trial -1 ends": [Told(number=-1, outcome=Failed(cause="oom", message=""))],
    "the memory takes in trial 0": [events.MemoryUpdated(number=0, memory="")],
    "nothing is scored, which is not in the pool": [Scored(object_id="nothing", scores=())],
    "trial 0 takes .*, which is not in the pool": [Asked(number=0, choice=choice(0))],
}


@pytest.mark.parametrize("fault", NOT_NEXT)
def test_events_that_do_not_follow_on_those_before_them_are_refused(fault: str) -> None:
    with pytest.raises(JournalError, match=fault):
        reduce_events(NOT_NEXT[fault])


def test_a_trial_that_ends_twice_is_refused() -> None:
    before = toy.grown(2)
    with pytest.raises(JournalError, match="trial 1 ends twice"):
        reduce_events([Told(number=1, outcome=Failed(cause="oom", message=""))], before)
