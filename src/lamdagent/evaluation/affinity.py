"""What a dataset is about: how alike its rows and the prompts of each task are, by their letters.

Character n-grams find the task that a dataset is about, and are blind to whether what it teaches is right: a dataset that
answers the same prompts wrongly is as alike. So it is a hint of relevance, and nothing is decided by it alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from lamdagent.core.protocols import ArtifactStore, Task
from lamdagent.core.types import ObjectId
from lamdagent.evaluation.contamination.overlap import fields_of

GRAMS = (2, 4)
MOST = 200
"""Texts of a dataset, and prompts of a task, that are looked at."""
LETTERS = 500
"""What is looked at of a text."""


def affinities_of(
    datasets: Mapping[str, ObjectId], tasks: Sequence[Task], artifacts: ArtifactStore
) -> dict[str, dict[str, float]]:
    """How alike datasets of the store and the validation prompts of tasks are, by the names of both."""
    texts = {name: _before_answers(artifacts, object_id) for name, object_id in datasets.items()}
    return affinities(
        texts, {task.name: [prompt for _, prompt, _ in islice(task.documents("validation"), MOST)] for task in tasks}
    )


def affinities(
    datasets: Mapping[str, Iterable[str]], tasks: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, float]]:
    """By dataset, for each task the mean over the dataset's texts of the cosine to the most alike prompt, from 0 to 1.

    Args:
        datasets: what stands in rows before the answer, or all of it where there is none.
        tasks: validation prompts, never their answers.

    A dataset or task without a text has none. Source: TF-IDF over character n-grams (`sklearn.feature_extraction.text`).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = {name: [text[:LETTERS] for text in islice(rows, MOST)] for name, rows in datasets.items()}
    prompts = {name: [prompt[:LETTERS] for prompt in asked[:MOST]] for name, asked in tasks.items()}
    texts, prompts = ({name: some for name, some in of.items() if any(map(str.strip, some))} for of in (texts, prompts))
    if not texts or not prompts:
        return {}
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=GRAMS, sublinear_tf=True)
    vectors.fit(text for some in (*texts.values(), *prompts.values()) for text in some)
    asked = {name: vectors.transform(some).T for name, some in prompts.items()}
    found: dict[str, dict[str, float]] = {}
    for name, some in texts.items():
        rows = vectors.transform(some)
        found[name] = {task: round(float((rows @ of).max(axis=1).toarray().mean()), 3) for task, of in asked.items()}
    return found


def _before_answers(artifacts: ArtifactStore, object_id: ObjectId) -> Iterator[str]:
    with (artifacts.open(object_id) / "data.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            fields = fields_of(row)
            yield str(row["prompt"]) if "chosen" in row else " ".join(fields[:-1] or fields)
