"""Does one way of searching beat another: the same budget and seeds for all, held against the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from lamdagent.core.errors import UserError
from lamdagent.core.types import Made, TaskWeight
from lamdagent.results.comparison import ArmGain, ArmResult, Comparison, SeedMean, adjusted
from lamdagent.results.history import best_so_far
from lamdagent.results.searches import Judged, Searched

Arms = Mapping[str, Sequence[Searched]]
"""The searches of every arm, one per seed, seeds in the same order."""


def compare(study: str, arms: Arms, trials: int, detect: float | None = None) -> Comparison:
    """Picks on items that did not pick them, areas, and paired tests against the first arm.

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
    found = {
        arm: _arm(
            (searches, arms[first]),
            _figures(curves, arm, first, goals, detect, curves_shared, trials),
            None if tests is None else _Figure((tests[arm], tests[first]), goals, detect, tests_shared),
            is_first=arm == first,
            trials=trials,
        )
        for arm, searches in arms.items()
    }
    return Comparison(
        study=study,
        trials=trials,
        seeds=tuple(s.state.seed for s in arms[first]),
        against=first,
        shared_items=None if curves is None else curves_shared,
        detect=detect,
        arms=adjusted(found),
        made=made,
        shared=shared,
        saved_s=saved_s,
    )


BySeed = Sequence[Mapping[str, Any]]
"""For every seed what items gave, an array by task whose last axis is items."""


def _common(judged: Mapping[str, Sequence[Judged | None]]) -> tuple[dict[str, BySeed] | None, bool]:
    """The items that all searches have, and whether they are the same for all seeds; None where one has none."""
    known = [j for each in judged.values() for j in each if j is not None]
    if len(known) < sum(map(len, judged.values())):
        return None, False
    size = {task: min(j.items[task].shape[-1] for j in known) for task in known[0].items}
    cut: dict[str, BySeed] = {
        arm: [{task: j.items[task][..., :n] for task, n in size.items()} for j in each if j is not None]
        for arm, each in judged.items()
    }
    return cut, len({j.item_set for j in known}) == 1


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
        return tuple(float(sum(scale * items[t].mean() for t, scale in scales.items())) for items in self.both[place])

    def mean(self) -> SeedMean:
        return _mean(self.values(), self._item_error(self.both[0]))

    def gain(self) -> ArmGain:
        from lamdagent.results.statistics import paired, signed_rank_p

        gaps = [{task: a[task] - b[task] for task in a} for a, b in zip(*self.both, strict=True)]
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
        import numpy as np

        from lamdagent.results.statistics import item_error

        if not self.shared:
            return None
        return item_error({task: np.stack([items[task] for items in by_seed]) for task in by_seed[0]}, self.goals)


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
    curve: tuple[SeedMean, ...]


def _figures(
    curves: Mapping[str, BySeed] | None,
    arm: str,
    first: str,
    goals: Sequence[TaskWeight],
    detect: float | None,
    shared: bool,
    trials: int,
) -> _HeldOut | None:
    if curves is None:
        return None
    own, others = ([{t: _full(x, trials) for t, x in items.items()} for items in curves[name]] for name in (arm, first))

    def figure(of: Callable[[Any], Any]) -> _Figure:
        both = tuple([{t: of(x) for t, x in items.items()} for items in each] for each in (own, others))
        return _Figure((both[0], both[1]), goals, detect, shared)

    return _HeldOut(
        pick=figure(lambda x: x[-1]),
        area=figure(lambda x: x[1:].mean(axis=0)),
        curve=tuple(_mean(figure(itemgetter(at)).values()) for at in range(trials + 1)),
    )


def _full(moment_KN: Any, trials: int) -> Any:
    """As many moments as the budget has: a search that ended before keeps its pick."""
    import numpy as np

    return moment_KN[np.minimum(np.arange(trials + 1), len(moment_KN) - 1)]


def _arm(
    searches: tuple[Sequence[Searched], Sequence[Searched]],
    held_out: _HeldOut | None,
    test: _Figure | None,
    *,
    is_first: bool,
    trials: int,
) -> ArmResult:
    curves, first = ([_known(best_so_far(s.state, trials)) for s in each] for each in searches)
    # What the first arm reaches is taken by seed: the question is how soon another gets there in the same world.
    reached = [next((i for i, v in enumerate(c) if v >= goal[-1]), None) for c, goal in zip(curves, first, strict=True)]
    maxima = tuple(c[-1] for c in curves)
    return ArmResult(
        picked=None if held_out is None else held_out.pick.mean(),
        picks=None if held_out is None else held_out.pick.values(),
        test=None if test is None else test.mean(),
        tests=None if test is None else test.values(),
        area=None if held_out is None else held_out.area.mean(),
        maximum=_mean(maxima),
        maxima=maxima,
        reached=tuple(reached),
        curve=tuple(_mean([c[i] for c in curves]) for i in range(trials + 1)),
        held_out_curve=None if held_out is None else held_out.curve,
        gain=None if is_first or held_out is None else held_out.pick.gain(),
        area_gain=None if is_first or held_out is None else held_out.area.gain(),
        test_gain=None if is_first or test is None else test.gain(),
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
