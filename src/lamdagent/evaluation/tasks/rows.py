"""The user's own rows as a task: read once, checked, and asked through lm-eval."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field

from lamdagent.core.config import Parts, PathText
from lamdagent.core.errors import ConfigError, DataError, nearest
from lamdagent.core.metrics import CHOICE_METRICS, METRICS, VERSIONS, is_right, likeliest, why_unanswerable
from lamdagent.core.types import Split, content_id
from lamdagent.evaluation.tasks.config import NOT_IN_IDS, TaskConfig
from lamdagent.evaluation.tasks.lm_eval import AskedConfig, LmEvalTask, engine
from lamdagent.objects.datasets.formats import task_items
from lamdagent.objects.datasets.readers import SLICE, Source, read_rows


class RowsConfig(AskedConfig):
    """The user's own rows: prompt and answer, or prompt, choices and answer."""

    path: PathText = Field(description="the rows of the validation side: a local file or a hub id")
    metric: str | None = Field(None, description="see below; unset: acc with choices, else exact_match")
    name: str | None = Field(None, description="configuration of a hub dataset")
    split: str = Field("train", description="split or slice of it")
    test: str | None = Field(
        None, description="the sealed test: a path, or another split of the same path such as train[200:]"
    )
    columns: dict[str, str] = Field({}, description="wanted column: column or Jinja template")
    max_new_tokens: int = Field(64, ge=1, description="length of a generated answer")
    target_delimiter: str = Field("", description="text between the prompt and a choice")
    until: list[str] = Field([], description="texts that end an answer, besides EOS")

    def source(self, parts: Parts) -> Rows:
        return Rows(config=self, home=parts.path("."))


class RowsTask(LmEvalTask):
    """The same as any task of lm-eval, but for where its items come from."""

    Config: type[TaskConfig] = RowsConfig


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The items of a task of own rows. `home` is where relative paths start from.

    Raises (whatever must read the rows):
        ConfigError: the metric does not go with the rows.
        DataError: a row cannot be used, or an item stands on both sides.
    """

    config: RowsConfig
    home: Path
    divided = False
    parts_count_alike = False

    @property
    def has_test(self) -> bool:
        return self.config.test is not None

    @property
    def metric(self) -> str:
        """`acc` for choices and `exact_match` for the rest, where none is given."""
        return self._metric_of(self._sides["validation"])

    @property
    def cluster(self) -> str | None:
        return None if self.config.cluster is None else "cluster"

    def text_of(self, document: Mapping[str, Any]) -> str:
        """The prompt, with the choices: another task may ask the same rows by another metric, or spell answers otherwise."""
        return json.dumps([document["prompt"], document.get("choices")])

    @cached_property
    def ids(self) -> Mapping[Split, str]:
        left_out = {*NOT_IN_IDS, "path", "test"}  # the items themselves are hashed, not where they lie
        key = self.config.model_dump(mode="json", exclude_defaults=True, exclude=left_out)
        metric = self.metric if self.metric not in VERSIONS else f"{self.metric}@{VERSIONS[self.metric]}"
        return {split: content_id(["rows", engine(), key, metric, items]) for split, items in self._sides.items()}

    def load(self, split: Split) -> Mapping[str, Any]:
        if not (items := self._sides[split]):
            return {}
        config = self.config
        made = lm_eval_task(
            config.task, items, metric=self.metric, max_new_tokens=config.max_new_tokens, until=config.until,
            target_delimiter=config.target_delimiter,
        )  # fmt: skip
        made.set_config("num_fewshot", 0)
        return {config.task: made}

    def check(self) -> None:
        if self._source("validation").file is not None:
            _ = self._sides

    def to_fetch(self) -> str | None:
        return None if self._source("validation").file is not None else f"rows {self.config.path}"

    def about(self, limit: int | None) -> str:
        if self._source("validation").file is None:
            return "rows of the hub"
        count = len(self._sides["validation"])
        return f"{min(count, limit or count)} of {count} rows"

    @cached_property
    def _sides(self) -> dict[Split, list[dict[str, Any]]]:
        """The items of both sides; the test side is empty where the study file names none."""
        validation = self._read("validation")
        if self.config.test is None:
            return {"validation": validation, "test": []}
        test = self._read("test")
        asked = {json.dumps(item, sort_keys=True) for item in validation}
        if shared := [item for item in test if json.dumps(item, sort_keys=True) in asked]:
            raise DataError(
                f"task {self.config.task!r}: {len(shared)} of {len(test)} test items are validation items too, such as "
                f"{shared[0]['prompt'][:80]!r}. A sealed test must hold other items: take them out of `path` or `test`."
            )
        return {"validation": validation, "test": test}

    def _read(self, split: Split) -> list[dict[str, Any]]:
        items = list(task_items(read_rows(self._source(split)), self.config.columns, self.config.cluster))
        metric = self._metric_of(items)
        named = f"task {self.config.task!r}"
        if metric not in METRICS:
            raise ConfigError(f"{named}: own rows have no metric {metric!r}. {nearest(metric, METRICS)}")
        if any(("choices" in item) != (metric in CHOICE_METRICS) for item in items):
            has = "take rows with choices" if metric in CHOICE_METRICS else "take rows without choices"
            raise ConfigError(f"{named}: metric {metric} is one of those that {has}")
        for number, item in enumerate(items, 1):
            if metric not in CHOICE_METRICS and (reason := why_unanswerable(metric, item["answer"], self.config.until)):
                raise DataError(f"{named}: {split} item {number} ({item['prompt'][:60]!r}), metric {metric}: {reason}.")
        return items

    def _metric_of(self, items: Sequence[Mapping[str, Any]]) -> str:
        return self.config.metric or ("acc" if "choices" in items[0] else "exact_match")

    def _source(self, split: Split) -> Source:
        return side_source(self.config, self.home, split)


def side_source(config: Any, home: Path, split: Split) -> Source:
    """Where a side's rows come from: `test` names another split of the same path, or a path of its own.

    Args:
        config: of a task with path, name, split and test.
    """
    source = Source(path=config.path, folder=home, name=config.name, split=config.split)
    if split == "validation":
        return source
    given = str(config.test)
    other = dataclasses.replace(source, path=given, split="train")
    named_split = SLICE.match(given) is not None and other.file is None
    return dataclasses.replace(source, split=given) if named_split else other


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
            "process_results": lambda item, results: {
                metric: float(likeliest(metric, item["choices"], [logs for logs, _ in results]) == item["answer"])
            },
            "metric_list": [{"metric": metric, "aggregation": "mean", "higher_is_better": True}],
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
