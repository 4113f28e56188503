"""What a worker does once before the first job."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamdagent.core.errors import DataError
from lamdagent.core.types import ObjectId
from lamdagent.evaluation.contamination.gate import overlaps
from lamdagent.evaluation.contamination.made import RowScreen
from lamdagent.objects.models.metadata import read_facts
from lamdagent.runners.job import Toolkit
from lamdagent.study.initial_pool import InitialPool


def prepare(request: Mapping[str, Any], toolkit: Toolkit) -> dict[str, Any]:
    """In a worker, once: import .gguf files, and load every task's items.

    Returns:
        `models`: the facts of each imported model; `tasks`: items on each side of each task; `overlaps`: what the
        `datasets` of the request hold of those items.
    Raises:
        DataError: a model cannot be imported or a task has no validation items.
    """
    from lamdagent.objects.models.gguf import import_gguf

    facts = {}
    for object_id, file in request["imports"].items():
        if toolkit.artifacts.record(object_id) is None:
            with toolkit.artifacts.write(object_id, {"id": object_id, "kind": "model", "meta": {}}) as folder:
                import_gguf(Path(file), folder / "weights", dtype=request["dtype"])
        facts[object_id] = read_facts(toolkit.artifacts.open(object_id) / "weights")
    sizes = {task.name: task.sizes() for task in toolkit.evaluation.tasks}
    if empty := [name for name, sides in sizes.items() if not sides["validation"]]:
        raise DataError(f"no validation items in task {', '.join(empty)}")
    datasets = request.get("datasets", {})
    screen = toolkit.screen or RowScreen(toolkit.evaluation.tasks, mode="fail")
    found = overlaps(datasets, screen.index, toolkit.artifacts) if datasets else {}
    return {"models": facts, "tasks": sizes, "overlaps": found}


def with_facts(provided: InitialPool, facts: Mapping[ObjectId, Mapping[str, Any]]) -> InitialPool:
    """Imported models with what is known of them after the import."""
    objects = tuple(
        dataclasses.replace(obj, meta={**facts[obj.id], **obj.meta}) if obj.id in facts else obj
        for obj in provided.objects
    )
    return dataclasses.replace(provided, objects=objects)
