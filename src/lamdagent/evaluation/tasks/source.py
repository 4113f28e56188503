"""Where the items of a task come from, and how they were drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lamdagent.core.errors import DataError, nearest
from lamdagent.core.types import Split, content_id

Drawn = Sequence[tuple[Any, int]]
"""Items in their order, each as its lm-eval task and the document's index there."""


class ItemSource(Protocol):
    """Where the items of a task come from. Nothing is read before it is asked for, and nothing twice."""

    @property
    def ids(self) -> Mapping[Split, str]:
        """For each side, the hash of everything that could change a score on it."""

    @property
    def metric(self) -> str:
        """lm-eval's `metric` or `metric,filter`; the first filter where none is given."""

    @property
    def divided(self) -> bool:
        """Whether a task with a single split is cut in two halves, one for each side."""

    @property
    def has_test(self) -> bool:
        """Whether there is a sealed test side."""

    def load(self, split: Split) -> Mapping[str, Any]:
        """The lm-eval task objects of a side: one, several for a group, or none."""

    @property
    def cluster(self) -> str | None:
        """The key of a document that names what it was drawn with; None where each was drawn by itself."""

    def text_of(self, document: Mapping[str, Any]) -> str:
        """What a document is known by: documents of equal texts were drawn once."""

    @property
    def parts_count_alike(self) -> bool:
        """Whether a group's score is the mean of the means of its subtasks, whatever their sizes."""

    def check(self) -> None:
        """Look for mistakes as far as nothing must be fetched. Raises: ConfigError, DataError."""

    def to_fetch(self) -> str | None:
        """What a run would fetch for it, in words; None where all of it is on this machine."""

    def about(self, limit: int | None) -> str:
        """How many items it asks, in words, as far as nothing must be fetched."""


def shares(source: ItemSource, drawn: Drawn) -> dict[str, Any]:
    """What each subtask of a group counts in its score, as `shares`; nothing for a task that is no group."""
    sizes = Counter(str(task.config.task) for task, _ in drawn)
    if len(sizes) < 2:
        return {}
    alike, total = source.parts_count_alike, sum(sizes.values())
    return {"shares": {name: 1 / len(sizes) if alike else size / total for name, size in sizes.items()}}


def cluster_keys(name: str, source: ItemSource, drawn: Drawn) -> list[str]:
    """For each item the key of what it was drawn with: that of the first item of its cluster, by text.

    So tasks that ask the same rows give the same keys, whatever they call their clusters.

    Raises:
        DataError: an item of task `name` does not name its cluster.
    """
    documents = [task.eval_docs[index] for task, index in drawn]
    keys = [content_id(["item", source.text_of(document)]) for document in documents]
    if (cluster := source.cluster) is None:
        return keys
    if holes := [document for document in documents if cluster not in document]:
        raise DataError(f"task {name!r}: cluster: an item has no {cluster!r}. {nearest(cluster, holes[0])}")
    first: dict[str, str] = {}
    for document, key in zip(documents, keys, strict=True):
        first[str(document[cluster])] = min(key, first.get(str(document[cluster]), key))
    return [first[str(document[cluster])] for document in documents]
