"""Failure signatures on states and journals made up for them, whose truth is known.

Simulations are seeded, so they give the same figures every time; bounds leave room for what one of that length may be
off by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lamdagent.core.action_type import ActionType
from lamdagent.core.events import Asked, Event, ObjectAdded, Scored, StudyOpened, Told
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Action, Choice, Failed, Made, Object, Score, TaskWeight
from lamdagent.results.diagnosis import diagnose
from lamdagent.results.diagnosis.chance import entropies, entropy, hits
from lamdagent.results.diagnosis.outcomes import forgetting, overfitting, plateau
from lamdagent.results.diagnosis.signature import FEWEST_TESTED, share
from lamdagent.results.holdout import HoldoutResults
from lamdagent.testing import toy


class Try(toy.ToyOpen):
    """Takes a model, a dataset and a setting."""

    name = "try"

    def __init__(self) -> None:
        super().__init__(*toy.ToyStep.slots)


TRY: Mapping[str, ActionType] = {"try": Try()}


GOALS = (TaskWeight(task="a"), TaskWeight(task="b"))


ITEMS = 200


def scores(values: Sequence[float], side: Any = "validation") -> tuple[Score, ...]:
    errors = [max(v * (1 - v), 0.0) ** 0.5 / ITEMS**0.5 for v in values]
    return tuple(
        Score(task=g.task, split=side, value=float(v), n=ITEMS, stderr=e, task_id=side)
        for g, v, e in zip(GOALS, values, errors, strict=True)
    )


def as_test(known: Sequence[Score]) -> tuple[Score, ...]:
    return tuple(replace(s, split="test", task_id="test") for s in known)


def chosen(values: Sequence[Sequence[float]], datasets: Sequence[str], rate: str = "slow") -> list[Event]:
    """The journal of trials that all start from the base model and score as given."""
    base = toy.point("base", (0.0, 0.0))
    names = sorted({*datasets, "good", "bad", "ugly"})
    rates = [toy.rate(f"rate-{i}", float(i), action="try") for i in range(1 + len(values))]
    objects = {o.name: o for o in (base, *(toy.vector(name, (1.0, i)) for i, name in enumerate(names)), *rates)}
    events: list[Event] = [
        StudyOpened(config={"study": "planted"}, seed=0, goals=GOALS),
        *(ObjectAdded(object=o) for o in objects.values()),
        Scored(object_id=base.id, scores=scores([0.5, 0.5])),
    ]
    for number, (row, dataset) in enumerate(zip(values, datasets, strict=True)):
        inputs = {"model": (base.id,), "dataset": (objects[dataset].id,),
                  "hyperparameters": (objects[f"rate-{number}"].id,)}  # fmt: skip
        action = Action(type="try", version=1, inputs=inputs)
        made = Object(
            id=action.id, kind="model", name=f"model-{number}", made_by=action.id, meta={"root": base.id, "x": [0, 0]}
        )
        events.append(Asked(number=number, choice=Choice(action=action, reason="", by="planted")))
        events.append(Told(number=number, outcome=Made(object=made, scores=scores(row))))
    return events


def noisy(seed: int, trials: int, *, value: Callable[[int], float] = lambda i: 0.5, noise: float = 1.0) -> State:
    """A state whose models score as `value` says, but for the noise of their items."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(trials):
        chance = value(i)
        drawn = rng.binomial(ITEMS, chance, size=2) / ITEMS
        rows.append(list(chance + noise * (drawn - chance)))
    return reduce_events(chosen(rows, [("good", "bad", "ugly")[i % 3] for i in range(trials)]))


def spread(seed: int, trials: int) -> State:
    """A state whose models differ by far more than noise, in any order."""
    rng = np.random.default_rng(seed)
    state = reduce_events(chosen([[v, v] for v in rng.uniform(0.05, 0.95, size=trials + 1)][1:], ["good"] * trials))
    base = next(o.id for o in state.of_kind("model") if o.made_by is None)
    return replace(state, scores={**state.scores, base: scores([float(rng.uniform(0.05, 0.95))] * 2)})


def exactly(state: State) -> State:
    """The same without noise to speak of."""
    return replace(
        state, scores={i: tuple(replace(s, stderr=1e-6) for s in found) for i, found in state.scores.items()}
    )


def earned() -> list[Event]:
    rng = np.random.default_rng(0)
    datasets = [str(rng.choice(["good", "bad", "ugly"], p=[0.8, 0.1, 0.1])) for _ in range(60)]
    return chosen([[0.8 + rng.normal(0, 0.01)] * 2 if d == "good" else [0.5, 0.5] for d in datasets], datasets)


def opened(seed: int, *, growth: float, models: int = 10) -> tuple[State, HoldoutResults]:
    """A study of 50 trials of which every fifth was tested, where validation runs ahead by `growth` a trial."""
    state, rng = noisy(seed, 5 * models), np.random.default_rng(seed + 1000)
    seen = {}
    for trial in state.trials[::5]:
        made = trial.choice.action.id
        values = [s.value - growth * trial.number + rng.normal(0, 0.03) for s in state.scores[made]]
        seen[made] = as_test(scores(np.clip(values, 0.0, 1.0).tolist()))
    return state, HoldoutResults(opened=1, scores=seen)


def test_noise_alone_is_rarely_called_forgetting() -> None:
    """Of 100 searches of 40 trials whose models are all alike at most 2 alarm or are to be watched."""
    told = Counter(forgetting(noisy(seed, 40), "S").verdict for seed in range(100))
    assert told["ok"] >= 98


def test_results_without_a_trend_are_called_a_plateau_as_rarely_as_said() -> None:
    """Of 200 searches of 60 trials whose results have no trend 5 % should alarm and 15 % more be watched where no two
    models are alike; 14 % alarm where a tenth of the models cannot be told from the best."""
    told = Counter(plateau(exactly(spread(seed, 60)), "S").verdict for seed in range(200))
    assert told["alarm"] / 200 <= 0.07
    assert told["watch"] / 200 <= 0.19
    assert Counter(plateau(spread(seed, 60), "S").verdict for seed in range(200))["alarm"] / 200 <= 0.16


def test_validation_that_is_as_far_from_the_test_late_as_early_is_rarely_called_overfitted() -> None:
    """Of 200 studies with 10 tested models 1 % should alarm and 4 % more be watched."""
    told = Counter(overfitting(*opened(seed, growth=0.0), "S").verdict for seed in range(200))
    assert told["alarm"] / 200 <= 0.03
    assert told["watch"] / 200 <= 0.08


def test_a_favourite_whose_results_are_better_is_said_to_be_earned() -> None:
    signature = {s.name: s for s in diagnose(earned(), TRY, "S")}["favourites"]
    assert "dataset good was chosen" in signature.measured
    assert "a preference that its results back" in signature.measured
    assert signature.verdict != "alarm"


def test_what_the_best_model_lost_of_its_base_is_said_also_of_journals_without_gains() -> None:
    state = noisy(0, 12)
    best = state.ranked()[0][0].id
    lost = tuple(replace(s, value=0.1 if s.task == "b" else 1.0) for s in state.scores[best])
    state = replace(state, scores={**state.scores, best: lost})
    signature = forgetting(state, "S")
    assert signature.verdict == "watch"
    assert "on b of its base model" in signature.measured
    paired = tuple(replace(s, gain=-0.3 if s.task == "b" else 0.4, gain_stderr=0.02) for s in lost)
    assert "lost -0.300 ± 0.020 on b" in forgetting(replace(state, scores={**state.scores, best: paired}), "S").measured


def test_that_nothing_ever_improved_is_said_and_a_search_that_rises_is_no_plateau() -> None:
    flat = plateau(noisy(1, 25, noise=0.0), "S")
    assert flat.verdict == "alarm"
    assert "nothing improved on the base model" in flat.measured
    rising = noisy(1, 25, value=lambda i: 0.2 + 0.02 * i)
    assert plateau(rising, "S").verdict == "ok"


def answered() -> tuple[State, dict[str, dict[str, Any]]]:
    """A search that moves in its trial 10 only, whose model answers 24 items of a more and 12 of b fewer; and what every
    item gave."""
    hard = np.repeat([1.0, 0.0], ITEMS // 2)

    def changed(by: int) -> Any:
        found = hard.copy()
        found[slice(100, 100 + by) if by > 0 else slice(0, -by)] = float(by > 0)
        return found

    rows = [{"a": changed(24 if i == 10 else 0), "b": changed(-12 if i == 10 else 0)} for i in range(25)]
    state = reduce_events(chosen([[row["a"].mean(), row["b"].mean()] for row in rows], ["good"] * 25))
    made = [trial.choice.action.id for trial in state.trials]
    (base,) = (o.id for o in state.of_kind("model") if o.made_by is None)
    return state, {base: {"a": hard, "b": hard}, **dict(zip(made, rows, strict=True))}


def test_what_changed_is_paired_on_the_items_that_both_models_have() -> None:
    state, items = answered()
    assert "nothing improved" in plateau(state, "S").measured
    assert "came with trial 10" in plateau(state, "S", items).measured
    assert "0 of 25 trials lost" in forgetting(state, "S").measured
    assert "1 of 25 trials lost" in forgetting(state, "S", items).measured


def test_gains_within_noise_add_up_but_do_not_count_one_by_one() -> None:
    creeping = plateau(noisy(1, 40, value=lambda i: 0.5 + 0.001 * i, noise=0.0), "S")
    assert "is within noise" in creeping.measured
    assert "lamdagent validation-size S" in creeping.advice


def test_validation_that_runs_ahead_of_the_test_is_found() -> None:
    signature = overfitting(*opened(0, growth=0.004), "S")
    assert signature.verdict == "alarm"
    growth, _ = signature.figures
    assert growth.value == pytest.approx(0.04, abs=0.02)
    assert growth.stderr is not None
    assert growth.n == 10


def test_scores_on_a_test_that_was_exchanged_do_not_count() -> None:
    state, seen = opened(0, growth=0.0)
    old = state.ranked()[-1][0].id
    scores = {**seen.scores, old: tuple(replace(s, value=0.0, task_id="another") for s in seen.scores[old])}
    assert overfitting(state, replace(seen, scores=scores), "S").figures[0].n == 9


def test_a_trend_takes_several_tested_models() -> None:
    few_state, few = opened(0, growth=0.0, models=FEWEST_TESTED - 1)
    assert overfitting(few_state, few, "S").verdict == "unknown"
    assert "--top" in overfitting(few_state, few, "S").advice


def test_entropies_and_hits_are_those_of_the_textbook() -> None:
    assert entropy([5, 5]) == pytest.approx(1.0)
    assert entropy([7, 0]) == 0.0
    even = [{"a": 0.5, "b": 0.5}] * 50
    assert 0.9 < entropies(even, 0).mean() < 1.0
    assert hits([0.5, 0.5]) == pytest.approx([0.25, 0.5, 0.25])
    assert hits([0.0, 1.0, 0.3]) == pytest.approx([0.0, 0.7, 0.3, 0.0])
    assert share("x", 0, 10).high == pytest.approx(1 - 0.025**0.1)


def test_failed_trials_and_missing_scores_are_not_scores_of_0() -> None:
    state = noisy(0, 30)
    failed = tuple(replace(t, outcome=Failed(cause="oom", message="")) for t in state.trials)
    bases = {i: s for i, s in state.scores.items() if state.pool[i].made_by is None}
    hollow = replace(state, trials=failed, scores=bases)
    assert forgetting(hollow, "S").verdict == "unknown"
    assert "0.500" in plateau(hollow, "S").measured
    unscored = replace(hollow, scores={})
    assert plateau(unscored, "S").verdict == "unknown"
    bare = {i: tuple(replace(s, stderr=None) for s in scores) for i, scores in state.scores.items()}
    assert forgetting(replace(state, scores=bare), "S").verdict == "unknown"
