"""Does one way of searching beat another: the same budget and seeds for all, held against the first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lamdagent.core.errors import UserError
from lamdagent.core.format import change_with_interval, p_value, with_interval
from lamdagent.core.protocols import Observer
from lamdagent.core.state import State
from lamdagent.core.types import Made
from lamdagent.results.history import best_so_far
from lamdagent.results.result import Part, Picture, Section, Table
from lamdagent.study.config import Study

Arms = Mapping[str, Sequence[State]]
"""The states of every arm, one per seed, seeds in the same order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedMean:
    """A mean over seeds."""

    mean: float
    """The mean."""
    low: float | None
    """Lower end of its 95 % interval (Student's t); null for one seed, or where all are equal."""
    high: float | None
    """Upper end."""

    @property
    def words(self) -> str:
        return with_interval(self.mean, self.low, self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmGain:
    """An arm less the first arm, paired by seed."""

    mean: float
    """The mean difference."""
    low: float | None
    """Lower end of its 95 % interval (Student's t); null where the differences have no spread."""
    high: float | None
    """Upper end."""
    t_p: float | None
    """p-value of the paired t-test."""
    wilcoxon_p: float | None
    """p-value of the Wilcoxon signed-rank test."""
    effect: float | None
    """Cohen's d_z: the mean in standard deviations of the differences."""
    n: int
    """How many seeds."""
    seeds_needed: int | None
    """How many seeds would show a gap of this size with 80 % power."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """What the searches of one arm reached."""

    final: SeedMean
    """The best validation objective at the end."""
    finals: tuple[float, ...]
    """The same by seed."""
    area: SeedMean
    """The mean of the best so far over all trials: higher where good models come sooner."""
    reached: tuple[int | None, ...]
    """By seed, the trial by which the first arm's final best was reached; null where it was not."""
    curve: tuple[SeedMean, ...]
    """The best so far, before the first trial and after each."""
    test: SeedMean | None
    """The sealed-test objective of each search's best model; null unless `--test` was given."""
    gain: ArmGain | None = None
    """The final best against the first arm's; null for the first arm."""
    area_gain: ArmGain | None = None
    """The area against the first arm's."""
    test_gain: ArmGain | None = None
    """The test against the first arm's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Ways of searching held against the first of them, with the same budget and the same seeds."""

    study: str
    """The study's name."""
    trials: int
    """The budget of every search."""
    seeds: tuple[int, ...]
    """The seeds, the same for every arm."""
    against: str
    """The arm that the others are held against."""
    arms: Mapping[str, ArmResult]
    """The arms by name."""
    made: int
    """How many models all searches made together."""
    shared: int
    """How many of them another search had made already."""
    saved_s: float
    """About how many seconds that saved."""

    @property
    def title(self) -> str:
        return f"comparison of {self.study}"

    def sections(self) -> list[Section]:
        parts: list[Part] = [
            f"{len(self.seeds)} seeds of {self.trials} trials; against {self.against}",
            self._reached(),
            *([gains] if (gains := self._gains()).rows else []),
            Picture(name="curves", caption="The best so far, with 95 % intervals over seeds", data=self),
            f"{self.shared} of {self.made} models were found already made ({self.saved_s:.0f} s saved)",
        ]
        return [Section(parts=parts)]

    def _reached(self) -> Table:
        tested = any(arm.test is not None for arm in self.arms.values())
        heads = ["arm", "best", "area", f"trials to {self.against}'s best (median)"]
        rows = [
            [name, arm.final.words, arm.area.words, _median(arm.reached), *([arm.test.words] if arm.test else [])]
            for name, arm in self.arms.items()
        ]
        return Table(heads=[*heads, *(["sealed test of the best"] if tested else [])], rows=rows)

    def _gains(self) -> Table:
        heads = ["arm", "in", "gain (95 %)", "paired t p", "Wilcoxon p", "effect", "seeds for this gap (80 % power)"]
        found = [
            (name, what, gain)
            for name, arm in self.arms.items()
            for what, gain in (("best", arm.gain), ("area", arm.area_gain), ("test", arm.test_gain))
            if gain is not None
        ]
        rows = [
            [
                name,
                what,
                change_with_interval(gain.mean, gain.low, gain.high),
                p_value(gain.t_p),
                p_value(gain.wilcoxon_p),
                "-" if gain.effect is None else f"{gain.effect:+.2f}",
                str(gain.seeds_needed or "-"),
            ]
            for name, what, gain in found
        ]
        untested = any(gain.t_p is None for *_, gain in found)
        return Table(heads=heads, rows=rows, notes=["-: one seed, or no spread, tests nothing"] if untested else [])


def _median(reached: Sequence[int | None]) -> str:
    """The median trial, or `-` where half of the seeds or more never got there."""
    known = sorted(r for r in reached if r is not None)
    return str(known[len(known) // 2]) if len(known) * 2 > len(reached) else "-"


def compare(study: str, arms: Arms, trials: int, tested: Mapping[str, Sequence[float]] | None = None) -> Comparison:
    """Curves, areas, trials to reach what the first arm reaches, and paired tests against the first arm.

    Args:
        tested: the sealed-test objective of each arm's best model, per seed, where the test was opened.
    """
    first = next(iter(arms))
    curves = {arm: [_known(best_so_far(state, trials)) for state in states] for arm, states in arms.items()}
    made, shared, saved_s = _saved(arms)
    return Comparison(
        study=study,
        trials=trials,
        seeds=tuple(state.seed for state in arms[first]),
        against=first,
        arms={
            arm: _arm(found, curves[first], is_first=arm == first, tests=_tests(tested, arm, first))
            for arm, found in curves.items()
        },
        made=made,
        shared=shared,
        saved_s=saved_s,
    )


def _arm(
    curves: list[list[float]],
    first: list[list[float]],
    *,
    is_first: bool,
    tests: tuple[Sequence[float], Sequence[float]] | None,
) -> ArmResult:
    # What the first arm reaches is taken by seed: the question is how soon another gets there in the same world.
    goals, finals, areas = [c[-1] for c in first], [c[-1] for c in curves], [_area(c) for c in curves]
    reached = [next((i for i, v in enumerate(c) if v >= goal), None) for c, goal in zip(curves, goals, strict=True)]
    return ArmResult(
        final=_mean(finals),
        finals=tuple(finals),
        area=_mean(areas),
        reached=tuple(reached),
        curve=tuple(_mean([c[i] for c in curves]) for i in range(len(curves[0]))),
        test=None if tests is None else _mean(tests[0]),
        gain=None if is_first else _gain(finals, goals),
        area_gain=None if is_first else _gain(areas, [_area(c) for c in first]),
        test_gain=None if is_first or tests is None else _gain(*tests),
    )


def _area(curve: Sequence[float]) -> float:
    return sum(curve[1:]) / (len(curve) - 1)


def _gain(a: Sequence[float], b: Sequence[float]) -> ArmGain:
    from lamdagent.results.statistics import paired, seeds_needed

    found = paired(a, b)
    needed = seeds_needed(a, b, found.mean) if found.mean else None
    return ArmGain(
        mean=found.mean, low=found.low, high=found.high, t_p=found.t_p, wilcoxon_p=found.wilcoxon_p,
        effect=found.effect, n=found.n, seeds_needed=needed,
    )  # fmt: skip


def _mean(values: Sequence[float]) -> SeedMean:
    from lamdagent.results.statistics import paired

    found = paired(values, [0.0] * len(values))
    return SeedMean(mean=found.mean, low=found.low, high=found.high)


def _tests(
    tested: Mapping[str, Sequence[float]] | None, arm: str, first: str
) -> tuple[Sequence[float], Sequence[float]] | None:
    return None if tested is None else (tested[arm], tested[first])


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
        for states in arms.values()
        for state in states
        for t in state.trials
        if isinstance(t.outcome, Made)
    ]
    longest: dict[str, float] = {}
    for action_id, wall_s in made:
        longest[action_id] = max(longest.get(action_id, 0.0), wall_s)
    saved_s = sum(longest[action_id] - wall_s for action_id, wall_s in made)
    return len(made), len(made) - len(longest), round(saved_s, 1)


Arm = list[str]
"""What an arm changes in the study file, as `key=value` texts."""


def run_arms(
    whole: Study,
    base: list[str],
    options: list[str],
    grid: dict[str, Arm],
    seeds: int,
    test: bool,
    observers_of: Callable[[Study], Sequence[Observer]],
) -> tuple[dict[str, list[State]], dict[str, list[float]]]:
    """Every search run to its end: states by arm, and the sealed-test objective of each one's best where asked for.

    Args:
        observers_of: who is told of the progress of a search.
    """
    from lamdagent.results.rescore import tested_leaders
    from lamdagent.study.config import load_study
    from lamdagent.study.run import run_loaded

    states: dict[str, list[State]] = {arm: [] for arm in grid}
    tested: dict[str, list[float]] = {arm: [] for arm in grid}
    for seed in range(seeds):  # seed by seed, so that a comparison which is stopped early is even
        for arm, changes in grid.items():
            own = [*base, f"seed={seed}", f"study={whole.body.study}.{arm}.{seed}", *_known_to(changes, options)]
            study = load_study(whole.file, own)
            print(f"{arm}, seed {seed}", file=sys.stderr, flush=True)
            states[arm].append(run_loaded(study, observers=observers_of(study)))
            if test:
                (best, *_) = tested_leaders(study, 1).models
                assert best.test is not None, "a tested leader has a test score"
                tested[arm].append(best.test.value)
    return states, tested


def _known_to(changes: Arm, options: list[str]) -> list[str]:
    """An arm's overrides with the dotted options that its policy knows."""
    from lamdagent.study import registry

    kind = next((c.partition("=")[2] for c in changes if c.startswith("policy.kind=")), None)
    fields = registry.find("policies", kind.strip('"')).Config.model_fields if kind else {}
    return [*changes, *(o for o in options if not o.startswith("policy.") or o[7:].partition("=")[0] in fields)]
