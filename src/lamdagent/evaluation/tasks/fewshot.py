"""Few-shot examples that are a function of the item: the same prompt for every model, in every process and order.

lm-eval draws them from one generator that runs on, and from whatever split it finds. So the same weights asked twice got
other prompts, and a task with a single split showed items of its sealed half with their answers.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lamdagent.core.errors import ConfigError
from lamdagent.core.types import content_id

Document = Mapping[str, Any]


def with_examples_by_item(task: Any, asked: Sequence[Document], sealed: Sequence[Document]) -> Any:
    """A twin of an lm-eval task whose examples depend on the item alone.

    They come from where the task takes them, without all that is an item of either side; where too few are left, as in a
    task with a single split, from the other items of the asked side.

    Args:
        asked: the documents of the side that is asked.
        sealed: those of the other side, of which nothing may be shown.
    Raises:
        ConfigError: there are too few examples, or lm-eval gives no hold on how they are drawn.
    """
    if not (count := task.config.num_fewshot or 0):
        return task
    if not hasattr(task, "sampler"):
        raise ConfigError(
            f"lm-eval task {task.config.task!r} draws its examples in code of its own, so that two models would be asked "
            "different prompts. Set num_fewshot: 0."
        )
    twin = copy.copy(task)
    twin.sampler = examples = _ExamplesByItem(task, count, asked, sealed)
    render = type(task).fewshot_context

    def fewshot_context(doc: Document, *args: Any, **kwargs: Any) -> Any:
        examples.item = doc
        return render(twin, doc, *args, **kwargs)

    twin.fewshot_context = fewshot_context
    return twin


class _ExamplesByItem:
    """In the place of lm-eval's sampler; draws as that one does, first_n included."""

    def __init__(self, task: Any, count: int, asked: Sequence[Document], sealed: Sequence[Document]) -> None:
        self.item: Document = {}
        self._task_name, self._sampler = str(task.config.task), task.sampler
        items = {*map(_key, asked), *map(_key, sealed)}
        documents = [doc for doc in task.sampler.fewshot_docs() if _key(doc) not in items]
        if len(documents) < count:
            documents = list(asked)
            left = len(asked) - max(Counter(map(_key, asked)).values(), default=0)
            if left < count:
                raise ConfigError(
                    f"lm-eval task {self._task_name!r}: num_fewshot is {count}, and {left} items are left to take examples "
                    "from: an item is no example of its own, and the sealed side gives none. Give fewer or a training split."
                )
        self._documents = [(doc, _key(doc)) for doc in documents]

    def sample(self, n: int, eval_doc: Document | None = None) -> Sequence[Document]:
        own = _key(self.item)
        self._sampler.replace_df([doc for doc, key in self._documents if key != own])
        self._sampler.set_rnd(int(content_id(["few-shot", self._task_name, own]), 16))
        drawn: Sequence[Document] = self._sampler.sample(n)
        return drawn


def _key(doc: Document) -> str:
    return json.dumps(doc, sort_keys=True, default=repr)
