"""`pipeline.yaml`: an exported pipeline with all that making it again takes, and what making it again gave.

Beside the plan (`result`, `objects`, `steps`) it holds the study's own entry of every model and dataset, each setting's
values, the options of the action types, the seed, what the weights are stored in, the versions and the kind of machine
that made it, and a digest of every step's weights, or of the rows where it makes a dataset, with the numbers of those that
were left out since they held evaluation items. Local paths start from the file's own folder, or are absolute.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lamdagent.core.errors import ConfigError, DataError, nearest
from lamdagent.core.plan import Plan, plan_data
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State
from lamdagent.core.types import Object, ObjectId, content_id
from lamdagent.objects.datasets.readers import LOCAL
from lamdagent.objects.models.hub import HUB, HubModel
from lamdagent.study.config import DatasetEntry, Document, ModelEntry

FORMAT = 2
ENTRIES: Mapping[str, Any] = {"model": ModelEntry, "dataset": DatasetEntry}
PLACES = {"model": "models", "dataset": "datasets"}


def recipe_data(state: State, object_id: ObjectId, artifacts: ArtifactStore, *, home: Path, to: Path) -> dict[str, Any]:
    """What `pipeline.yaml` holds, for a file in the folder `to`; `home` is where the study's paths start from."""
    data, record = plan_data(state, [object_id]), artifacts.record(object_id) or {}
    by_name = {obj.name: obj for obj in state.of_kind("model") if obj.made_by is None}
    used = [name for name, leaf in data["objects"].items() if leaf["kind"] == "model"]
    for name in used:  # grows: a base model may itself have one
        base = state.config["models"][name].get("base")
        if base is not None and base not in used:
            data["objects"][base] = {"kind": "model", "id": by_name[base].id, "path": by_name[base].uri}
            used.append(base)
    for name, leaf in data["objects"].items():
        if leaf["kind"] in ENTRIES:
            obj = state.pool[leaf["id"]]
            leaf["entry"] = _entry(state.config[PLACES[leaf["kind"]]][name], obj, home, to)
            if obj.kind == "dataset" and "whole" in obj.dataset:
                leaf["entry"]["leave_out"] = _left_out(obj, leaf["entry"].get("leave_out", ()), artifacts)
    for step in data["steps"]:
        step |= _made(state.pool[step["id"]], artifacts.record(step["id"]))
    types = dict.fromkeys(step["action"] for step in data["steps"])
    options = {t: {k: v for k, v in state.config["actions"][t].items() if k != "hyperparameters"} for t in types}
    return {
        "format": FORMAT,
        **data,
        "seed": state.seed,
        "dtype": state.config["execution"]["dtype"],
        "actions": options,
        "versions": record.get("versions", {}),
        "machine": record.get("machine", {}),
    }


def _entry(entry: Mapping[str, Any], obj: Object, home: Path, to: Path) -> dict[str, Any]:
    """The study's entry of an object without defaults, pinned to its commit or with a path that starts from `to`."""
    found: dict[str, Any] = ENTRIES[obj.kind].model_validate(dict(entry)).model_dump(mode="json", exclude_defaults=True)
    local = Path(found["path"]).expanduser()
    if obj.uri.startswith(HUB):
        return {**found, "path": HubModel.of(obj.uri).repo, "revision": HubModel.of(obj.uri).commit}
    if not local.is_absolute() and (home / local).exists():
        found["path"] = os.path.relpath(home / local, to)
    return found


def _left_out(obj: Object, before: Sequence[int], artifacts: ArtifactStore) -> list[int]:
    """The rows that a dataset lacks, by number: those the study left out `before`, and those that held evaluation items.

    Raises:
        DataError: the rows are not kept any more.
    """
    try:
        # str.splitlines would also split at separators inside a text.
        whole, kept = (
            (artifacts.open(i) / "data.jsonl").read_text(encoding="utf-8").split("\n")
            for i in (obj.dataset["whole"], obj.id)
        )
    except FileNotFoundError as error:
        raise DataError(
            f"dataset {obj.name!r}: {error.filename} is gone, so which rows were left out cannot be told. Bring it back "
            "by running the study again: lamdagent run STUDY"
        ) from error
    left_out, place = set(before), 0
    numbers = (number for number in itertools.count() if number not in before)
    for number, line in zip(numbers, whole, strict=False):
        if place < len(kept) and line == kept[place]:
            place += 1
        else:
            left_out.add(number)
    return sorted(left_out)


def _made(obj: Object, record: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a step made, to be held against what it makes elsewhere.

    Raises:
        DataError: rows were left out, and which is not kept any more.
    """
    if obj.kind != "dataset":
        return {"weights": content_digest(record)}
    if record is None and obj.dataset.get("dropped"):
        raise DataError(
            f"dataset {obj.name!r}: its files are gone, so which of its rows were left out cannot be told. Bring "
            "them back by running the study again under another `root:`, and export that."
        )
    left_out = {"leave_out": record["left_out"]} if record and "left_out" in record else {}
    return {"rows": obj.dataset.get("digest"), **left_out}


def content_digest(record: Mapping[str, Any] | None) -> str | None:
    """A digest of what an artifact holds, a dataset's rows or a model's tensors; None where it is not known."""
    if record is not None and record.get("kind") == "dataset":
        digest: str | None = record["meta"].get("digest")
        return digest
    return weights_digest(record)


def weights_digest(record: Mapping[str, Any] | None) -> str | None:
    """A digest of an artifact's tensors, as its record has them; None where there is none."""
    files = {n: h for n, h in (record or {}).get("files", {}).items() if n.endswith(".safetensors")}
    return content_id(files) if files else None


def read_recipe(file: Path) -> dict[str, Any]:
    """The data of a `pipeline.yaml`, or of the one in a folder.

    Raises:
        ConfigError: there is none, it is no pipeline, or an earlier release wrote it.
    """
    file = file / "pipeline.yaml" if file.is_dir() else file
    if not file.is_file():
        raise ConfigError(f"{file}: no such file. Write one with: lamdagent export STUDY best --to FOLDER")
    data: dict[str, Any] = Document(file).data
    Plan.of(data, str(file))
    if data.get("format") != FORMAT:
        raise ConfigError(
            f"{file}: it is of format {data.get('format', 1)}, and making it again takes format {FORMAT}, which says "
            "how rows are read and what the weights were. Export it again: lamdagent export STUDY TRIAL --to FOLDER. "
            f"Or write a study with its models, datasets and settings and `policy: {{kind: replay, from: {file}}}`."
        )
    return data


def study_data(recipe: Mapping[str, Any], folder: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The study file that makes a recipe again: no tasks, one plan, every local path absolute.

    Args:
        folder: where the recipe's relative paths start from.
        overrides: `key.key=value` texts over the study's keys, such as `datasets.math.path=rows.jsonl`.
    Raises:
        ConfigError: the recipe lacks something, or an override fits nowhere.
    """
    data: dict[str, Any] = {"study": "replay", "models": {}, "datasets": {}, "actions": {}, "tasks": []}
    try:
        data["seed"] = recipe["seed"]
        for name, options in recipe["actions"].items():
            data["actions"][name] = dict(options)
        for name, leaf in recipe["objects"].items():
            own = leaf.get("name", name)
            if leaf["kind"] == "hyperparameters":
                settings = data["actions"][leaf["action"]].setdefault("hyperparameters", {})
                settings[own] = dict(leaf["values"])
            else:
                data[PLACES[leaf["kind"]]][own] = dict(leaf["entry"])
        data["execution"] = {"dtype": recipe["dtype"]}
        if threads := recipe["machine"].get("threads"):
            data["execution"]["threads"] = threads
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{folder / 'pipeline.yaml'}: {error} is missing or no mapping. Export the pipeline again."
        ) from error
    if unknown := [step["action"] for step in recipe["steps"] if step["action"] not in data["actions"]]:
        raise ConfigError(
            f"{folder / 'pipeline.yaml'}: a step takes action {unknown[0]!r}, which `actions` does not have."
        )
    if left_out := {step["id"]: step["leave_out"] for step in recipe["steps"] if "leave_out" in step}:
        data["leave_out"] = left_out
    data |= {"policy": {"kind": "replay", "from": "pipeline.yaml"}, "budget": {"trials": None}}
    named = {place: set(data[place]) for place in PLACES.values()}
    if other := [o for o in overrides if not o.startswith(("datasets.", "models.", "execution."))]:
        raise ConfigError(
            f"--set {other[0]}: allowed here are datasets.…, models.… and execution.…; all else would make another model."
        )
    data = Document.of(folder / "pipeline.yaml", data, overrides).data
    for place, known in named.items():
        if not isinstance(data[place], dict):
            raise ConfigError(f"--set {place}: expected names with their entries, not {data[place]!r:.60}.")
        if new := sorted(set(data[place]) - known):
            raise ConfigError(f"--set {place}.{new[0]}: the pipeline uses no such. {nearest(new[0], known)}")
    for group in PLACES.values():
        for name, entry in data[group].items():
            if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
                raise ConfigError(
                    f"{folder / 'pipeline.yaml'}: {group}.{name}: expected a mapping with a path, not {entry!r:.60}."
                )
            entry["path"] = _located(entry["path"], folder)
    return data


def _located(path: str, folder: Path) -> str:
    """A local path as an absolute one: from the recipe's folder, else from here. What is no local path stays."""
    local = Path(path).expanduser()
    for start in (folder, Path.cwd()):
        if (start / local).exists():
            return str((start / local).resolve())
    if local.suffix in (*LOCAL, ".gguf") or path.startswith((".", "/", "~")):
        return str((folder / local).resolve())
    return path


def strangers(recipe: Mapping[str, Any], here: Sequence[Object]) -> list[str]:
    """Models and datasets that are not what was exported, in words."""
    found = {obj.name: obj for obj in here}
    lines = []
    for name, leaf in recipe["objects"].items():
        obj = found.get(leaf.get("name", name))
        if leaf["kind"] not in ENTRIES or obj is None or obj.id == leaf["id"]:
            continue
        sizes = f" ({leaf.get('rows')} rows then, {obj.dataset.get('rows')} here)" if obj.kind == "dataset" else ""
        lines.append(f"{leaf['kind']} {name}: {obj.uri} is {obj.id}, and {leaf['id']} was exported{sizes}")
    return lines
