"""Does one way of searching beat another: the same budget and seeds for all, held against the first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from lamdagent.core.errors import UserError
from lamdagent.core.items import ItemValues, less, mean_and_error
from lamdagent.core.training import Training
from lamdagent.core.types import Made, TaskWeight
from lamdagent.results.comparison import ArmGain, ArmResult, Comparison, SeedMean, Standing, adjusted
from lamdagent.results.history import best_so_far
from lamdagent.results.ledger import ledger_of
from lamdagent.results.searches import Judged, Searched, runs_of
from lamdagent.results.spending import Axis, Spending, spendings

Arms = Mapping[str, Sequence[Searched]]
"""The searches of every arm, one per seed, seeds in the same order."""


def compare(study: str, arms: Arms, detect: float | None = None) -> Comparison:
    """Picks on items that did not pick them, areas, and paired tests against the first arm, where all spent equally much.

    Args:
        detect: a gap for which to say how many seeds would show it, above 0.
    """
    first = next(iter(arms))
    made, shared, saved_s = _saved(arms)
    # Arms are compared by one measure: without the items of one search there is none that is free of the pick's luck.
    held_out = {arm: [s.held_out for s in searches] for arm, searches in arms.items()}
    curves, curves_shared = _common(held_out)
    tests, tests_shared = _common({arm: [s.tested for s in searches] for arm, searches in arms.items()})
    goals = arms[first][0].state.goals
    spent = spendings(runs_of(arms))
    found = {
        arm: _arm(
            {axis: _standing(arm, arms, curves, spending, detect, curves_shared) for axis, spending in spent.items()},
            None if tests is None else _Figure(_figured((tests[arm], tests[first])), goals, detect, tests_shared),
            searches,
            is_first=arm == first,
        )
        for arm, searches in arms.items()
    }
    return Comparison(
        study=study,
        by=next(iter(spent)),
        equal={axis: spending.equal for axis, spending in spent.items()},
        grid={axis: spending.grid for axis, spending in spent.items()},
        seeds=tuple(s.state.seed for s in arms[first]),
        against=first,
        shared_items=None if curves is None else curves_shared,
        detect=detect,
        arms=adjusted(found, next(iter(spent))),
        made=made,
        shared=shared,
        saved_s=saved_s,
    )


def _common(judged: Mapping[str, Sequence[Judged | None]]) -> tuple[dict[str, list[Judged]] | None, bool]:
    """The items that all searches have, and whether they are the same for all seeds; None where one has none."""
    known = [j for each in judged.values() for j in each if j is not None]
    if len(known) < sum(map(len, judged.values())):
        return None, False
    size = {task: min(j.items[task].shape[-1] for j in known) for task in known[0].items}
    cut = {arm: [j.first(size) for j in each if j is not None] for arm, each in judged.items()}
    return cut, len({j.item_set for j in known}) == 1


BySeed = Sequence[Mapping[str, ItemValues]]
"""For every seed what items gave, by task."""


@dataclass(frozen=True, slots=True)
class _Figure:
    """A figure of one arm and of the first arm, by seed and item."""

    both: tuple[BySeed, BySeed]
    goals: Sequence[TaskWeight]
    detect: float | None
    shared: bool

    def values(self, place: int = 0) -> tuple[float, ...]:
        from lamdagent.evaluation.bootstrap import scales_of

        scales = scales_of(self.goals)
        return tuple(
            math.fsum(scale * mean_and_error(items[t])[0] for t, scale in scales.items()) for items in self.both[place]
        )

    def mean(self) -> SeedMean:
        return _mean(self.values(), self._item_error(self.both[0]))

    def gain(self) -> ArmGain:
        from lamdagent.results.statistics import paired, signed_rank_p

        gaps = [{task: less(a[task], b[task]) for task in a} for a, b in zip(*self.both, strict=True)]
        error = self._item_error(gaps)
        found = paired(self.values(), self.values(1), error)
        needed = _needed(self.detect, found.sd, found.n, 0.0 if error is None else error.variance)
        return ArmGain(
            mean=found.mean,
            low=found.low,
            high=found.high,
            t_p=found.t_p,
            holm_p=None,
            wilcoxon_p=signed_rank_p(self.values(), self.values(1)),
            effect=found.effect,
            n=found.n,
            seeds_needed=needed[0],
            seeds_low=needed[1],
            seeds_high=needed[2],
        )

    def _item_error(self, by_seed: BySeed) -> Any:
        from lamdagent.results.statistics import item_error

        return item_error(by_seed, self.goals) if self.shared else None


def _needed(
    detect: float | None, sd: float | None, n: int, item_variance: float
) -> tuple[int | None, int | None, int | None]:
    """How many seeds show a gap, with the 95 % interval that comes from knowing their spread by `n` seeds only."""
    from lamdagent.results.statistics import seeds_needed, spread_interval

    if detect is None or sd is None:
        return None, None, None
    found = [seeds_needed(each, detect, item_variance) for each in (sd, *spread_interval(sd, n))]
    return found[0], found[1], found[2]


@dataclass(frozen=True, slots=True)
class _HeldOut:
    """What held-out items say of an arm's picks."""

    pick: _Figure
    area: _Figure
    half: SeedMean
    curve: tuple[SeedMean, ...]


def _standing(
    arm: str,
    arms: Arms,
    curves: Mapping[str, list[Judged]] | None,
    spending: Spending,
    detect: float | None,
    shared: bool,
) -> Standing:
    """How an arm stands where all have spent equally much of one thing."""
    first = next(iter(arms))
    held_out = _figures(curves, (arm, first), spending, arms[first][0].state.goals, detect, shared)
    best, goals = (_maxima(arms[name], spending.moments(name)) for name in (arm, first))
    maxima = tuple(curve[-1] for curve in best)
    others = held_out is not None and arm != first
    return Standing(
        picked=None if held_out is None else held_out.pick.mean(),
        picks=None if held_out is None else held_out.pick.values(),
        half=None if held_out is None else held_out.half,
        area=None if held_out is None else held_out.area.mean(),
        maximum=_mean(maxima),
        maxima=maxima,
        reached=_reached(arms[arm], spending.spent[arm], [curve[-1] for curve in goals], spending.equal),
        curve=tuple(_mean([curve[i] for curve in best]) for i in range(len(spending.grid))),
        held_out_curve=None if held_out is None else held_out.curve,
        gain=held_out.pick.gain() if held_out is not None and others else None,
        area_gain=held_out.area.gain() if held_out is not None and others else None,
    )


def _figures(
    curves: Mapping[str, list[Judged]] | None,
    names: tuple[str, str],
    spending: Spending,
    goals: Sequence[TaskWeight],
    detect: float | None,
    shared: bool,
) -> _HeldOut | None:
    if curves is None:
        return None
    # A moment more than a search has trials would be one of another search: each is cut to its own curve.
    own, others = (
        [j.at(moments) for j, moments in zip(curves[name], spending.moments(name), strict=True)] for name in names
    )
    points = len(spending.grid)

    def figure(of: Callable[[Any], Any]) -> _Figure:
        return _Figure(_figured((own, others), of), goals, detect, shared)

    return _HeldOut(
        pick=figure(lambda x: x[-1]),
        area=figure(lambda x: x[1:].mean(axis=0) if points > 1 else x[0]),
        half=figure(itemgetter((points - 1) // 2)).mean(),
        curve=tuple(_mean(figure(itemgetter(at)).values()) for at in range(points)),
    )


def _figured(
    both: tuple[Sequence[Judged], Sequence[Judged]], of: Callable[[Any], Any] = lambda x: x
) -> tuple[BySeed, BySeed]:
    """What items gave at one moment, or what `of` makes of moments by items."""
    first, second = (
        [{t: ItemValues(of(x).tolist(), judged.draws.get(t)) for t, x in judged.items.items()} for judged in each]
        for each in both
    )
    return first, second


def _arm(
    by: Mapping[Axis, Standing], test: _Figure | None, searches: Sequence[Searched], *, is_first: bool
) -> ArmResult:
    ledgers = [ledger_of(s.state) for s in searches]
    training = Training.total(one for s in searches for one in s.training)
    seeds = len(searches)
    return ArmResult(
        by=by,
        test=None if test is None else test.mean(),
        tests=None if test is None else test.values(),
        test_gain=None if is_first or test is None else test.gain(),
        trials=sum(len(s.state.trials) for s in searches) / seeds,
        train_rows=None if training.rows is None else training.rows / seeds,
        train_tokens=None if training.tokens is None else training.tokens / seeds,
        train_flops=None if training.flops is None else training.flops / seeds,
        wall_s=sum(ledger.wall_s for ledger in ledgers) / seeds,
        reused=sum(ledger.reused for ledger in ledgers) / seeds,
    )


def _maxima(searches: Sequence[Searched], moments: Sequence[Sequence[int]]) -> list[list[float]]:
    """By seed the best validation objective at each point."""
    curves = [_known(best_so_far(s.state, len(s.state.trials))) for s in searches]
    return [[curve[k] for k in at] for curve, at in zip(curves, moments, strict=True)]


def _reached(
    searches: Sequence[Searched], spent: Sequence[Sequence[float]], goals: Sequence[float], equal: float
) -> tuple[float | None, ...]:
    """By seed, what was spent when the goal was reached: how soon an arm gets there in the same world."""
    curves = [_known(best_so_far(s.state, len(s.state.trials))) for s in searches]
    return tuple(
        next((x for value, x in zip(curve, each, strict=True) if value >= goal and x <= equal), None)
        for curve, each, goal in zip(curves, spent, goals, strict=True)
    )


def _mean(values: Sequence[float], items: Any = None) -> SeedMean:
    from lamdagent.results.statistics import paired

    found = paired(values, [0.0] * len(values), items)
    return SeedMean(mean=found.mean, low=found.low, high=found.high)


def _known(curve: list[float | None]) -> list[float]:
    """A curve without gaps: a search begins by scoring its base models.

    Raises:
        UserError: one that has not, so that nothing is known of its beginning.
    """
    known = [v for v in curve if v is not None]
    if len(known) < len(curve):
        raise UserError("a search has no scored base model yet, so it cannot be compared. Run the same command again.")
    return known


def _saved(arms: Arms) -> tuple[int, int, float]:
    """How many models were made, how many of them another study had made already, and about what seconds that saved."""
    made = [
        (t.choice.action.id, t.outcome.cost.wall_s)
        for searches in arms.values()
        for searched in searches
        for t in searched.state.trials
        if isinstance(t.outcome, Made)
    ]
    longest: dict[str, float] = {}
    for action_id, wall_s in made:
        longest[action_id] = max(longest.get(action_id, 0.0), wall_s)
    saved_s = sum(longest[action_id] - wall_s for action_id, wall_s in made)
    return len(made), len(made) - len(longest), round(saved_s, 1)
