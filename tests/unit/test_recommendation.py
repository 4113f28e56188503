"""Which trial is recommended among those that cannot be told from the leader, in the world of mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lamdagent.core.events import Asked, Event, Scored, Told
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.training import Training
from lamdagent.core.types import Choice, Cost, Made, Object, Score
from lamdagent.evaluation.ranking import Ranking
from lamdagent.results.leaderboard import leaderboard
from lamdagent.results.recommendation import BEST, CHEAPEST, pipeline_cost, recommendation
from lamdagent.testing import mixtures, toy

Trial = tuple[str, Sequence[str], float, int | None]


def searched(*trials: Trial) -> State:
    """A state after actions, each as its type, the names of models and datasets, an objective and rows."""
    state = reduce_events(mixtures.first_events())
    base = state.of_kind("model")[0]
    state = reduce_events([Scored(object_id=base.id, scores=scores(0.3))], state)
    for number, (type, names, value, rows) in enumerate(trials):
        ids = {obj.name: obj.id for obj in state.pool.values()}
        inputs = {"models": [ids[n] for n in names]}
        if type == "mix":
            data = [ids[n] for n in names[1:]]
            inputs = {"model": [ids[names[0]]], "dataset": data, "hyperparameters": [ids["firm"]]}
        action = ActionSpace(state, mixtures.ACTION_TYPES).action(type, inputs)
        made = Object(id=action.id, kind="model", name=f"model-{number}", made_by=action.id, meta=base.meta)
        cost = Cost(wall_s=1.0, training=Training(rows=rows))
        events: list[Event] = [
            Asked(number=number, choice=Choice(action=action, reason="", by="test")),
            Told(number=number, outcome=Made(object=made, scores=scores(value), cost=cost)),
        ]
        state = reduce_events(events, state)
    return state


def scores(value: float) -> tuple[Score, ...]:
    return tuple(Score(task=g.task, split="validation", value=value, n=10, stderr=0.02) for g in mixtures.GOALS)


def equal(state: State, *names: str) -> Ranking:
    ids = frozenset(obj.id for obj in state.pool.values() if obj.name in names)
    return Ranking(compared=len(state.trials), contenders=ids)


LONG = searched(
    ("mix", ["base", "sort"], 0.70, 1200),
    ("mix", ["base", "call"], 0.80, 2400),
    ("mix", ["model-0", "call"], 0.88, 2400),
    ("mean", ["model-0", "model-2"], 0.90, 0),
    ("mix", ["model-3", "facts"], 0.91, 1200),
)


def test_a_pipeline_costs_what_its_whole_lineage_trained_on_and_shared_steps_count_once() -> None:
    costs = [pipeline_cost(LONG, LONG.trials[n].choice.action.id) for n in range(5)]
    assert [(cost.rows, cost.steps) for cost in costs] == [(1200, 1), (2400, 1), (3600, 2), (3600, 3), (4800, 4)]


def test_of_models_that_cannot_be_told_from_the_leader_the_cheapest_pipeline_is_recommended() -> None:
    found = recommendation(LONG, equal(LONG, "model-4", "model-3", "model-2"))
    assert found is not None
    assert (found.trial, found.rule, found.among, found.leader) == (2, CHEAPEST, 3, "model-4")
    assert found.words == (
        "recommended: trial 2 (model-2), 0.880 ± 0.010, 3,600 rows in 2 steps: the cheapest pipeline of the 3 trials that "
        "cannot be told from the best; that of model-4 takes 4,800 rows in 4 steps"
    )


def test_where_the_leader_stands_alone_it_is_recommended() -> None:
    found = recommendation(LONG, equal(LONG, "model-4"))
    assert found is not None
    assert (found.trial, found.rule) == (4, BEST)
    assert found.words.endswith("the best by validation; all others are worse")


def test_where_items_are_not_kept_the_best_is_recommended_and_that_is_said() -> None:
    found = recommendation(LONG, Ranking(compared=0, contenders=frozenset()))
    assert found is not None
    assert (found.trial, found.rule, found.among) == (4, BEST, 0)
    assert found.words.endswith("what else is as good is not known")


def test_a_pipeline_whose_rows_are_not_known_counts_as_dearer_and_never_as_free() -> None:
    state = searched(("mix", ["base", "sort"], 0.8, None), ("mix", ["base", "call"], 0.79, 9000))
    assert pipeline_cost(state, state.trials[0].choice.action.id).rows is None
    found = recommendation(state, equal(state, "model-0", "model-1"))
    assert found is not None and found.trial == 1


def test_a_provided_model_that_leads_is_not_recommended_as_a_trial() -> None:
    state = searched(("mix", ["base", "sort"], 0.2, 100))
    found = recommendation(state, equal(state, "base"))
    assert found is not None and (found.trial, found.among) == (0, 0)
    assert recommendation(searched(), equal(searched(), "base")) is None


def test_show_says_what_is_recommended_in_one_line_and_keeps_the_best() -> None:
    board = leaderboard("mixtures", LONG, toy.Unwritten())
    assert board.best is not None and board.best.trial == 4
    chosen = recommendation(LONG, equal(LONG, "model-4", "model-2"))
    assert chosen is not None
    text = [part for section in replace(board, recommended=chosen).sections() for part in section.parts]
    assert any(isinstance(part, str) and chosen.words in part.splitlines() for part in text)
