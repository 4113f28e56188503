"""The leakage gate: no training row may hold what a model will be scored on, unless the user says so.

The items of every task, both sides, are held against the rows of every dataset before the first trial, and against those
that an action makes before they are trained on (`made.py`). That is the one time before a report that test items are
looked at, by their texts alone and in the worker that loads them anyway.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from lamdagent.core.errors import DataError
from lamdagent.core.jobs import DatasetOverlap
from lamdagent.core.protocols import ArtifactStore, Task
from lamdagent.core.types import SIDES, Object, ObjectId
from lamdagent.evaluation.contamination.overlap import Evaluated, EvaluationItem, fields_of, scan
from lamdagent.objects.datasets.formats import SAMPLES, shown_row
from lamdagent.objects.datasets.readers import rows_digest
from lamdagent.objects.datasets.size import size_of_part

SHOWN = 6
ROWS = "data.jsonl"
Mode = Literal["fail", "drop", "warn"]
log = logging.getLogger(__name__)


def evaluation_items(tasks: Sequence[Task]) -> Iterator[EvaluationItem]:
    """Every item of both sides of every task. Loads them."""
    for task in tasks:
        for side in SIDES:
            for place, prompt, answer in task.documents(side):
                yield EvaluationItem(task=task.name, split=side, index=place, prompt=prompt, answer=answer)


def overlaps(datasets: Mapping[str, ObjectId], index: Evaluated, artifacts: ArtifactStore) -> dict[str, DatasetOverlap]:
    """What each dataset holds of the evaluation, by the dataset's name. Datasets without any are left out."""
    found = {}
    for name, object_id in datasets.items():
        rows = (fields_of(json.loads(line)) for line in _lines(artifacts, object_id))
        overlap = scan(rows, index)
        if overlap.leaks:
            found[name] = DatasetOverlap(lines=tuple(overlap.lines(name)), rows=tuple(overlap.rows))
    return found


def close(
    found: Mapping[str, DatasetOverlap], mode: Mode, objects: Sequence[Object], store: ArtifactStore
) -> tuple[Object, ...]:
    """The objects to search with, after what was found: `fail` raises, `drop` leaves rows out, `warn` says so.

    Raises:
        DataError: training rows hold evaluation items.
    """
    lines = [line for of_one in found.values() for line in of_one.lines]
    if not lines:
        return tuple(objects)
    if mode == "fail":
        more = f"\n… and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        raise DataError(
            "\n".join(lines[:SHOWN])
            + f"{more}\nScores on what was trained on say nothing. Take those rows out, or give "
            "`contamination: drop` (rows that overlap are left out) or `warn` (they stay)."
        )
    for line in lines:
        log.warning("%s", line)
    if mode == "warn":
        return tuple(objects)
    leaking = {obj.id for obj in objects if obj.kind == "dataset" and obj.name in found}
    return tuple(_without(obj, set(found[obj.name].rows), store) if obj.id in leaking else obj for obj in objects)


def _without(obj: Object, dropped: set[int], store: ArtifactStore) -> Object:
    """The dataset without some rows, kept as an artifact of its own. `whole` remembers what it was made from."""
    lines = [line for i, line in enumerate(_lines(store, obj.id)) if i not in dropped]
    if not lines:
        raise DataError(f"dataset {obj.name!r}: every row holds an evaluation item; nothing is left to train on.")
    digest = rows_digest()
    for line in lines:
        digest.update(line.encode())
    samples = [shown_row(json.loads(line)) for line in lines[:SAMPLES]]
    kept = {"rows": len(lines), "dropped": len(dropped), "whole": obj.id, "samples": samples}
    meta = {**obj.meta, **size_of_part(obj.meta, len(lines)), **kept}
    made = replace(obj, id=digest.hexdigest(), meta=meta)
    if store.record(made.id) is None:
        with store.write(made.id, {"id": made.id, "kind": "dataset", "meta": meta}) as folder:
            (Path(folder) / ROWS).write_text("".join(lines), encoding="utf-8")
    return made


def _lines(store: ArtifactStore, object_id: ObjectId) -> Iterator[str]:
    with (store.open(object_id) / ROWS).open(encoding="utf-8") as rows:
        yield from rows
