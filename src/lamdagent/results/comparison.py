"""What a comparison of ways of searching found.

A search is judged by its pick on items that did not pick it. The score that picked it is the maximum of many, and grows
with the number of models though none is better.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lamdagent.core.format import change_with_interval, duration, p_value, with_interval
from lamdagent.results.result import Part, Picture, Section, Table
from lamdagent.results.spending import NAMES, Axis, amount, words

WILCOXON_SEEDS = 6
"""With fewer seeds the signed-rank test cannot give a p below .05."""


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
    """An arm less the first arm, paired by seed and, where all seeds share their items, by item."""

    mean: float
    """The mean difference."""
    low: float | None
    """Lower end of its 95 % interval (Student's t); null where the differences have no spread."""
    high: float | None
    """Upper end."""
    t_p: float | None
    """p-value of the paired t-test, over the same seeds and items as the interval."""
    holm_p: float | None
    """The same adjusted for all arms and figures of this comparison (Holm)."""
    wilcoxon_p: float | None
    """p-value of the Wilcoxon signed-rank test: over seeds alone, on these items; 0.0625 at the least with 5 seeds."""
    effect: float | None
    """Cohen's d_z: the mean in standard deviations of the differences."""
    n: int
    """How many seeds."""
    seeds_needed: int | None
    """How many seeds would show the gap of `--detect` with 80 % power; null without it, or where none are enough."""
    seeds_low: int | None
    """Lower end of the 95 % interval of that."""
    seeds_high: int | None
    """Upper end; null where no number is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the searches of an arm stand where all searches have spent equally much of one thing."""

    picked: SeedMean | None
    """The objective of the best model by validation, on items that did not pick it; null where items are not kept."""
    picks: tuple[float, ...] | None
    """The same by seed."""
    half: SeedMean | None
    """The same where half of it was spent."""
    area: SeedMean | None
    """The mean of `held_out_curve` over all that was spent: higher where good models come sooner."""
    maximum: SeedMean
    """The best validation objective: a maximum, so it grows with the number of models by luck alone."""
    maxima: tuple[float, ...]
    """The same by seed."""
    reached: tuple[float | None, ...]
    """By seed, what was spent when the first arm's validation maximum was reached; null where it was not."""
    curve: tuple[SeedMean, ...]
    """The validation maximum at each point of the comparison's `grid`; intervals over seeds."""
    held_out_curve: tuple[SeedMean, ...] | None
    """The pick by then, on items that did not pick it; intervals over seeds."""
    gain: ArmGain | None = None
    """`picked` against the first arm's; null for the first arm."""
    area_gain: ArmGain | None = None
    """The area against the first arm's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """What the searches of one arm reached, and what they spent."""

    by: Mapping[Axis, Standing]
    """How they stand at equal training `tokens`, `rows`, `seconds` and `trials`."""
    test: SeedMean | None
    """The objective of the pick, as the comparison is `by`, on the sealed test; null unless `--test` was given."""
    tests: tuple[float, ...] | None
    """The same by seed."""
    test_gain: ArmGain | None
    """The test against the first arm's; null for the first arm."""
    trials: float
    """Trials of a search, a mean over seeds, as are the next."""
    train_rows: float | None
    """Rows trained on, in full also where a model was found already made; null where not known of all trials."""
    train_tokens: float | None
    """Tokens trained on; likewise."""
    train_flops: float | None
    """6 times parameters times tokens; likewise."""
    wall_s: float
    """Seconds of its trials, without what was saved by models that were found already made."""
    reused: float
    """Trials whose models were found already made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvesBy:
    """The curves of a comparison over one thing that searches spent."""

    comparison: Comparison
    axis: Axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Ways of searching held against the first of them with the same seeds, where all have spent equally much."""

    study: str
    """The study's name."""
    by: Axis
    """What is equal in the first statement: training `tokens`; `rows` where tokens are not known; else `trials`."""
    equal: Mapping[Axis, float]
    """How much all searches have spent, those apart that ended by themselves: the least that one of them spent in all."""
    grid: Mapping[Axis, tuple[float, ...]]
    """The points of the curves."""
    seeds: tuple[int, ...]
    """The seeds, the same for every arm."""
    against: str
    """The arm that the others are held against."""
    shared_items: bool | None
    """Whether all seeds were scored on one set of items; null where items are not kept."""
    detect: float | None
    """The gap of `--detect`."""
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
            f"{len(self.seeds)} seeds; against {self.against}, where each search has spent "
            f"{words(self.by, self.equal[self.by])}",
            self._reached(),
            *([gains] if (gains := self._gains()).rows else []),
            *([others] if (others := self._elsewhere()).rows else []),
            self._spent(),
            "\n".join(self._covered()),
            *(Picture(name="curves" if axis == self.by else f"curves-{axis}",
                      caption=f"The pick on items that did not pick it, the validation maximum (dotted), by {NAMES[axis]}",
                      data=CurvesBy(comparison=self, axis=axis)) for axis in self.equal),
            f"{self.shared} of {self.made} models were found already made ({self.saved_s:.0f} s saved)",
        ]  # fmt: skip
        return [Section(parts=parts)]

    def _reached(self) -> Table:
        tested = any(arm.test is not None for arm in self.arms.values())
        heads = [
            "arm",
            *(["pick, sealed test"] if tested else []),
            "pick, held-out items",
            "at half of it",
            "area",
            "validation maximum",
            f"{NAMES[self.by]} to {self.against}'s maximum (median)",
        ]
        rows = [
            [
                name,
                *([_words(arm.test)] if tested else []),
                *map(_words, (here.picked, here.half, here.area, here.maximum)),
                median(here.reached, self.by),
            ]
            for name, arm in self.arms.items()
            for here in [arm.by[self.by]]
        ]
        return Table(heads=heads, rows=rows)

    def _elsewhere(self) -> Table:
        """The same pick where something else is equal: with few trials a policy of large ones does well, say."""
        rows = [
            [words(axis, equal), name, _words(arm.by[axis].picked),
             *(["-", "-"] if gain is None else [change_with_interval(gain.mean, gain.low, gain.high), p_value(gain.t_p)])]
            for axis, equal in self.equal.items()
            if axis != self.by
            for name, arm in self.arms.items()
            for gain in [arm.by[axis].gain]
            if arm.by[axis].picked is not None
        ]  # fmt: skip
        return Table(heads=["at equal", "arm", "pick, held-out items", "gain (95 %)", "p"], rows=rows)

    def _spent(self) -> Table:
        rows = [
            [name, f"{arm.trials:g}", *("-" if n is None else f"{n:,.0f}" for n in (arm.train_rows, arm.train_tokens)),
             "-" if arm.train_flops is None else f"{arm.train_flops:.2g}", duration(arm.wall_s), f"{arm.reused:g}"]
            for name, arm in self.arms.items()
        ]  # fmt: skip
        heads = ["arm", "trials", "training rows", "training tokens", "FLOPs", "took", "found already made"]
        notes = ["all of a search, a mean over seeds; FLOPs are 6 x parameters x tokens"]
        return Table(heads=heads, rows=rows, notes=notes)

    def _gains(self) -> Table:
        heads = ["arm", "in", "gain (95 %)", "p", "p (Holm)", "Wilcoxon p", "effect"]
        heads += [] if self.detect is None else [f"seeds for {self.detect:g} (80 % power)"]
        rows = [
            [
                name,
                what,
                change_with_interval(gain.mean, gain.low, gain.high),
                *map(p_value, (gain.t_p, gain.holm_p, gain.wilcoxon_p)),
                "-" if gain.effect is None else f"{gain.effect:+.2f}",
                *([] if self.detect is None else [_seeds(gain)]),
            ]
            for name, what, gain in all_gains(self.arms, self.by)
        ]
        untested = any(gain.t_p is None for *_, gain in all_gains(self.arms, self.by))
        notes = ["-: one seed, or no spread, tests nothing"] if untested else []
        notes += [f"p (Holm): adjusted for the {len(rows)} comparisons of this table"] if len(rows) > 1 else []
        if (n := len(self.seeds)) < WILCOXON_SEEDS and n > 1:
            notes.append(f"Wilcoxon's p is {2.0 ** (1 - n):.3f} at the least with {n} seeds; below .05 from 6 seeds on")
        return Table(heads=heads, rows=rows, notes=notes)

    def _covered(self) -> list[str]:
        """What the figures cover, and what not."""
        if self.shared_items is None:
            return [
                "items are not kept, so the only figure is the validation maximum, which grows with the number of "
                "models by luck alone: it is no comparison. --test opens the sealed test for each search's pick"
            ]
        items = (
            "intervals and p cover seeds and items, all seeds sharing one set of items; curves and Wilcoxon's p cover "
            "seeds alone"
            if self.shared_items
            else "intervals and p cover seeds and items, each seed having its own"
        )
        return [
            "pick: the best model by validation, the base model too; held-out items had no say in picking it, and a "
            "search that went on from what validation liked is free of luck on the sealed test alone",
            "validation maximum: the score that picked it, which grows with the number of models by luck alone",
            items,
        ]


def _words(mean: SeedMean | None) -> str:
    return "-" if mean is None else mean.words


def _seeds(gain: ArmGain) -> str:
    if gain.t_p is None:
        return "-"
    if gain.seeds_needed is None:
        return "no number: more items"
    return f"{gain.seeds_needed} ({gain.seeds_low or '-'} to {gain.seeds_high or 'any number'})"


def median(reached: Sequence[float | None], axis: Axis = "trials") -> str:
    """The median amount, those that never got there counting as later than all; `-` where it lies among these."""
    middle = statistics.median(math.inf if r is None else r for r in reached)
    return "-" if math.isinf(middle) else f"{middle:g}" if axis == "trials" else amount(axis, middle)


def all_gains(arms: Mapping[str, ArmResult], by: Axis) -> list[tuple[str, str, ArmGain]]:
    return [
        (name, what, gain)
        for name, arm in arms.items()
        for what, gain in (("test", arm.test_gain), ("pick", arm.by[by].gain), ("area", arm.by[by].area_gain))
        if gain is not None
    ]


def adjusted(arms: Mapping[str, ArmResult], by: Axis) -> dict[str, ArmResult]:
    """The arms, each gain of the first statement with its p adjusted for all of these."""
    from lamdagent.results.statistics import holm

    tested = [gain for *_, gain in all_gains(arms, by) if gain.t_p is not None]
    adjusted = dict(zip(map(id, tested), holm([gain.t_p or 0.0 for gain in tested]), strict=True))

    def with_holm(gain: ArmGain | None) -> ArmGain | None:
        return None if gain is None else replace(gain, holm_p=adjusted.get(id(gain)))

    return {
        name: replace(
            arm,
            test_gain=with_holm(arm.test_gain),
            by={
                **arm.by,
                by: replace(arm.by[by], gain=with_holm(arm.by[by].gain), area_gain=with_holm(arm.by[by].area_gain)),
            },
        )
        for name, arm in arms.items()
    }
