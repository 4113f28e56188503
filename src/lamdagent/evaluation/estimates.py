"""What statistics give: estimates with their errors, as plain values that need no numpy to be read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One model's objective less another's, its 95 % interval, and the two-sided p-value of no difference."""

    value: float
    stderr: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """The leader's objective as measured, and less the luck of having been picked, with the error that remains and its
    95 % interval.

    `raw` is its row's, on its own items. `luck` is what being picked added, on the same items. `corrected` is `raw` less
    `luck`, unless other models were asked more items: then these say how hard its own are, too.
    """

    raw: float
    luck: float
    corrected: float
    stderr: float
    low: float
    high: float
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """How well `size` items a task rank the models as they truly are: the median tau with its 95 % interval, and how often
    the best model is first with the 95 % interval of that, which comes from knowing true scores by their items only."""

    size: int
    tau: float
    tau_low: float
    tau_high: float
    best_first: float
    best_first_low: float
    best_first_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Kendall's tau-b of two scorings of `n` pipelines, in [-1, 1], with its 95 % interval."""

    tau: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The mean of `n` paired differences, its 95 % interval, a t-test of no difference, Cohen's d_z as `effect`,
    and the standard deviation of the differences.

    What the differences do not allow to compute is None.
    """

    mean: float
    low: float | None
    high: float | None
    t_p: float | None
    effect: float | None
    sd: float | None
    n: int
