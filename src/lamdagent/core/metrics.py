"""From a generated answer to right or wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence

METRICS = {
    "exact_match": "the answer, spaces around it left out, is one of the accepted strings",
    "contains": "the answer contains one of the accepted strings, in any case",
    "number": "the last number in the answer equals the last number of an accepted string",
    "acc": "the right choice has the highest log-likelihood",
    "acc_norm": "the right choice has the highest log-likelihood per byte",
}


CHOICE_METRICS = ("acc", "acc_norm")


NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def is_right(metric: str, answer: str, accepted: Sequence[str]) -> bool:
    """Whether a generated answer counts as right under a generation metric of METRICS."""
    answer = answer.strip()
    if metric == "exact_match":
        return answer in {a.strip() for a in accepted}
    if metric == "contains":
        return any(a.strip().lower() in answer.lower() for a in accepted)
    found = last_number(answer)
    return found is not None and found in {last_number(a) for a in accepted}


def last_number(text: str) -> float | None:
    """The last number in a text, thousands separators left out; None where there is none."""
    numbers = NUMBER.findall(text)
    return float(numbers[-1].replace(",", "")) if numbers else None
