"""How many validation items would rank the best models of a study reliably."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lamdagent.core.format import percent
from lamdagent.evaluation.estimates import Stability
from lamdagent.results.result import Picture, Section, Table

ENOUGH = 0.9
"""How often the best model must be first, by the lower end of the interval, for a size to be called enough."""

COVERS = (
    "intervals cover what true scores may be given the items, all models, and the new items that a set of that size would "
    "have; the models are those that were made"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationSizes:
    """Rank stability by validation size, and what to do."""

    study: str
    """The study's name."""
    top: int
    """How many of the best models were ranked."""
    stored: int
    """How many items a task has been asked; sizes beyond are an extrapolation."""
    sizes: tuple[Stability, ...]
    """How well each size ranks."""
    contenders: int
    """How many models cannot be told from the first on the stored items, the first among them."""
    advice: str
    """What follows, in words."""

    @property
    def title(self) -> str:
        return f"validation sizes of {self.study}"

    def sections(self) -> list[Section]:
        rows = [[str(r.size), f"{r.tau:.2f} ({r.tau_low:.2f} to {r.tau_high:.2f})", _share(r)] for r in self.sizes]
        table = Table(heads=["items per task", "rank agreement (95 %)", "the best is first (95 %)"], rows=rows)
        picture = Picture(name="sizes", caption="How well a validation set of each size ranks", data=self)
        return [Section(parts=[table, picture, self.advice, COVERS])]


def validation_sizes(
    study: str, rows: Sequence[Stability], *, top: int, stored: int, contenders: int
) -> ValidationSizes:
    """The stability of a ranking by size, with advice; smallest size first."""
    return ValidationSizes(
        study=study,
        top=top,
        stored=stored,
        sizes=tuple(rows),
        contenders=contenders,
        advice=_advice(rows, stored, contenders),
    )


def _advice(rows: Sequence[Stability], stored: int, contenders: int) -> str:
    enough = next((row for row in rows if row.best_first_low >= ENOUGH), None)
    note = f" (sizes beyond the {stored} items asked are an extrapolation)" if rows[-1].size > stored else ""
    last = f"{rows[-1].size} items per task put the best model first in {_share(rows[-1])} of cases"
    if enough is not None:
        return f"{enough.size} items per task put the best model first in {_share(enough)} of cases{note}."
    if rows[-1].best_first_high < ENOUGH:
        return (
            f"Even {last}: its lead is too small for validation to see; take any of the {contenders} contenders{note}."
        )
    return (
        f"How many are enough cannot be told from these items: {last}{note}. {contenders - 1} of the other models cannot be "
        "told from the first; ask more items, or take any of them."
    )


def _share(row: Stability) -> str:
    return f"{percent(row.best_first)} ({percent(row.best_first_low)} to {percent(row.best_first_high)})"
