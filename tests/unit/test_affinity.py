"""Which task a dataset is about, told by letters."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.format import contents
from lamdagent.core.types import Object
from lamdagent.evaluation.affinity import affinities, affinities_of
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.study.initial_pool import with_affinity


def sums(seed: int) -> list[str]:
    luck = random.Random(seed)
    return [f"What is {luck.randrange(100)} + {luck.randrange(100)}?" for _ in range(50)]


def capitals(seed: int) -> list[str]:
    luck = random.Random(seed)
    return [f"Name the capital of the land called {luck.choice('abcdefgh') * 3}ia." for _ in range(50)]


TASKS = {"add": sums(1), "geography": capitals(1)}


def test_a_dataset_is_most_alike_to_the_task_that_it_is_about() -> None:
    found = affinities({"sums": sums(2), "capitals": capitals(2), "empty": [" "]}, TASKS)
    assert set(found) == {"sums", "capitals"}
    assert found["sums"]["add"] > 2 * found["sums"]["geography"]
    assert found["capitals"]["geography"] > 2 * found["capitals"]["add"]
    assert all(0 <= value <= 1 for of_one in found.values() for value in of_one.values())


def test_answers_say_nothing_of_what_a_dataset_is_about(tmp_path: Path) -> None:
    class Asked:
        name = "add"

        def documents(self, side: str) -> Any:
            return [(i, prompt, "the answer is secret") for i, prompt in enumerate(sums(1))]

    class Other(Asked):
        name = "geography"

        def documents(self, side: str) -> Any:
            return [(i, prompt, "the answer is secret") for i, prompt in enumerate(capitals(1))]

    store = LocalArtifacts(tmp_path)

    def found(answer: str) -> Any:
        with store.write(answer, {}) as folder:
            rows = ({"prompt": prompt, "completion": answer} for prompt in sums(3))
            (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return affinities_of({"sums": answer}, [Asked(), Other()], store)  # type: ignore[list-item]

    assert found("the answer is secret") == found("42") != {}


@pytest.mark.parametrize(
    ("affinity", "words"),
    [
        ({"add": 0.5, "sort": 0.1}, "3 rows, like add (0.50)"),
        ({"add": 0.3, "sort": 0.2}, "3 rows"),
        ({}, "3 rows"),
        ({"add": 0.4}, "3 rows"),
        ({"add": 0.0, "sort": 0.0}, "3 rows"),
    ],
)
def test_a_dataset_is_shown_with_the_task_that_stands_out(affinity: dict[str, float], words: str) -> None:
    data = Object(id="d", kind="dataset", name="d", meta={"rows": 3, "format": ""})
    (known,) = with_affinity([data], {"d": affinity})
    assert contents(known) == words
    assert known.id == data.id
