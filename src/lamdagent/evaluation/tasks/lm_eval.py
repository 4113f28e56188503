"""Score models through lm-eval, in process, and keep what every item gave.

A side is what may be read: `validation` during the search, `test` when it is over. A task with both splits keeps
them; one with a single split is cut in two halves that never change. The order of items is fixed, so a smaller `limit`
scores a part of what a larger one scores, and all models are scored on the same items.
"""

from __future__ import annotations

import copy
import importlib.metadata
import json
import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field

from lamdagent.core.action_type import Context, Loaded
from lamdagent.core.audit import AuditContext, Finding
from lamdagent.core.config import Parts
from lamdagent.core.errors import ConfigError, DataError, nearest
from lamdagent.core.types import SIDES, Example, Object, Split, content_id
from lamdagent.evaluation.tasks.config import NOT_IN_IDS, TaskConfig
from lamdagent.evaluation.tasks.fewshot import with_examples_by_item
from lamdagent.evaluation.tasks.item_templates import bound_templates, errors_of
from lamdagent.evaluation.tasks.requests import example_of, right_answer
from lamdagent.evaluation.tasks.room import without_room
from lamdagent.evaluation.tasks.source import ItemSource, cluster_keys, shares
from lamdagent.evaluation.tasks.task_files import task_files_id
from lamdagent.evaluation.tasks.tokens import as_trained
from lamdagent.objects.artifacts import kept_values
from lamdagent.objects.durable import rename
from lamdagent.objects.reach import only_what_is_here

ITEM_ORDER = "lamdagent items"  # seed of the fixed order
PROMPTS_VERSION = 3  # goes up where the same task is asked in other words, which makes other scores


CLUSTER = (
    "what names the document, passage or talk that several items are on, such as passage_id; unset: each by itself"
)


class AskedConfig(TaskConfig):
    """The keys of every task that lm-eval asks."""

    chat: bool = Field(False, description="ask through the model's chat template")
    cluster: str | None = Field(None, description=CLUSTER)

    def source(self, parts: Parts) -> ItemSource:
        """Where its items come from."""
        raise NotImplementedError

    def arguments(self, parts: Parts) -> dict[str, Any]:
        return {
            "name": self.task,
            "source": self.source(parts),
            "limit": self.limit,
            "chat": self.chat,
            "batch_size": parts.batch_size,
        }


class LmEvalConfig(AskedConfig):
    """A task or group of lm-eval, by its name."""

    metric: str = Field(description="lm-eval's metric, or metric,filter; such as exact_match or acc")
    num_fewshot: int | None = Field(None, ge=0, description="examples in the prompt; unset: the task's own number")

    def source(self, parts: Parts) -> NamedItems:
        return NamedItems(config=self, include_path=parts.include_path)


@dataclass(frozen=True, kw_only=True)
class NamedItems:
    """The items of a task that lm-eval knows by name."""

    config: LmEvalConfig
    include_path: Path | None
    divided = True
    has_test = True  # its own test split, or half of its only one

    @property
    def metric(self) -> str:
        return self.config.metric

    @property
    def cluster(self) -> str | None:
        return self.config.cluster

    def text_of(self, document: Mapping[str, Any]) -> str:
        return json.dumps(document, sort_keys=True, default=repr)

    @property
    def parts_count_alike(self) -> bool:
        group = self._loaded["groups"].get(self.config.task)
        wanted = self.config.metric.partition(",")[0]
        listed = (group.aggregate_metric_list or ()) if group is not None else ()
        return any(one.metric == wanted and not one.weight_by_size for one in listed)

    @cached_property
    def _loaded(self) -> Mapping[str, Any]:
        with errors_of(self.config.task, only_what_is_here()):
            return dict(task_manager(self.include_path).load([self.config.task]))

    @cached_property
    def ids(self) -> Mapping[Split, str]:
        key = self.config.model_dump(mode="json", exclude_defaults=True, exclude=set(NOT_IN_IDS))
        files = task_files_id(self.config.task, task_manager(self.include_path).task_index, self.include_path)
        named = content_id(["named", engine(), key, files])
        return {"validation": named, "test": named}

    def load(self, split: Split) -> Mapping[str, Any]:
        loaded: Mapping[str, Any] = self._loaded["tasks"]
        for task in loaded.values():
            if self.config.num_fewshot is not None:
                task.set_config("num_fewshot", self.config.num_fewshot)
            elif task.get_config("num_fewshot") is None:
                task.set_config("num_fewshot", 0)
        return loaded

    def check(self) -> None:
        name, known = self.config.task, task_manager(self.include_path).all_tasks
        if name not in known:
            hint = nearest(name, known)
            near = hint.partition(" Known:")[0] + " " if hint.startswith("Did") else ""  # lm-eval knows thousands
            raise ConfigError(
                f"lm-eval has no task {name!r}. {near}All names: python -m lm_eval ls tasks. "
                "For your own rows give a path."
            )

    def to_fetch(self) -> str | None:
        return f"the data of lm-eval task {self.config.task}"

    def about(self, limit: int | None) -> str:
        return f"up to {limit} items" if limit else "all items of its validation side"


def engine() -> list[Any]:
    """What asks and scores items, in a form that ids cover."""
    return ["lm_eval", importlib.metadata.version("lm_eval"), PROMPTS_VERSION]


@lru_cache(maxsize=1)
def task_manager(include_path: Path | None) -> Any:
    """lm-eval's index of tasks, a folder of the user's included. Takes seconds the first time."""
    from lm_eval.tasks import TaskManager

    bound_templates()
    return TaskManager(include_path=None if include_path is None else str(include_path))


class LmEvalTask:
    """A task that lm-eval asks and scores.

    Args:
        limit: at most this many items a side; None is all.
        chat: ask through the model's chat template.
    """

    Config: type[TaskConfig] = LmEvalConfig
    kept_chars = 500  # of an answer

    def __init__(
        self,
        *,
        name: str,
        source: ItemSource,
        limit: int | None = None,
        chat: bool = False,
        batch_size: int | str = 16,
    ) -> None:
        self.name, self._source, self._limit = name, source, limit
        self._chat, self._batch_size = chat, batch_size
        self._sides: dict[Split, list[tuple[Any, int]]] = {}
        self._keys: dict[Split, list[str]] = {}

    @property
    def ids(self) -> Mapping[Split, str]:
        return self._source.ids

    @property
    def has_test(self) -> bool:
        return self._source.has_test

    def check(self) -> None:
        self._source.check()

    def to_fetch(self) -> str | None:
        return self._source.to_fetch()

    def about(self) -> str:
        return self._source.about(self._limit)

    def sizes(self) -> dict[Split, int]:
        """How many items each side has, `limit` applied. Loads the items.

        Raises:
            ConfigError: less is better in some tasks of a group, and more in others.
        """
        there = {side: len(self._drawn(side)) for side in SIDES}
        return {side: n if self._limit is None else min(n, self._limit) for side, n in there.items()}

    def values(self, model: Object, split: Split, ctx: Context, n: int | None = None) -> Sequence[float]:
        """See `Task`. What the model's folder holds of the first items is not asked again.

        Raises:
            ConfigError: the task gives no such metric, or one that is not a number per item.
            DataError: the task has no such side.
        """
        file = ctx.folder(model) / "scores" / f"{self.ids[split]}.{split}.json"
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"items": []}
        if "of" not in record:
            record |= {"task": self.name, "task_id": self.ids[split], "split": split, "metric": self._source.metric}
            record |= {"of": len(self._drawn(split)), **shares(self._source, self._drawn(split))}
        wanted = min(bound for bound in (n, self._limit, record["of"]) if bound is not None)
        if not record["of"]:
            raise DataError(f"task {self.name!r} has no {split} items; own rows take them from `test:`.")
        if (known := len(record["items"])) < wanted:
            loaded = ctx.models.load(model.id, ctx.weights(model))
            asked, keys = self._ask(loaded, self._drawn(split)[known:wanted], ctx), self._clusters(split)[known:wanted]
            record["items"] += [{**item, "cluster": key} for item, key in zip(asked, keys, strict=True)]
            _write(file, record)
        return kept_values(record, wanted)

    def _clusters(self, split: Split) -> list[str]:
        if split not in self._keys:
            self._keys[split] = cluster_keys(self.name, self._source, self._drawn(split))
        return self._keys[split]

    def documents(self, split: Split) -> Iterator[tuple[int, str, str]]:
        """Every item of a side in its order: its place, prompt and answer as texts."""
        for place, (task, index) in enumerate(self._drawn(split)):
            document = task.eval_docs[index]
            with errors_of(f"{task.config.task}, item {index}"):
                texts = str(task.doc_to_text(document)), right_answer(task, document)
            yield place, *texts

    def examples(self, n: int, loaded: Loaded) -> list[Example]:
        """The first validation items as what a made model is examined with: the very requests that scoring makes."""
        drawn = self._drawn("validation")[:n]
        lm = _watched(loaded, 1, None, self.name) if self._chat else None
        return [example_of(task, index, lm) for task, index in drawn]

    def audit(self, ctx: AuditContext) -> Iterator[Finding]:
        """Prompts that do not fit the models' context, answers that do not fit what is asked for, and a metric of which less
        is better."""
        drawn = self._drawn("validation")[: self._limit]
        if any(self._less_is_better(task) for task, _ in drawn):
            metric = self._source.metric
            text = (
                f"task {self.name}: of {metric} less is better, so what counts is 1 minus it: 0.98 is better than 0.63"
            )
            yield Finding(weight="warning", text=text)
        models = [(model, ctx.folder(model)) for model in ctx.of_kind("model")]
        ctx.tell(f"task {self.name}", 1, 1)
        yield from without_room(self.name, self._source.metric, drawn, models, chat=self._chat)

    def _ask(self, loaded: Loaded, drawn: Sequence[tuple[Any, int]], ctx: Context) -> list[dict[str, Any]]:
        from lm_eval.evaluator import evaluate

        tasks = {task.config.task: task for task, _ in drawn}
        lm = _watched(loaded, self._batch_size, ctx, self.name)
        results = evaluate(
            lm=lm,
            task_dict={"tasks": tasks, "groups": {}},
            # lm-eval goes through documents in their own order and reports wrong numbers for indices in another one.
            samples={name: sorted(index for task, index in drawn if task.config.task == name) for name in tasks},
            bootstrap_iters=0,
            apply_chat_template=self._chat,
            fewshot_as_multiturn=self._chat,
        )
        items = [item for name, rows in results["samples"].items() for item in self._items(name, rows)]
        if any(map(self._less_is_better, tasks.values())):
            # Turned round, more is better wherever scores are compared, and an error rate stays between 0 and 1.
            items = [{**item, "value": 1.0 - item["value"]} for item in items]
        found = {item["item"]: item for item in items}
        return [found[f"{task.config.task}/{index}"] for task, index in drawn]

    def _items(self, task_name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        metric, _, wanted = self._source.metric.partition(",")
        filters = list(dict.fromkeys(row["filter"] for row in rows))
        chosen = wanted or filters[0]
        rows = [row for row in rows if row["filter"] == chosen]
        if not rows or metric not in rows[0] or isinstance(rows[0][metric], (list, tuple, dict, str)):
            known = sorted(f"{m},{f}" for f in filters for m in (rows[0]["metrics"] if rows else []))
            raise ConfigError(
                f"task {self.name!r}: no per-item metric {self._source.metric!r}; "
                f"filters: {', '.join(filters)}; metrics: {', '.join(known) or 'none'}"
            )
        return [
            {
                "item": f"{task_name}/{row['doc_id']}",
                "value": float(row[metric]),
                "answer": str(row["filtered_resps"][0])[: self.kept_chars],
                "target": str(row["target"])[: self.kept_chars],
            }
            for row in rows
        ]

    def _drawn(self, split: Split) -> list[tuple[Any, int]]:
        """The items of a side in their fixed order, each as its lm-eval task and the document's index there."""
        if split not in self._sides:
            sides = [side_of(task, split, divide=self._source.divided) for task in self._source.load(split).values()]
            drawn = [(task, index) for task, indices in sides for index in indices]
            self._refuse_two_directions({task for task, _ in sides})
            if len(sides) > 1:
                random.Random(ITEM_ORDER).shuffle(drawn)
            self._sides[split] = drawn
        return self._sides[split]

    def _refuse_two_directions(self, tasks: Iterable[Any]) -> None:
        if len({self._less_is_better(task) for task in tasks}) > 1:
            raise ConfigError(
                f"task {self.name!r}: of metric {self._source.metric!r} less is better in some tasks of the group and more "
                "in others (higher_is_better), so that their mean says nothing. Name them as tasks of their own."
            )

    def _less_is_better(self, task: Any) -> bool:
        return task.higher_is_better().get(self._source.metric.partition(",")[0]) is False


def side_of(task: Any, split: Split, *, divide: bool) -> tuple[Any, list[int]]:
    """The lm-eval task to ask for one side, and which of its documents, in their fixed order.

    Args:
        divide: take the task's own splits, or cut its only one in two halves; else all its documents are of the side.
    """
    both = divide and task.has_validation_docs() and task.has_test_docs()
    asked = _without_test(task) if both and split == "validation" else task
    order = list(range(len(asked.eval_docs)))
    random.Random(ITEM_ORDER).shuffle(order)
    half = (len(order) + 1) // 2 if divide and not both else 0
    own, rest = (order[half:], order[:half]) if split == "test" or not half else (order[:half], order[half:])
    if asked.config.num_fewshot:
        other = (task.test_docs() if split == "validation" else task.validation_docs()) if both else ()
        sealed = [*other, *(asked.eval_docs[i] for i in rest)]
        asked = with_examples_by_item(asked, [asked.eval_docs[i] for i in own], sealed)
    return asked, own


def _without_test(task: Any) -> Any:
    # lm-eval scores the test split wherever there is one, and offers no switch.
    twin = copy.copy(task)
    twin._config = copy.copy(task.config)
    twin._config.test_split = None
    return twin


def _write(file: Path, record: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Two workers may ask the same model at once, such as the leader that both race.
    partial = file.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(record), encoding="utf-8")
    rename(partial, file)


def _watched(loaded: Loaded, batch_size: int | str, ctx: Context | None, name: str) -> Any:
    from lm_eval.models.huggingface import HFLM

    class Watched(as_trained(HFLM)):  # type: ignore[misc]
        """lm-eval's model, telling how many of its requests are answered."""

        answered, asked = 0, 0

        def generate_until(self, requests: Any, *args: Any, **kwargs: Any) -> Any:
            self.asked += len(requests)
            return super().generate_until(requests, *args, **kwargs)

        def loglikelihood(self, requests: Any, *args: Any, **kwargs: Any) -> Any:
            self.asked += len(requests)
            return super().loglikelihood(requests, *args, **kwargs)

        def _answered(self, n: int) -> None:
            self.answered = min(self.answered + n, self.asked)
            if ctx is not None:
                ctx.progress(f"score {name}", self.answered, self.asked)

        def _model_generate(self, context: Any, **kwargs: Any) -> Any:
            output = super()._model_generate(context, **kwargs)
            self._answered(len(context))
            return output

        def _model_call(self, inps: Any, **kwargs: Any) -> Any:
            output = super()._model_call(inps, **kwargs)
            self._answered(len(inps))
            return output

    autocast = ctx is not None and ctx.models.autocast and loaded.dtype == "bfloat16"
    return Watched(
        pretrained=loaded.model,
        tokenizer=loaded.tokenizer,
        batch_size=batch_size,
        mixed_precision_dtype="bfloat16" if autocast else None,
    )
