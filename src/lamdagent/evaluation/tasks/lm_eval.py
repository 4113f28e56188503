"""Score models through lm-eval, in process, and keep what every item gave.

A side is what may be read: `validation` during the search, `test` when it is over. A task with both splits keeps
them; one with a single split is cut in two halves that never change. The order of items is fixed, so a smaller `limit`
scores a part of what a larger one scores, and all models are scored on the same items.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lamdagent.core.action_type import Context
from lamdagent.core.errors import ConfigError, DataError
from lamdagent.core.types import SIDES, Object, Split
from lamdagent.evaluation.sanity import Example
from lamdagent.objects.models import Loaded

ITEM_ORDER = "lamdagent items"  # seed of the fixed order
SHOWN_CHARS = 500
LM_EVAL_TOKENS = 256  # lm-eval's own bound of an answer


class LmEvalTask:
    """One entry of `tasks` in a study file.

    Args:
        ids: for each side, what covers everything that could change a score on it.
        load: gives the lm-eval task objects of a side, one, or several for a group, or none; called when first needed.
        metric: lm-eval's `metric` or `metric,filter`; the first filter where none is given.
        limit: at most this many items a side; None is all.
        divide: cut a task with a single split in two halves, one for each side.
        chat: ask through the model's chat template.
    """

    def __init__(
        self,
        *,
        name: str,
        ids: Mapping[Split, str],
        load: Callable[[Split], Mapping[str, Any]],
        metric: str,
        limit: int | None,
        divide: bool,
        chat: bool = False,
        batch_size: int | str = 16,
    ) -> None:
        self.name, self.ids = name, ids
        self._load, self._metric, self._limit = load, metric, limit
        self._divide, self._chat, self._batch_size = divide, chat, batch_size
        self._sides: dict[Split, list[tuple[Any, int]]] = {}

    def sizes(self) -> dict[Split, int]:
        """How many items each side has, `limit` applied. Loads the items."""
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
            record |= {"task": self.name, "task_id": self.ids[split], "split": split, "metric": self._metric}
            record["of"] = len(self._drawn(split))
        wanted = min(bound for bound in (n, self._limit, record["of"]) if bound is not None)
        if not record["of"]:
            raise DataError(f"task {self.name!r} has no {split} items; own rows take them from `test:`.")
        if (known := len(record["items"])) < wanted:
            loaded = ctx.models.load(model.id, ctx.weights(model))
            record["items"] += self._ask(loaded, self._drawn(split)[known:wanted], ctx)
            _write(file, record)
        return [float(item["value"]) for item in record["items"][:wanted]]

    def documents(self, split: Split) -> Iterator[tuple[int, str, str]]:
        """Every item of a side in its order: its place, prompt and answer as texts."""
        for place, (task, index) in enumerate(self._drawn(split)):
            document = task.eval_docs[index]
            target = task.doc_to_target(document)
            if isinstance(target, int) and task.OUTPUT_TYPE == "multiple_choice":
                target = task.doc_to_choice(document)[target]
            if isinstance(target, list):
                target = target[0] if target else ""
            yield place, str(task.doc_to_text(document)), str(target)

    def examples(self, n: int) -> list[Example]:
        """The first validation items as what a made model is examined with."""
        found = []
        for (task, _), (_, prompt, answer) in zip(
            self._drawn("validation")[:n], self.documents("validation"), strict=False
        ):
            how = task.config.generation_kwargs or {}
            generates = (
                task.OUTPUT_TYPE == "generate_until" and not self._chat
            )  # a chat model ends turns, not plain texts
            until, delimiter = how.get("until") or (), task.config.target_delimiter
            ends = (until,) if isinstance(until, str) else tuple(until)
            new_tokens = int(how.get("max_gen_toks", LM_EVAL_TOKENS)) if generates else 0
            found.append(Example(prompt=prompt, target=delimiter + answer, new_tokens=new_tokens, until=ends))
        return found

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
        found = {item["item"]: item for name, rows in results["samples"].items() for item in self._items(name, rows)}
        return [found[f"{task.config.task}/{index}"] for task, index in drawn]

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

    def _drawn(self, split: Split) -> list[tuple[Any, int]]:
        """The items of a side in their fixed order, each as its lm-eval task and the document's index there."""
        if split not in self._sides:
            sides = [side_of(task, split, divide=self._divide) for task in self._load(split).values()]
            drawn = [(task, index) for task, indices in sides for index in indices]
            if len(sides) > 1:
                random.Random(ITEM_ORDER).shuffle(drawn)
            self._sides[split] = drawn
        return self._sides[split]


def side_of(task: Any, split: Split, *, divide: bool) -> tuple[Any, list[int]]:
    """The lm-eval task to ask for one side, and which of its documents, in their fixed order.

    Args:
        divide: take the task's own splits, or cut its only one in two halves; else all its documents are of the side.
    """
    both = divide and task.has_validation_docs() and task.has_test_docs()
    if both and split == "validation":
        task = _without_test(task)
    order = list(range(len(task.eval_docs)))
    random.Random(ITEM_ORDER).shuffle(order)
    if both or not divide:
        return task, order
    half = (len(order) + 1) // 2
    return task, order[:half] if split == "validation" else order[half:]


def _without_test(task: Any) -> Any:
    # lm-eval scores the test split wherever there is one, and offers no switch.
    twin = copy.copy(task)
    twin._config = copy.copy(task.config)
    twin._config.test_split = None
    return twin


def _write(file: Path, record: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(record), encoding="utf-8")
    partial.rename(file)


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
