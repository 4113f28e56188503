"""From an answer to right or wrong."""

from __future__ import annotations

from collections.abc import Sequence

from lamdagent.core.numerals import last_values

METRICS = {
    "exact_match": "the answer, spaces around it left out, is one of the accepted strings",
    "contains": "the answer contains one of the accepted strings, in any case",
    "number": "the last number in the answer equals the last number of an accepted string: 1,234.50, 3/4, .5, 1e5, "
    "3 x 10^5, \u22123, $5 are read, and 50% is both 50 and 0.5",
    "acc": "the right choice has the highest log-likelihood",
    "acc_norm": "the right choice has the highest log-likelihood per byte",
}
CHOICE_METRICS = ("acc", "acc_norm")
VERSIONS = {"number": 2, "acc_norm": 2}
"""Of those that once gave other values: part of a task's id."""


def is_right(metric: str, answer: str, accepted: Sequence[str]) -> bool:
    """Whether a generated answer counts as right under a generation metric of METRICS."""
    answer = answer.strip()
    if metric == "exact_match":
        return answer in {a.strip() for a in accepted}
    if metric == "contains":
        return any(text in answer.lower() for a in accepted if (text := a.strip().lower()))
    return any(not last_values(answer).isdisjoint(last_values(a)) for a in accepted)


def why_unanswerable(metric: str, accepted: Sequence[str]) -> str | None:
    """Why no answer, or any answer, could be right; None where the accepted strings can be told from others."""
    if metric == "contains" and (empty := [a for a in accepted if not a.strip()]):
        return f"every answer contains the accepted string {empty[0]!r}"
    if metric == "number" and (unread := [a for a in accepted if not last_values(a)]):
        return f"no number can be read in the accepted string {unread[0][:80]!r}"
    return None


def likeliest(metric: str, choices: Sequence[str], loglikelihoods: Sequence[float]) -> int:
    """The choice that a choice metric of METRICS takes for the answer; the first among equals."""
    sizes = [len(c.encode()) if metric == "acc_norm" else 1 for c in choices]
    per_size = [logs / size for logs, size in zip(loglikelihoods, sizes, strict=True)]
    return max(range(len(choices)), key=per_size.__getitem__)
