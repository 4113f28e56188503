"""The user's own rows as an lm-eval task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamdagent.core.metrics import CHOICE_METRICS, is_right


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
