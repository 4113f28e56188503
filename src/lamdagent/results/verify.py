"""Hold every artifact and every score of a study against its id and the journal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lamdagent.core.errors import DataError
from lamdagent.core.items import mean_and_error
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.settings import setting_id
from lamdagent.core.state import State
from lamdagent.core.types import Action, Object
from lamdagent.objects.datasets.readers import rows_digest
from lamdagent.objects.models.hub import HUB, folder_id, locate
from lamdagent.results.result import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was checked of a study, and what is wrong."""

    study: str
    """The study's name."""
    checked: int
    """How many objects and scores."""
    problems: tuple[str, ...]
    """What is wrong, in words."""

    @property
    def title(self) -> str:
        return f"verification of {self.study}"

    def sections(self) -> list[Section]:
        told = f"{self.checked} objects and scores checked, {len(self.problems)} problems"
        return [Section(parts=[*self.problems, told])]


def verify_study(study: str, state: State, artifacts: ArtifactStore, home: Path) -> Verification:
    """Check every object and every score.

    Args:
        home: the folder that relative paths of the study file start from.
    """
    checked = 0
    problems: list[str] = []
    for obj in state.pool.values():
        checked += 1
        problems += [f"{obj.kind} {obj.name}: {what}" for what in _object(obj, state, artifacts, home)]
    for object_id, scores in state.scores.items():
        for score in scores:
            checked += 1
            values = artifacts.values(object_id, score)
            if values is None or mean_and_error(values) != (score.value, score.stderr):
                name = state.pool[object_id].name
                problems.append(f"score of {name} on {score.task}: the items kept in scores/ do not give it")
    return Verification(study=study, checked=checked, problems=tuple(problems))


def _object(obj: Object, state: State, artifacts: ArtifactStore, home: Path) -> list[str]:
    if obj.kind == "hyperparameters":
        return (
            []
            if obj.id == setting_id(obj.setting["action"], obj.setting["given"])
            else ["its values do not give its id"]
        )
    if obj.made_by is None and obj.kind == "model" and not obj.uri.endswith(".gguf"):
        return _provided_model(obj, state, artifacts, home)
    damaged = artifacts.damaged(obj.id)
    if damaged:
        return damaged
    rows = _rows(obj, artifacts) if obj.kind == "dataset" else []
    if obj.made_by is None:
        return rows
    record = artifacts.record(obj.id) or {}
    action = Action(**{**record["action"], "inputs": {k: tuple(v) for k, v in record["action"]["inputs"].items()}})
    return rows if action.id == obj.id else [*rows, "its action does not give its id"]


def _rows(obj: Object, artifacts: ArtifactStore) -> list[str]:
    """What is wrong with the rows that are trained on, held against what the journal says of them."""
    file = artifacts.open(obj.id) / "data.jsonl"
    if not file.is_file():
        return [f"{file}: missing"]
    digest, rows = rows_digest(), file.read_bytes()
    digest.update(rows)
    wanted = obj.dataset.get("digest", obj.id if obj.made_by is None else None)
    found = [] if wanted in (None, digest.hexdigest()) else ["its rows do not give its digest"]
    count = rows.count(b"\n")
    return (
        found if count == obj.dataset["rows"] else [*found, f"it has {count} rows, and {obj.dataset['rows']} were made"]
    )


def _provided_model(obj: Object, state: State, artifacts: ArtifactStore, home: Path) -> list[str]:
    try:
        folder = locate(home, artifacts, obj)
        if obj.uri.startswith(HUB):
            return []  # the commit is the id
        root = None if obj.root == obj.id else obj.root
        dtype = state.config.get("execution", {}).get("dtype", "auto")
        found = folder_id(folder, root, dtype=dtype, formula=state.id_formula)
        return [] if found == obj.id else [f"{folder}: changed"]
    except DataError as error:
        return [str(error)]
