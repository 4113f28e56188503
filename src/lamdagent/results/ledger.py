"""What the trials of a study took: rows and tokens trained on, floating-point operations, seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lamdagent.core.format import duration, trained_on
from lamdagent.core.state import State
from lamdagent.core.training import Training
from lamdagent.core.types import Cost

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The sum over the trials that ended. Rows, tokens and FLOPs are in full also where a model was found already made."""

    trials: int
    """How many trials ended."""
    unknown: int
    """Of how many it is not known what they trained on: their worker died, or an older release ran them."""
    reused: int
    """How many found their object already made under the same root."""
    train_rows: int | None
    """Rows trained on, each as often as it was seen, as far as they are known; null where they are of no trial."""
    train_tokens: int | None
    """Tokens trained on, those of prompts too, without padding; likewise."""
    train_flops: float | None
    """6 times parameters times tokens, of forward and backward passes; likewise."""
    wall_s: float
    """Seconds of all trials, added up; of trials that ran side by side too."""
    phases_s: Mapping[str, float]
    """The same by what was done."""
    gpu_s: float | None
    """Seconds in which jobs held a GPU, those that scored the provided models too; 0 without one; null where not known."""
    saved_s: float
    """Seconds that it took to make what was found already made."""

    @property
    def words(self) -> str:
        """`3 trials trained on 1,200 rows, 40,000 tokens: 3.2e+10 FLOPs (6 x parameters x tokens)`, and seconds."""
        known = Training(rows=self.train_rows, tokens=self.train_tokens, flops=self.train_flops)
        unknown = f" (not known of {self.unknown})" if self.unknown else ""
        phases = ", ".join(f"{phase} {duration(s)}" for phase, s in self.phases_s.items())
        gpu = f"; GPU {duration(self.gpu_s)}" if self.gpu_s else ""
        found = f"; {self.reused} found already made ({duration(self.saved_s)} saved)" if self.reused else ""
        return f"{self.trials} trials {trained_on(known)}{unknown}\nin {duration(self.wall_s)} ({phases}){gpu}{found}"


def ledger_of(state: State) -> Ledger:
    """What the trials of a study took."""
    costs = [trial.outcome.cost for trial in state.trials if trial.outcome is not None]
    phases_s: dict[str, float] = {}
    for cost in costs:
        for phase, seconds in cost.phases_s.items():
            phases_s[phase] = round(phases_s.get(phase, 0.0) + seconds, 3)
    return Ledger(
        trials=len(costs),
        unknown=sum(cost.training.rows is None for cost in costs),
        reused=sum(cost.reused for cost in costs),
        train_rows=_sum(costs, lambda cost: cost.training.rows),
        train_tokens=_sum(costs, lambda cost: cost.training.tokens),
        train_flops=_sum(costs, lambda cost: cost.training.flops),
        wall_s=round(sum(cost.wall_s for cost in costs), 3),
        phases_s=phases_s,
        gpu_s=round(state.gpu_s, 3) if any(cost.gpu_s is not None for cost in costs) else None,
        saved_s=round(sum(cost.saved_s for cost in costs), 3),
    )


def _sum(costs: Sequence[Cost], of: Callable[[Cost], N | None]) -> N | None:
    known = [n for n in map(of, costs) if n is not None]
    return sum(known, start=type(known[0])()) if known else None
