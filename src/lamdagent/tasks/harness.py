"""Score models through lm-eval, in process, and keep what every item gave.

A side is what may be read: `validation` during the search, `test` when it is over. A task with both splits keeps
them; one with a single split is cut in two halves that never change. The order of items is fixed, so a smaller `limit`
scores a part of what a larger one scores, and all models are scored on the same items.
"""

from __future__ import annotations

import copy
import json
import math
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lamdagent.errors import ConfigError
from lamdagent.models import Loaded
from lamdagent.protocols import Context
from lamdagent.types import Object, Score, Split

ITEM_ORDER = "lamdagent items"  # seed of the fixed order
SHOWN_CHARS = 500


@dataclass(frozen=True, slots=True)
class Side:
    """Items of one side: the lm-eval task to ask, and which of its documents."""

    task: Any
    indices: list[int]


class LmEvalTask:
    """One entry of `tasks` in a study file.

    Args:
        id: covers everything that could change a score.
        load: gives the lm-eval task objects, one, or several for a group; called once, when first needed.
        metric: lm-eval's `metric` or `metric,filter`; the first filter where none is given.
        limit: at most this many items a side; None is all.
        divide: cut a task with a single split in two halves, one for each side.
        chat: ask through the model's chat template.
    """

    def __init__(
        self,
        *,
        name: str,
        id: str,
        load: Callable[[], Mapping[str, Any]],
        metric: str,
        limit: int | None,
        divide: bool,
        chat: bool = False,
        batch_size: int | str = 16,
    ) -> None:
        self.name, self.id = name, id
        self._load, self._metric, self._limit = load, metric, limit
        self._divide, self._chat, self._batch_size = divide, chat, batch_size
        self._tasks: Mapping[str, Any] | None = None

    def sizes(self) -> dict[Split, int]:
        """How many items each side has, `limit` applied. Loads the items."""
        return {side: sum(len(part.indices) for part in self._side(side)) for side in ("validation", "test")}

    def score(self, model: Object, split: Split, ctx: Context) -> Score:
        """Score a model; cheap where its folder already holds the result.

        Raises:
            ConfigError: the task gives no such metric, or one that is not a number per item.
        """
        file = ctx.folder(model) / "scores" / f"{self.id}.{split}.json"
        if file.exists():
            return score_of(json.loads(file.read_text(encoding="utf-8")))
        loaded = ctx.models.load(model.id, ctx.weights(model))
        record: dict[str, Any] = {"task": self.name, "task_id": self.id, "split": split, "metric": self._metric}
        record["items"] = self._ask(loaded, split, ctx)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(record), encoding="utf-8")
        partial.rename(file)
        return score_of(record)

    def _ask(self, loaded: Loaded, split: Split, ctx: Context) -> list[dict[str, Any]]:
        from lm_eval.evaluator import evaluate

        sides = self._side(split)
        lm = _watched(loaded, self._batch_size, ctx, self.name)
        results = evaluate(
            lm=lm,
            task_dict={"tasks": {side.task.config.task: side.task for side in sides}, "groups": {}},
            # lm-eval goes through documents in their own order and reports wrong numbers for indices in another one.
            samples={side.task.config.task: sorted(side.indices) for side in sides},
            bootstrap_iters=0,
            apply_chat_template=self._chat,
            fewshot_as_multiturn=self._chat,
        )
        found = {item["item"]: item for name, rows in results["samples"].items() for item in self._items(name, rows)}
        return [found[f"{side.task.config.task}/{index}"] for side in sides for index in side.indices]

    def _items(self, task_name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        metric, _, wanted = self._metric.partition(",")
        filters = list(dict.fromkeys(row["filter"] for row in rows))
        chosen = wanted or filters[0]
        rows = [row for row in rows if row["filter"] == chosen]
        if not rows or metric not in rows[0] or isinstance(rows[0][metric], (list, tuple, dict, str)):
            known = sorted(f"{m},{f}" for f in filters for m in (rows[0]["metrics"] if rows else []))
            raise ConfigError(
                f"task {self.name!r}: no per-item metric {self._metric!r}; "
                f"filters: {', '.join(filters)}; metrics: {', '.join(known) or 'none'}"
            )
        return [
            {
                "item": f"{task_name}/{row['doc_id']}",
                "value": float(row[metric]),
                "answer": str(row["filtered_resps"][0])[:SHOWN_CHARS],
                "target": str(row["target"])[:SHOWN_CHARS],
            }
            for row in rows
        ]

    def _side(self, split: Split) -> list[Side]:
        if self._tasks is None:
            self._tasks = self._load()
        sides = [side_of(task, split, divide=self._divide) for task in self._tasks.values()]
        if self._limit is None:
            return sides
        drawn = [(i, index) for i, side in enumerate(sides) for index in side.indices]
        if len(sides) > 1:
            random.Random(ITEM_ORDER).shuffle(drawn)
        kept = drawn[: self._limit]
        cut = [Side(side.task, [index for j, index in kept if j == i]) for i, side in enumerate(sides)]
        return [side for side in cut if side.indices]


def side_of(task: Any, split: Split, *, divide: bool) -> Side:
    """The items of one side of an lm-eval task, in their fixed order.

    Args:
        divide: cut a task that has a single split in two halves; else its only split is `validation`.
    """
    both = task.has_validation_docs() and task.has_test_docs()
    if both and split == "validation":
        task = _without_test(task)
    order = list(range(len(task.eval_docs)))
    random.Random(ITEM_ORDER).shuffle(order)
    if both:
        return Side(task, order)
    half = (len(order) + 1) // 2 if divide else len(order)
    return Side(task, order[:half] if split == "validation" else order[half:])


def _without_test(task: Any) -> Any:
    # lm-eval scores the test split wherever there is one, and offers no switch.
    twin = copy.copy(task)
    twin._config = copy.copy(task.config)
    twin._config.test_split = None
    return twin


def score_of(record: Mapping[str, Any]) -> Score:
    """Mean and standard error (sample deviation over the root of n) of a record's items."""
    values = [item["value"] for item in record["items"]]
    n = len(values)
    mean = math.fsum(values) / n
    variance = math.fsum((v - mean) ** 2 for v in values) / (n - 1) if n > 1 else None
    stderr = None if variance is None else math.sqrt(variance / n)
    return Score(task=record["task"], split=record["split"], value=mean, n=n, stderr=stderr)


def _watched(loaded: Loaded, batch_size: int | str, ctx: Context, name: str) -> Any:
    from lm_eval.models.huggingface import HFLM

    class Watched(HFLM):  # type: ignore[misc]
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
            ctx.progress(f"score {name}", self.answered, self.asked)

        def _model_generate(self, context: Any, **kwargs: Any) -> Any:
            output = super()._model_generate(context, **kwargs)
            self._answered(len(context))
            return output

        def _model_call(self, inps: Any, **kwargs: Any) -> Any:
            output = super()._model_call(inps, **kwargs)
            self._answered(len(inps))
            return output

    autocast = ctx.models.autocast and loaded.dtype == "bfloat16"
    return Watched(
        pretrained=loaded.model,
        tokenizer=loaded.tokenizer,
        batch_size=batch_size,
        mixed_precision_dtype="bfloat16" if autocast else None,
    )
