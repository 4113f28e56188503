"""What training takes: rows, tokens, floating-point operations. Known of a trial that ended, foreseen of others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What an action trains on. None is not known; 0 is known: nothing is trained.

    `rows` are rows of datasets, each as often as it is seen. `tokens` are all that go through the model, those of prompts
    too, without padding. `flops` are 6 times parameters times tokens, of a forward and a backward pass through all
    parameters (Kaplan et al. 2020, arXiv 2001.08361); adapters are counted alike, though they take less.
    """

    rows: int | None = None
    tokens: int | None = None
    flops: float | None = None

    def or_else(self, other: Training) -> Training:
        """What is known of this one, and of `other` what is not."""
        return Training(
            rows=other.rows if self.rows is None else self.rows,
            tokens=other.tokens if self.tokens is None else self.tokens,
            flops=other.flops if self.flops is None else self.flops,
        )

    @staticmethod
    def total(each: Iterable[Training]) -> Training:
        """The sum; None of what is not known of one of them."""
        found = tuple(each)
        rows, tokens = [one.rows for one in found], [one.tokens for one in found]
        flops = [one.flops for one in found]
        return Training(
            rows=None if None in rows else sum(n or 0 for n in rows),
            tokens=None if None in tokens else sum(n or 0 for n in tokens),
            flops=None if None in flops else sum(n or 0.0 for n in flops),
        )


NO_TRAINING = Training(rows=0, tokens=0, flops=0.0)


def training_flops(parameters: int | None, tokens: int | None) -> float | None:
    """6 times parameters times tokens; None where one is not known."""
    return None if parameters is None or tokens is None else 6.0 * parameters * tokens
