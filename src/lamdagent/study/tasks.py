"""The tasks of a study file: checked in the driver, loaded in a worker."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from lamdagent.core.errors import ConfigError, DataError, nearest
from lamdagent.core.metrics import CHOICE_METRICS, METRICS
from lamdagent.core.types import Split, content_id
from lamdagent.evaluation.tasks.lm_eval import LmEvalTask
from lamdagent.evaluation.tasks.rows import lm_eval_task
from lamdagent.objects.datasets.formats import task_items
from lamdagent.objects.datasets.readers import SLICE, Source, read_rows
from lamdagent.study.config import Study, TaskEntry


def check_tasks(study: Study) -> None:
    """Names, metrics and rows of every task.

    Raises:
        ConfigError: an unknown lm-eval task, or a metric that the rows cannot have.
        DataError: a task's own rows cannot be used.
    """
    for i, entry in enumerate(study.body.tasks):
        where = study.document.where(("tasks", i))
        if entry.path is None:
            _check_named(study, entry, where)
        elif task_source(study, entry).file is not None:
            try:
                own_sides(study, entry)
            except (ConfigError, DataError) as error:
                raise type(error)(f"{where}: {error}") from error


def own_sides(study: Study, entry: TaskEntry) -> dict[Split, list[dict[str, Any]]]:
    """The items of both sides of a task of own rows; the test side is empty where the study file names none.

    Raises:
        ConfigError: the metric does not go with the rows.
        DataError: an item stands on both sides.
    """
    validation = own_items(study, entry)
    if entry.test is None:
        return {"validation": validation, "test": []}
    test = own_items(study, entry, "test")
    asked = {json.dumps(item, sort_keys=True) for item in validation}
    if shared := [item for item in test if json.dumps(item, sort_keys=True) in asked]:
        raise DataError(
            f"task {entry.task!r}: {len(shared)} of {len(test)} test items are validation items too, such as "
            f"{shared[0]['prompt'][:80]!r}. A sealed test must hold other items: take them out of `path` or `test`."
        )
    return {"validation": validation, "test": test}


def own_items(study: Study, entry: TaskEntry, split: Split = "validation") -> list[dict[str, Any]]:
    """A task's own rows of one side as items.

    Raises:
        ConfigError: the metric does not go with the rows.
    """
    items = list(task_items(read_rows(task_source(study, entry, split)), entry.columns))
    metric = own_metric(entry, items)
    if metric not in METRICS:
        raise ConfigError(f"task {entry.task!r}: own rows have no metric {metric!r}. {nearest(metric, METRICS)}")
    if any(("choices" in item) != (metric in CHOICE_METRICS) for item in items):
        has = "take rows with choices" if metric in CHOICE_METRICS else "take rows without choices"
        raise ConfigError(f"task {entry.task!r}: metric {metric} is one of those that {has}")
    return items


def own_metric(entry: TaskEntry, items: list[dict[str, Any]]) -> str:
    """The metric of own rows: `acc` for choices and `exact_match` for the rest, where none is given."""
    return entry.metric or ("acc" if "choices" in items[0] else "exact_match")


def task_source(study: Study, entry: TaskEntry, split: Split = "validation") -> Source:
    """Where a side's own rows come from: `test` names another split of the same path, or a path of its own."""
    source = Source(path=str(entry.path), folder=study.home, name=entry.name, split=entry.split)
    if split == "validation":
        return source
    other = dataclasses.replace(source, path=str(entry.test), split="train")
    named_split = SLICE.match(str(entry.test)) is not None and other.file is None
    return dataclasses.replace(source, split=str(entry.test)) if named_split else other


def task_manager(study: Study) -> Any:
    """lm-eval's index of tasks, the study's own folder included. Takes seconds the first time."""
    folder = study.body.include_path
    return _task_manager(None if folder is None else str(study.home / Path(folder).expanduser()))


@lru_cache(maxsize=1)
def _task_manager(include_path: str | None) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=include_path)


def _check_named(study: Study, entry: TaskEntry, where: str) -> None:
    known = task_manager(study).all_tasks
    if entry.task not in known:
        raise ConfigError(
            f"{where}: lm-eval has no task {entry.task!r}. {_few(nearest(entry.task, known))} "
            "All names: python -m lm_eval ls tasks. For your own rows give a path."
        )


def _few(hint: str) -> str:
    return hint.partition(" Known:")[0] if hint.startswith("Did") else ""


NOT_IN_IDS = {"weight", "max_score", "path", "limit", "test"}


def task_of(study: Study, entry: TaskEntry) -> LmEvalTask:
    batch_size = study.body.execution.batch_size
    common: dict[str, Any] = {"name": entry.task, "limit": entry.limit, "chat": entry.chat, "batch_size": batch_size}
    # What only says which items are asked, or how a score counts, gives no item another result.
    key = entry.model_dump(mode="json", exclude_defaults=True, exclude=NOT_IN_IDS)
    if entry.path is None:
        named = content_id(["named", key, _lm_eval_version()])
        return LmEvalTask(
            ids={"validation": named, "test": named},
            load=lambda split: _named(study, entry),
            metric=str(entry.metric),
            divide=True,
            **common,
        )
    sides = own_sides(study, entry)
    metric = own_metric(entry, sides["validation"])
    return LmEvalTask(
        ids={split: content_id(["rows", key, metric, items]) for split, items in sides.items()},
        load=lambda split: _own(entry, sides[split], metric),
        metric=metric,
        divide=False,
        **common,
    )


def _own(entry: TaskEntry, items: Sequence[Mapping[str, Any]], metric: str) -> Mapping[str, Any]:
    if not items:
        return {}
    made = lm_eval_task(
        entry.task,
        items,
        metric=metric,
        max_new_tokens=entry.max_new_tokens,
        until=entry.until,
        target_delimiter=entry.target_delimiter,
    )
    made.set_config("num_fewshot", 0)
    return {entry.task: made}


def _named(study: Study, entry: TaskEntry) -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = task_manager(study).load([entry.task])["tasks"]
    for task in loaded.values():
        if entry.num_fewshot is not None:
            task.set_config("num_fewshot", entry.num_fewshot)
        elif task.get_config("num_fewshot") is None:
            task.set_config("num_fewshot", 0)
        task.set_fewshot_seed(seed=0)
    return loaded


def _lm_eval_version() -> str:
    from importlib.metadata import version

    return version("lm_eval")
