"""What a signature is, and every threshold with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from lamdagent.results.result import Facts, Section, Table

Verdict = Literal["ok", "watch", "alarm", "unknown"]
VERDICTS: tuple[Verdict, ...] = ("unknown", "ok", "watch", "alarm")

FEWEST_TRIALS = 10
"""With fewer, no verdict: of 9 even draws from two action types, 8 or more are of one kind in 4 % of cases."""
FEWEST_USES = 3
"""Gains of an object are held against those of others from so many on each side; two have hardly a spread."""
FEWEST_TESTED = 5
"""Tested models from which on a trend is fitted; three points lie on a line too easily."""
LONG_ENOUGH = 20
"""Ended trials from which on a plateau can be told: with 19, even no gain at all is not rarer than 1 in 20."""

RARE = 0.01
"""How improbable a choice must be under even draws, over all that is looked at within a signature (Bonferroni): with
several signatures a search without faults is then accused in a few percent of cases."""
NOISE = 0.05
"""One-sided error of each single comparison of scores, divided by the number of tasks compared."""

NARROW, COLLAPSED = 0.75, 1 / 3
"""Entropy as a share of an even draw's, below which choices are to be watched, or alarming. Some concentration is what
a search is for; a third is less than two of seven datasets in effect, or 29 of 30 choices of one of two action types."""
STUCK = 0.25
"""Share of choices that go on with the pattern of the five before, from which on repeats are alarming."""
FAVOURED = 1.5
"""How many times as often as by even draws an object must be chosen to be called favoured."""
FALLBACK_WATCH, FALLBACK_ALARM = 0.05, 0.2
"""Share of trials chosen by the fallback, by the lower end of its interval: at a fifth, the study is no study of the
agent any more."""
REFUSED = 0.2
"""Share of unusable answers, by the lower end of its interval, from which on tokens are being wasted."""
FORGETFUL = 0.5
"""Share of the trials with an action type, dataset or setting that lose a skill, from which on that is alarming."""
STANDSTILL_WATCH, STANDSTILL_ALARM = 0.2, 0.05
"""How improbable so long a wait for an improvement must be in a search whose results have no trend. The alarm sounds
where nothing was gained in 20 trials, or nothing after the first two of 60."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number over `n` cases; `stderr` or [`low`, `high`], 95 %, where there is an error to give.

    `range_of` says what the interval is of: the value itself, or what even draws from the same action spaces give.
    """

    label: str
    """What was measured."""
    value: float
    """What it gave."""
    n: int
    """Over how many cases."""
    stderr: float | None = None
    """Its standard error."""
    low: float | None = None
    """Lower end of its 95 % interval."""
    high: float | None = None
    """Upper end."""
    range_of: Literal["value", "even draws"] = "value"
    """What the interval is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One known way of going wrong, as found in a study.

    `measured` says in words what `figures` say in numbers; with the verdict `unknown` it says what is missing.
    """

    name: str
    """What it is called."""
    verdict: Verdict
    """How grave it is; `unknown` where it cannot be judged yet."""
    measured: str
    """What was found, in words."""
    advice: str
    """What would help."""
    figures: tuple[Figure, ...] = ()
    """The same in numbers."""


def unknown(name: str, missing: str, advice: str, figures: Sequence[Figure] = ()) -> Signature:
    """A signature that cannot be judged, and what is missing."""
    return Signature(name=name, verdict="unknown", measured=missing, advice=advice, figures=tuple(figures))


def too_few(name: str, n: int, what: str, trials: int, study: str, least: int = FEWEST_TRIALS) -> Signature:
    """A signature that needs more trials than there are, `n` of which count."""
    missing = f"{n} {what} are too few to tell; {least} are needed."
    return unknown(name, missing, f"More trials: lamdagent run {study} --trials {trials + least - n}.")


def sentence(text: str) -> str:
    """A text that begins with a capital letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The gravest of some verdicts; `ok` of none."""
    return max(verdicts, key=VERDICTS.index, default="ok")


def share(label: str, k: int, n: int) -> Figure:
    """`k` of `n` as a share with its exact 95 % interval (Clopper and Pearson 1934)."""
    from scipy import stats

    interval = stats.binomtest(k, n).proportion_ci()
    return Figure(label=label, value=k / n, n=n, low=float(interval.low), high=float(interval.high))


def signature_table(signatures: Iterable[Signature]) -> Table:
    """The signatures with their verdicts, one a row."""
    rows = [[s.name, s.verdict, s.measured, s.advice] for s in signatures]
    return Table(heads=["signature", "verdict", "measured", "advice"], rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Every signature of a study, in the order in which a search goes through them."""

    study: str
    """The study's name."""
    signatures: tuple[Signature, ...]
    """The signatures."""

    @property
    def title(self) -> str:
        return f"diagnosis of {self.study}"

    def sections(self) -> list[Section]:
        advised = [(s, "" if s.verdict == "ok" else f"\n-> {s.advice}") for s in self.signatures]
        return [
            Section(parts=[Facts(rows=[(f"{s.verdict.upper():8} {s.name}", s.measured + tail) for s, tail in advised])])
        ]
