"""From an answer to right or wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lamdagent.core.calls import calls_in, same_calls
from lamdagent.core.numerals import last_values

METRICS = {
    "exact_match": "the answer, spaces around it left out, is one of the accepted strings",
    "contains": "the answer contains one of the accepted strings, in any case",
    "number": "the last number in the answer equals the last number of an accepted string: 1,234.50, 3/4, .5, 1e5, "
    "3 x 10^5, \u22123, $5 are read, and 50% is both 50 and 0.5",
    "call": "the function calls in the answer are those of an accepted string, by name and arguments in any order: "
    'f(a=1, b="x"), {"name": "f", "arguments": {"a": 1}}, lists of these, and in accepted strings BFCL\'s alternatives, '
    '[{"f": {"a": [1, 2], "b": [""]}}], where a list holds what counts and a value that is a list needs a bracket more, '
    '{"f": {"a": [[1, 2]]}}; what stands before </think> is left out',
    "acc": "the right choice has the highest log-likelihood",
    "acc_norm": "the right choice has the highest log-likelihood per byte",
}
CHOICE_METRICS = ("acc", "acc_norm")
VERSIONS = {"number": 2, "acc_norm": 2, "call": 2}
"""Of those that once gave other values: part of a task's id."""


def is_right(metric: str, answer: str, accepted: Sequence[str]) -> bool:
    """Whether a generated answer counts as right under a generation metric of METRICS."""
    answer = answer.strip()
    if metric == "exact_match":
        return answer in {a.strip() for a in accepted}
    if metric == "contains":
        return any(text in answer.lower() for a in accepted if (text := a.strip().lower()))
    if metric == "call":
        answer = answer.rpartition("</think>")[2].strip()
        given = calls_in(answer)
        return answer in {a.strip() for a in accepted} or any(same_calls(given, calls_in(a)) for a in accepted)
    return any(not last_values(answer).isdisjoint(last_values(a)) for a in accepted)


def why_unanswerable(metric: str, accepted: Sequence[str], until: Sequence[str] = ()) -> str | None:
    """Why no answer, or any answer, could be right, or it is not clear which; None where the accepted strings can be told
    from others.

    Args:
        until: texts that end an answer and are no part of it.
    """
    if metric == "contains" and (empty := [a for a in accepted if not a.strip()]):
        return f"every answer contains the accepted string {empty[0]!r}"
    if metric == "number" and (unread := [a for a in accepted if not last_values(a)]):
        return f"no number can be read in the accepted string {unread[0][:80]!r}"
    if metric == "number" and (unclear := [a for a in accepted if UNCLEAR.fullmatch(a.strip())]):
        return f"the accepted string {unclear[0][:80]!r} has a decimal comma: write it with a point, as 12.5"
    if metric == "call" and (silent := [a for a in accepted if not calls_in(a)]):
        return f"no function call can be read in the accepted string {silent[0][:80]!r}"
    if metric not in ("number", "call") and until and all(any(stop in a.strip() for stop in until) for a in accepted):
        return f"an answer ends before it is the accepted string {accepted[0][:80]!r}, which holds a text of `until`"
    return None


UNCLEAR = re.compile(r"[-+\u2212]?[$\u20ac\u00a3]?\d+,(\d{1,2}|\d{4,})\s?[%$\u20ac\u00a3]?")
"""A decimal comma by its looks, which the metric `number` takes for two numbers."""


def likeliest(metric: str, choices: Sequence[str], loglikelihoods: Sequence[float]) -> int:
    """The choice that a choice metric of METRICS takes for the answer; the first among equals."""
    sizes = [len(c.encode()) if metric == "acc_norm" else 1 for c in choices]
    per_size = [logs / size for logs, size in zip(loglikelihoods, sizes, strict=True)]
    return max(range(len(choices)), key=per_size.__getitem__)
