"""Does what was found cheaply hold: the best pipelines on more data, or on another base model, in the same order?

Source: LaMDAgent (arXiv 2505.21963, section 5) searches on little data or a small model and scales the best pipelines
up; it finds that gaps of more than 5 points hold and gaps of less than 3 may flip.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lamdagent.core.format import change_interval, recipe, scored
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State
from lamdagent.core.types import ObjectId, ObjectiveValue, TaskWeight
from lamdagent.evaluation.estimates import Agreement
from lamdagent.evaluation.ranking import ItemsById, items_of
from lamdagent.results.rerun import Rerun
from lamdagent.results.result import Part, Picture, Section, Table

BANDS = ((0.0, 0.03), (0.03, 0.05), (0.05, None))
"""Gaps of the objective, in the paper's bands: below 3 points, 3 to 5, 5 and more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledPipeline:
    """A pipeline of the search, and what it gave in each replay."""

    name: str
    """The name of its model."""
    picked: Literal["top", "random"]
    """Whether it is one of the best, or was drawn."""
    how: str
    """How it was made, in one line."""
    original: ObjectiveValue | None
    """Its objective in the search."""
    replayed: Mapping[str, ObjectiveValue | None]
    """Its objective by replay, such as `2x`."""
    lost: Mapping[str, str]
    """By replay, why it has no score there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledBase:
    """A provided model in each replay."""

    original: ObjectiveValue | None
    """Its objective in the search."""
    replayed: Mapping[str, ObjectiveValue | None]
    """Its objective by replay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two pipelines, the better one in the search first. Intervals are paired, 95 %, null where items are not kept."""

    better: str
    """The one that led."""
    worse: str
    """The other."""
    gap: float
    """By how much it led."""
    low: float | None
    """Lower end of that."""
    high: float | None
    """Upper end."""
    replayed_gap: float
    """By how much it leads in the replay; below 0 where it trails."""
    replayed_low: float | None
    """Lower end of that."""
    replayed_high: float | None
    """Upper end."""
    flipped: bool
    """Whether the two changed places: both gaps are told from 0 (95 %, paired), one this way and one that."""
    reversed: bool
    """Whether they are the other way round as measured, which noise alone brings about for pairs that are close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledOrder:
    """How the order of the search was kept in one replay."""

    study: str
    """The derived study, which `show` reads."""
    agreement: Agreement | None
    """Kendall's tau-b as measured, with the 95 % interval of that of the true scores.

    Null where there is no order, or items are not kept.
    """
    pairs: tuple[Pair, ...]
    """Every two pipelines that have a score in both."""
    safe_gap: float | None
    """The smallest gap in the search from which on no pair is reversed as measured; null where the widest is."""

    @property
    def flips(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.pairs if pair.flipped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The pairs of all replays whose gap in the search lies between `low` and `high`."""

    low: float
    """Where it begins."""
    high: float | None
    """Where it ends; null has no end."""
    pairs: int
    """How many pairs there are; equal ones do not count."""
    flipped: int
    """How many of them changed places, as paired tests say."""
    reversed: int
    """How many are reversed as measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """The best pipelines done again at a larger scale, and whether their order holds."""

    study: str
    """The study's name."""
    goals: tuple[TaskWeight, ...]
    """The tasks of the objective with their weights."""
    pipelines: tuple[ScaledPipeline, ...]
    """The pipelines that were done again, best first."""
    base: Mapping[str, ScaledBase]
    """The provided models by name."""
    arms: Mapping[str, ScaledOrder]
    """Each replay by its label, such as `2x`."""
    safe_gap: float | None
    """The smallest gap from which on no pair changed places in any replay; null where there is none."""
    bands: tuple[Band, ...]
    """How many pairs changed places, by how far apart they were in the search."""

    @property
    def title(self) -> str:
        return f"scaling of {self.study}"

    def sections(self) -> list[Section]:
        parts: list[Part] = [self._table(), Picture(name="scale", caption="Objectives at each scale", data=self)]
        parts += [
            f"{row.name} has no score at {label}: {why}" for row in self.pipelines for label, why in row.lost.items()
        ]
        for label, arm in self.arms.items():
            parts += ["\n".join(_order(label, arm))]
        shown = [_band(band) for band in self.bands if band.pairs]
        if shown:
            parts.append(f"pairs that changed places over all, by their gap in the search: {'; '.join(shown)}")
        return [Section(parts=parts)]

    def _table(self) -> Table:
        rows = [
            [
                row.name if row.picked == "top" else f"{row.name} (random)",
                *map(scored, (row.original, *(row.replayed[label] for label in self.arms))),
                row.how,
            ]
            for row in self.pipelines
        ]
        rows += [
            [name, *map(scored, (row.original, *(row.replayed[label] for label in self.arms))), "as given"]
            for name, row in self.base.items()
        ]
        return Table(heads=["pipeline", "1x", *self.arms, "how"], rows=rows, last_is_extra=True)


def _order(label: str, arm: ScaledOrder) -> list[str]:
    found = arm.agreement
    if found is None:
        tau = "no rank agreement (fewer than two scored pipelines, all equal, or items not kept)"
    else:
        tau = f"rank agreement tau-b {found.tau:.2f} as measured, {found.low:.2f} to {found.high:.2f} of true scores (95 %)"
    lines = [f"{label}: {tau}; {len(arm.flips)} of {len(arm.pairs)} pairs changed places beyond noise"]
    lines.append(
        f"  {sum(p.reversed for p in arm.pairs)} are reversed as measured, which noise does to pairs that are close"
    )
    for pair in arm.flips:
        now = None if pair.replayed_low is None else -pair.replayed_low
        lines.append(
            f"  {pair.better} led {pair.worse} by {pair.gap:.3f}{_bracketed(pair.low, pair.high)}, now trails by "
            f"{-pair.replayed_gap:.3f}{_bracketed(None if pair.replayed_high is None else -pair.replayed_high, now)}"
        )
    if arm.pairs and arm.safe_gap is None:
        lines.append("  no gap was always kept: the widest one is reversed, or all are equal")
    elif arm.pairs:
        lines.append(f"  no pair that was {arm.safe_gap:.3f} apart or more is reversed")
    return lines


def _bracketed(low: float | None, high: float | None) -> str:
    return "" if low is None else f" ({change_interval(low, high)})"


def _band(band: Band) -> str:
    end = "and more" if band.high is None else f"to {band.high:g}"
    return f"of {band.low:g} {end}: {band.flipped} of {band.pairs} ({band.reversed} reversed as measured)"


def scaling(
    study: str,
    state: State,
    picked: Mapping[str, ObjectId],
    top: int,
    arms: Mapping[str, Rerun],
    artifacts: ArtifactStore,
) -> Scaling:
    """Hold replays against the search.

    Args:
        picked: the ids of the pipelines' models by name, the `top` best first.
        arms: the reruns by label, such as `2x`.
    """
    cheap = items_of(state.scores, picked.values(), artifacts)
    found = {label: _kept_order(state, picked, cheap, artifacts, arm) for label, arm in arms.items()}
    kept = [arm.safe_gap for arm in found.values()]
    gaps = [gap for gap in kept if gap is not None]
    return Scaling(
        study=study,
        goals=state.goals,
        pipelines=tuple(
            ScaledPipeline(
                name=name,
                picked="top" if place < top else "random",
                how=recipe(state, object_id),
                original=state.objective(object_id),
                replayed={label: _replayed(arm, name) for label, arm in arms.items()},
                lost={label: _why(arm, name) for label, arm in arms.items() if _replayed(arm, name) is None},
            )
            for place, (name, object_id) in enumerate(picked.items())
        ),
        base={
            obj.name: ScaledBase(
                original=state.objective(obj.id),
                replayed={label: _base(arm.state).get(obj.name) for label, arm in arms.items()},
            )
            for obj in state.of_kind("model")
            if obj.made_by is None
        },
        arms=found,
        safe_gap=max(gaps) if gaps and len(gaps) == len(kept) else None,
        bands=_bands([pair for arm in found.values() for pair in arm.pairs]),
    )


def _replayed(arm: Rerun, name: str) -> ObjectiveValue | None:
    return arm.state.objective(arm.status.ids[name]) if name in arm.status.ids else None


def _why(arm: Rerun, name: str) -> str:
    return arm.status.unreachable.get(name, "it was not done")


def _base(replay: State) -> dict[str, ObjectiveValue | None]:
    return {o.name: replay.objective(o.id) for o in replay.of_kind("model") if o.made_by is None}


def _kept_order(
    state: State, picked: Mapping[str, ObjectId], cheap: ItemsById, artifacts: ArtifactStore, arm: Rerun
) -> ScaledOrder:
    from lamdagent.results.statistics import safe_gap

    both = [n for n in picked if _replayed(arm, n) is not None and state.objective(picked[n]) is not None]
    ids = {n: arm.status.ids[n] for n in both}
    full = items_of(arm.state.scores, ids.values(), artifacts)
    before = {n: _value(state, picked[n]) for n in both}
    after = {n: _value(arm.state, ids[n]) for n in both}
    pairs = []
    for a, b in itertools.combinations(both, 2):
        better, worse = (b, a) if before[a] < before[b] else (a, b)
        gap, now = before[better] - before[worse], after[better] - after[worse]
        low, high = _interval(state, cheap, picked[better], picked[worse])
        replayed_low, replayed_high = _interval(state, full, ids[better], ids[worse])
        pairs.append(
            Pair(
                better=better, worse=worse, gap=gap, low=low, high=high, replayed_gap=now,
                replayed_low=replayed_low, replayed_high=replayed_high,
                flipped=told(low, high, replayed_low, replayed_high), reversed=gap * now < 0,
            )
        )  # fmt: skip
    return ScaledOrder(
        study=arm.study,
        agreement=_agreement(state, [picked[n] for n in both], list(ids.values()), cheap, full),
        pairs=tuple(pairs),
        safe_gap=safe_gap(list(before.values()), list(after.values())) if len(both) > 1 else None,
    )


def told(low: float | None, high: float | None, replayed_low: float | None, replayed_high: float | None) -> bool:
    """Whether the items tell that one gap is above 0 and the other below."""
    if low is None or high is None or replayed_low is None or replayed_high is None:
        return False
    return (low > 0 > replayed_high) or (high < 0 < replayed_low)


def _interval(state: State, items: ItemsById, a: ObjectId, b: ObjectId) -> tuple[float | None, float | None]:
    """The paired 95 % interval of a gap; nothing where the items are not kept, or too few."""
    from lamdagent.evaluation.statistics import difference

    if a not in items or b not in items:
        return None, None
    try:
        found = difference(items[a], items[b], state.goals, seed=state.seed)
    except ValueError:
        return None, None
    return found.low, found.high


def _agreement(
    state: State, before: Sequence[ObjectId], after: Sequence[ObjectId], cheap: ItemsById, full: ItemsById
) -> Agreement | None:
    from lamdagent.results.order import item_agreement

    if any(i not in cheap for i in before) or any(i not in full for i in after):
        return None
    try:
        return item_agreement([cheap[i] for i in before], [full[i] for i in after], state.goals, seed=state.seed)
    except ValueError:
        return None


def _bands(pairs: Iterable[Pair]) -> tuple[Band, ...]:
    rows = []
    apart = [pair for pair in pairs if pair.gap > 0]
    for low, high in BANDS:
        inside = [p for p in apart if p.gap >= low and (high is None or p.gap < high)]
        rows.append(
            Band(
                low=low,
                high=high,
                pairs=len(inside),
                flipped=sum(p.flipped for p in inside),
                reversed=sum(p.reversed for p in inside),
            )
        )
    return tuple(rows)


def _value(state: State, object_id: ObjectId) -> float:
    found = state.objective(object_id)
    assert found is not None
    return found.value
