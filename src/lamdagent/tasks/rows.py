"""The user's own rows as an lm-eval task."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

METRICS = {
    "exact_match": "the answer, spaces around it left out, is one of the accepted strings",
    "contains": "the answer contains one of the accepted strings, in any case",
    "number": "the last number in the answer equals the last number of an accepted string",
    "acc": "the right choice has the highest log-likelihood",
    "acc_norm": "the right choice has the highest log-likelihood per byte",
}
CHOICE_METRICS = ("acc", "acc_norm")
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def lm_eval_task(
    name: str,
    items: Sequence[Mapping[str, Any]],
    *,
    metric: str,
    max_new_tokens: int,
    until: Sequence[str],
    target_delimiter: str,
) -> Any:
    """An lm-eval task object over items of `{prompt, answer}` or `{prompt, choices, answer}`."""
    from datasets import Dataset, DatasetDict
    from lm_eval.api.task import ConfigurableTask

    splits = DatasetDict({"validation": Dataset.from_list([dict(item) for item in items])})
    config: dict[str, Any] = {
        "task": name,
        "custom_dataset": lambda **_: splits,
        "validation_split": "validation",
        "doc_to_text": lambda item: item["prompt"],
        "target_delimiter": target_delimiter,
        "metadata": {"version": 1},
    }
    if metric in CHOICE_METRICS:
        config |= {
            "output_type": "multiple_choice",
            "doc_to_target": lambda item: item["answer"],
            "doc_to_choice": lambda item: item["choices"],
            "metric_list": [{"metric": metric}],
        }
    else:
        config |= {
            "output_type": "generate_until",
            "doc_to_target": lambda item: item["answer"][0],
            "process_results": lambda item, results: {metric: float(is_right(metric, results[0], item["answer"]))},
            "generation_kwargs": {"until": list(until), "max_gen_toks": max_new_tokens, "do_sample": False},
            "metric_list": [{"metric": metric, "aggregation": "mean", "higher_is_better": True}],
        }
    return ConfigurableTask(config=config)


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
