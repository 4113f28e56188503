"""How often what is claimed of two models, or of one among many, is wrong: nominal against seen.

    python benchmarks/rates.py [--runs 200]

The claims beside those of claims.py (picks, orders, sizes), differences.py (tasks of unlike size) and racing.py (whole
searches). Items are right or wrong, hard ones hard for all models (correlation 0.4). Minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from claims import GOALS, Line, answers, share
from numpy.typing import NDArray
from scipy import stats

from lamdagent.core.events import Asked, ObjectAdded, Scored, StudyOpened, Told
from lamdagent.core.items import Draw, ItemValues, mean_and_error
from lamdagent.core.state import ONE_SIDED_95, State, reduce_events
from lamdagent.core.types import Action, Choice, Made, Object, Score, TaskWeight
from lamdagent.evaluation.statistics import contenders, corrected_winner, difference, verdict
from lamdagent.results.attribution import less_luck
from lamdagent.results.diagnosis.outcomes import forgetting, overfitting, plateau
from lamdagent.results.holdout import HoldoutResults
from lamdagent.results.statistics import agreement, paired, seeds_needed, signed_rank_p

Array = NDArray[np.float64]
SIZES = (20, 100, 200, 1000)
TRUTHS = {"equal, .5": (0.5, 0.5), "equal, .9": (0.9, 0.9), ".6 against .5": (0.6, 0.5), ".9 against .7": (0.9, 0.7)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="simulations a line")
    runs = parser.parse_args().runs
    print("| claim | nominal | seen |\n|---|---|---|")
    for lines in (*PAIRS, looks, leaders, reports, attributions, seeds, power, signatures, overfitted):
        for claim, nominal, seen in lines(runs):
            print(f"| {claim} | {nominal} | {seen} |", flush=True)


def differences(runs: int) -> Iterator[Line]:
    """Two models on the same items: the p of no difference where they are equal, and the interval."""
    for n in SIZES:
        for name, truth in TRUTHS.items():
            found = []
            for run in range(runs):
                a, b = answers(np.random.default_rng([21, run]), np.array(truth), n)
                found.append(difference({"t": a}, {"t": b}, GOALS, seed=run, resamples=1000))
            gap = truth[0] - truth[1]
            if gap == 0:
                yield f"{n} items, {name}: paired p < .05", "0.050", share([d.p < 0.05 for d in found])
            yield f"{n} items, {name}: paired interval covers", "0.950", share([d.low <= gap <= d.high for d in found])


def weights(runs: int) -> Iterator[Line]:
    """An objective of two tasks that count 3 to 1: its error against how far it is from the truth."""
    goals = [TaskWeight(task="a", weight=3.0), TaskWeight(task="b")]
    for n in SIZES:
        held = []
        for run in range(runs):
            rng = np.random.default_rng([22, run])
            scores = tuple(
                Score(task=t, split="validation", value=value, n=n, stderr=error)
                for t, p in (("a", 0.3), ("b", 0.7))
                for value, error in [mean_and_error(list(answers(rng, np.array([p]), n)[0]))]
            )
            found = State(goals=tuple(goals), scores={"m": scores}).objective("m")
            assert found is not None and found.stderr is not None
            held.append(abs(found.value - 0.4) <= 1.96 * found.stderr)
        yield f"{n} items a task, weights 3 and 1: truth within 1.96 errors of the objective", "0.950", share(held)


def gains(runs: int) -> Iterator[Line]:
    """Gains as guards and evidence take them, paired, beside what independent errors would give."""
    for n in SIZES:
        held, broken, seen, alone = [], [], [], []
        for run in range(runs):
            made, base = answers(np.random.default_rng([23, run]), np.array([0.6, 0.5]), n)
            gain, error = mean_and_error(list(made - base))
            apart = float(np.hypot(mean_and_error(list(made))[1] or 0.0, mean_and_error(list(base))[1] or 0.0))
            held.append(abs(gain - 0.1) <= 1.96 * (error or 0.0))
            seen.append(gain > ONE_SIDED_95 * (error or 0.0))
            alone.append(gain > ONE_SIDED_95 * apart)
            # A guard that allows what was lost is broken by noise alone.
            broken.append(-gain + ONE_SIDED_95 * (error or 0.0) < -0.1)
        yield f"{n} items: a paired gain of .1 within 1.96 errors", "0.950", share(held)
        yield f"{n} items: it is seen (one-sided; independent errors: {np.mean(alone):.3f})", "high", share(seen)
        yield f"{n} items: a guard is broken by what it allows", "0.050", share(broken)


def looks(runs: int) -> Iterator[Line]:
    for first, most in ((20, 200), (100, 1000)):
        for name in ("equal, .5", "equal, .9"):
            told = []
            for run in range(runs):
                a, b = answers(np.random.default_rng([24, run]), np.array(TRUTHS[name]), most)
                places, count = range(first, most + 1, first), most // first
                told.append(any(verdict({"t": a[:n]}, {"t": b[:n]}, GOALS, looks=count) != "open" for n in places))
            yield f"a race of {most // first} looks to {most} items, {name}: told apart", "at most 0.050", share(told)


def leaders(runs: int) -> Iterator[Line]:
    """The models marked ≈, which should hold all that are truly best."""
    for n in SIZES:
        for name, chances in (
            ("20 equals", np.full(20, 0.5)),
            ("5 best of 20", np.r_[np.full(5, 0.6), np.full(15, 0.5)]),
        ):
            lost = []
            for run in range(runs):
                x = answers(np.random.default_rng([25, run]), chances, n)
                found = contenders({i: {"t": row} for i, row in enumerate(x)}, GOALS, seed=run)
                lost.append(not found >= set(np.flatnonzero(chances == chances.max()).tolist()))
            yield f"{n} items, {name}: a best is not marked ≈", "at most 0.050", share(lost)


def reports(runs: int) -> Iterator[Line]:
    """The best of 40 by validation against the base model, on test items that had no part in picking it."""
    for n in SIZES:
        told = []
        for run in range(runs):
            rng = np.random.default_rng([26, run])
            best = int(answers(rng, np.full(40, 0.5), n).mean(axis=1).argmax())
            test = answers(rng, np.full(41, 0.5), n)
            told.append(difference({"t": test[best]}, {"t": test[40]}, GOALS, seed=run, resamples=1000).p < 0.05)
        yield f"{n} items: the best of 40 equals against the base on the sealed test, p < .05", "0.050", share(told)


def attributions(runs: int) -> Iterator[Line]:
    """A step of the best of 40 equal models is worth nothing."""
    for n in SIZES:
        claimed, before, values = [], [], []
        for run in range(runs // 2):
            x = answers(np.random.default_rng([27, run]), np.full(41, 0.5), n)
            models = {i: {"t": row} for i, row in enumerate(x[:40])}
            best = max(models, key=lambda i: float(models[i]["t"].mean()))
            plain = difference(models[best], {"t": x[40]}, GOALS, seed=run, resamples=1000)
            fair = less_luck(plain, corrected_winner(models, GOALS, seed=run, of=best))
            assert fair is not None
            claimed.append(not fair.low <= 0 <= fair.high)
            before.append(not plain.low <= 0 <= plain.high)
            values.append(fair.value)
        claim = f"{n} items: a step of the best of 40 equals has a worth (mean {np.mean(values):+.3f}"
        yield f"{claim}; with the luck: {np.mean(before):.3f})", "at most 0.050", share(claimed)


def seeds(runs: int) -> Iterator[Line]:
    for count in (5, 6, 10):
        told = []
        for run in range(10 * runs):
            p = signed_rank_p(list(np.random.default_rng([28, run]).normal(size=count)), [0.0] * count)
            told.append((1.0 if p is None else p) < 0.05)
        yield f"{count} seeds, equal arms: Wilcoxon p < .05", "at most 0.050", share(told)


def power(runs: int) -> Iterator[Line]:
    for sd in (0.02, 0.05):
        needed = seeds_needed(sd, 0.02)
        assert needed is not None
        gaps = np.random.default_rng(29).normal(0.02, sd, size=(5 * runs, needed))
        seen = [(paired(list(row), [0.0] * needed).t_p or 1.0) < 0.05 for row in gaps]
        yield f"--detect .02, spread {sd}: {needed} seeds see the gap", "0.800", share(seen)


def signatures(runs: int) -> Iterator[Line]:
    """Searches of 40 trials on 200 items a task, whose models are all alike, or differ beyond noise without a trend."""
    names: Mapping[str, tuple[Any, int]] = {"all alike": (lambda rng: np.full(41, 0.5), 1),
                                            "without a trend": (lambda rng: rng.uniform(0.3, 0.7, size=41), 2)}  # fmt: skip
    for name, (truths, stream) in names.items():
        forgot, stands = [], []
        for run in range(runs // 2):
            rng = np.random.default_rng([30, stream, run])
            truth = truths(rng)
            state, items = _search([answers(rng, truth, 200), answers(rng, truth, 200)])
            forgot.append(forgetting(state, "S", items).verdict != "ok")
            stands.append(plateau(state, "S", items).verdict == "alarm")
        if name == "all alike":
            yield f"40 trials, {name}: forgetting is watched or alarms", "at most 0.050", share(forgot)
            yield f"40 trials, {name}: plateau alarms (nothing was gained: rightly)", "high", share(stands)
        else:
            yield f"40 trials, {name}: plateau alarms", "0.050, more where models tie", share(stands)


def overfitted(runs: int) -> Iterator[Line]:
    """The ten best of 40 trials by validation, whose models are all alike, on as many test items."""
    for n in SIZES:
        found = []
        for run in range(runs // 2):
            rng = np.random.default_rng([31, run])
            state, _ = _search([answers(rng, np.full(41, 0.5), n)])
            tests = dict(
                zip(
                    ["base", *(t.choice.action.id for t in state.trials)],
                    answers(rng, np.full(41, 0.5), n),
                    strict=True,
                )
            )
            picked = [obj.id for obj, _ in state.ranked()][:10]
            scores = {
                i: (Score(task="0", split="test", value=float(tests[i].mean()), n=n, stderr=0.1),) for i in picked
            }
            found.append(overfitting(state, HoldoutResults(opened=1, scores=scores), "S").verdict == "alarm")
        yield f"40 trials, all alike, {n} items: overfitting alarms", "at most 0.050", share(found)


def groups(runs: int) -> Iterator[Line]:
    """A group of four unlike subtasks of 1 to 4 parts of the items, by size and as a mean of means."""
    chances, parts = np.array([0.2, 0.9, 0.5, 0.7]), np.array([0.1, 0.2, 0.3, 0.4])
    for n in SIZES:
        for name, shares in (("weighed by size", parts), ("a mean of means", np.full(4, 0.25))):
            strata = tuple(str(k) for k in np.repeat(range(4), (n * parts).astype(int)))
            draw = Draw(
                clusters=tuple(map(str, range(n))), strata=strata, shares={str(k): v for k, v in enumerate(shares)}
            )
            found = []
            for run in range(5 * runs):
                rng = np.random.default_rng([32, run])
                values = (rng.random(n) < chances[[int(k) for k in strata]]).astype(float)
                mean, error = mean_and_error(ItemValues(values.tolist(), draw))
                reach = stats.t.isf(0.025, n - 4) * (error or 0.0)
                found.append(bool(abs(mean - float(shares @ chances)) <= reach))
            yield f"{n} items of a group of unlike subtasks, {name}: truth within t errors", "0.950", share(found)


def ties(runs: int) -> Iterator[Line]:
    found: list[bool] = []
    rng = np.random.default_rng(33)
    while len(found) < runs:
        x, y = rng.integers(0, 4, size=(2, 8)).astype(float)
        if len(set(x)) > 1 and len(set(y)) > 1:
            ours = agreement(list(x), list(y), seed=0).tau
            found.append(bool(np.isclose(ours, stats.kendalltau(x, y).statistic)))
    yield "tau of scorings with ties is scipy's tau-b", "1.000", share(found)


PAIRS = (differences, weights, groups, gains, ties)


def _search(tasks: list[Array]) -> tuple[State, dict[str, dict[str, Array]]]:
    """A state of trials from one base model, row 0 of each task, and its items."""
    goals = tuple(TaskWeight(task=str(k)) for k in range(len(tasks)))
    base = Object(id="base", kind="model", name="base", meta={"root": "base"})
    actions = [
        Action(type="try", version=1, inputs={"model": ("base",)}, seed=number) for number in range(len(tasks[0]) - 1)
    ]
    ids = ["base", *(action.id for action in actions)]
    items = {i: {str(k): task[row] for k, task in enumerate(tasks)} for row, i in enumerate(ids)}

    def scores(i: str) -> tuple[Score, ...]:
        found = {task: mean_and_error(list(x)) for task, x in items[i].items()}
        return tuple(
            Score(task=task, split="validation", value=value, n=tasks[0].shape[1], stderr=error)
            for task, (value, error) in found.items()
        )

    events: list[Any] = [StudyOpened(config={}, seed=0, goals=goals), ObjectAdded(object=base)]
    events.append(Scored(object_id="base", scores=scores("base")))
    for number, action in enumerate(actions):
        made = Object(id=action.id, kind="model", name=f"model-{number}", made_by=action.id, meta={"root": "base"})
        events.append(Asked(number=number, choice=Choice(action=action, reason="", by="")))
        events.append(Told(number=number, outcome=Made(object=made, scores=scores(action.id))))
    return reduce_events(events), items


if __name__ == "__main__":
    main()
