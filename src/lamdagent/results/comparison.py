"""What a comparison of ways of searching found.

A search is judged by its pick on items that did not pick it. The score that picked it is the maximum of many, and grows
with the number of models though none is better.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lamdagent.core.format import change_with_interval, p_value, with_interval
from lamdagent.results.result import Part, Picture, Section, Table

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
class ArmResult:
    """What the searches of one arm reached."""

    picked: SeedMean | None
    """The objective of the best model by validation, on items that did not pick it; null where items are not kept."""
    picks: tuple[float, ...] | None
    """The same by seed."""
    test: SeedMean | None
    """Its objective on the sealed test; null unless `--test` was given."""
    tests: tuple[float, ...] | None
    """The same by seed."""
    area: SeedMean | None
    """The mean of `held_out_curve` over all trials: higher where good models come sooner."""
    maximum: SeedMean
    """The best validation objective at the end: a maximum, so it grows with the number of models by luck alone."""
    maxima: tuple[float, ...]
    """The same by seed."""
    reached: tuple[int | None, ...]
    """By seed, the trial by which the first arm's validation maximum was reached; null where it was not."""
    curve: tuple[SeedMean, ...]
    """The validation maximum, before the first trial and after each; intervals over seeds."""
    held_out_curve: tuple[SeedMean, ...] | None
    """The pick by then, on items that did not pick it; intervals over seeds."""
    gain: ArmGain | None = None
    """`picked` against the first arm's; null for the first arm."""
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
            f"{len(self.seeds)} seeds of {self.trials} trials; against {self.against}",
            self._reached(),
            *([gains] if (gains := self._gains()).rows else []),
            "\n".join(self._covered()),
            Picture(name="curves", caption="The pick on items that did not pick it, and the validation maximum (dotted)",
                    data=self),
            f"{self.shared} of {self.made} models were found already made ({self.saved_s:.0f} s saved)",
        ]  # fmt: skip
        return [Section(parts=parts)]

    def _reached(self) -> Table:
        tested = any(arm.test is not None for arm in self.arms.values())
        heads = [
            "arm",
            *(["pick, sealed test"] if tested else []),
            "pick, held-out items",
            "area",
            "validation maximum",
        ]
        rows = [
            [
                name,
                *([_words(arm.test)] if tested else []),
                *map(_words, (arm.picked, arm.area, arm.maximum)),
                median(arm.reached),
            ]
            for name, arm in self.arms.items()
        ]
        return Table(heads=[*heads, f"trials to {self.against}'s maximum (median)"], rows=rows)

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
            for name, what, gain in all_gains(self.arms)
        ]
        untested = any(gain.t_p is None for *_, gain in all_gains(self.arms))
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


def median(reached: Sequence[int | None]) -> str:
    """The median trial, those that never got there counting as later than all; `-` where it lies among these."""
    middle = statistics.median(math.inf if r is None else r for r in reached)
    return "-" if math.isinf(middle) else f"{middle:g}"


def all_gains(arms: Mapping[str, ArmResult]) -> list[tuple[str, str, ArmGain]]:
    return [
        (name, what, gain)
        for name, arm in arms.items()
        for what, gain in (("test", arm.test_gain), ("pick", arm.gain), ("area", arm.area_gain))
        if gain is not None
    ]


def adjusted(arms: Mapping[str, ArmResult]) -> dict[str, ArmResult]:
    """The arms, each gain with its p adjusted for all."""
    from lamdagent.results.statistics import holm

    tested = [gain for *_, gain in all_gains(arms) if gain.t_p is not None]
    adjusted = dict(zip(map(id, tested), holm([gain.t_p or 0.0 for gain in tested]), strict=True))

    def with_holm(gain: ArmGain | None) -> ArmGain | None:
        return None if gain is None else replace(gain, holm_p=adjusted.get(id(gain)))

    return {
        name: replace(
            arm, gain=with_holm(arm.gain), area_gain=with_holm(arm.area_gain), test_gain=with_holm(arm.test_gain)
        )
        for name, arm in arms.items()
    }
