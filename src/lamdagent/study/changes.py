"""What may change in a study file between two runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lamdagent.core.errors import JournalError
from lamdagent.core.events import Event, StudyOpened
from lamdagent.core.protocols import Task
from lamdagent.core.state import State
from lamdagent.core.types import ID_FORMULA
from lamdagent.llm.config import HOW_ASKED
from lamdagent.study.config import Document, Study
from lamdagent.study.config.schema import study_of

FREE_TO_CHANGE = re.compile(
    r"(budget|policy|memory)\.|execution\.((workers|threads|timeout_min|batch_size)$|runner\.)|tasks\..*\.(test|about)$|datasets\..*\.about$"
    rf"|tasks\..*\.judge\.({'|'.join(HOW_ASKED)})(\.|$)"
)
"""Where a search stops, who goes on with it, how its jobs are run, and what is only said; each trial names who chose it."""


def changes(study: Study, before: State, objects: Sequence[Any], tasks: Sequence[Task]) -> list[Event]:
    """What to journal of a study file that changed since the last run.

    Raises:
        JournalError: something else changed than what may, or the study began under ids that cover less than today's.
    """
    if before.id_formula != ID_FORMULA:
        raise JournalError(
            f"{study.file}: the study {study.body.study!r} began under version {before.id_formula} of ids, and this release "
            f"has version {ID_FORMULA}, which covers more (docs/journal.md): a changed chat template, tokenizer or task "
            "file would go unnoticed. Give the file another `study:` name to begin a new one, or go on with the release it "
            "began with; show, report and export read it as it is."
        )
    # Read by this release, so that keys which are newer than the study stand at their defaults.
    began = study_of(Document.of(study.file, dict(before.config)))
    old, new = _flat(began.dump()), _flat(study.dump())
    changed = [k for k in sorted({*old, *new}) if old.get(k) != new.get(k) and not FREE_TO_CHANGE.match(k)]
    lines = [f"  {key}: was {old.get(key, 'not there')}, is {new.get(key, 'not there')}" for key in changed]
    ids = {obj.name: obj.id for obj in objects}
    for obj in before.pool.values():
        began_as = obj.dataset.get("whole", obj.id) if obj.kind == "dataset" else obj.id
        provided = obj.made_by is None and obj.kind != "hyperparameters"
        if provided and ids.get(obj.name, began_as) != began_as:
            lines.append(f"  {obj.kind} {obj.name} ({obj.uri}): its content changed")
    for task in tasks:
        if before.task_ids.get(task.name, task.ids["validation"]) != task.ids["validation"]:
            lines.append(
                f"  task {task.name}: its content changed (its items, its task file, or code or engine it uses)"
            )
    if lines:
        raise JournalError(
            f"{study.file}: the study {study.body.study!r} began otherwise:\n" + "\n".join(lines) + "\nPut it back, or "
            "give the file another `study:` name to begin a new one (finished work is found again and not repeated)."
        )
    if old == new:
        return []
    kept = {key: getattr(before, key) for key in ("seed", "goals", "guards", "id_formula", "task_ids", "prompts")}
    return [StudyOpened(config=study.dump(), **kept)]


def tests_of(config: Mapping[str, Any]) -> list[Any]:
    return [task.get("test") for task in config["tasks"]]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        pairs = [_flat(v, f"{prefix}.{k}" if prefix else str(k)) for k, v in value.items()]
        return {k: v for pair in pairs for k, v in pair.items()}
    if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
        return _flat({v.get("task", i): v for i, v in enumerate(value)}, prefix)
    return {prefix: value}
