"""What the user brings: checked in the driver, without torch and without writing anything, then made ready once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lamdagent.config import DatasetEntry, Study, TaskEntry
from lamdagent.data.rows import SLICE, Source, read_rows, rows_digest
from lamdagent.data.shapes import task_items, training_rows
from lamdagent.errors import ConfigError, DataError, nearest
from lamdagent.execution import Bench
from lamdagent.gate import overlaps
from lamdagent.models.facts import read_facts
from lamdagent.models.sources import HUB, HubModel, folder_id, gguf_id, resolve
from lamdagent.settings import Settings
from lamdagent.store.artifacts import Artifacts
from lamdagent.tasks.rows import CHOICE_METRICS, METRICS
from lamdagent.types import Kind, Object, ObjectId, Split, content_id


@dataclass(frozen=True, kw_only=True)
class Brought:
    """All that a study brings. `imports` are .gguf files by the id of the model they become."""

    objects: tuple[Object, ...]
    imports: Mapping[ObjectId, Path]

    def of_kind(self, kind: str) -> tuple[Object, ...]:
        return tuple(obj for obj in self.objects if obj.kind == kind)


def to_fetch(study: Study) -> list[str]:
    """What a run would take from the hub, in words."""
    models = [m.path for m in study.body.models.values() if not _local(study, m.path)]
    rows = [d.path for d in study.body.datasets.values() if dataset_source(study, d).file is None]
    named = [f"the data of lm-eval task {t.task}" for t in study.body.tasks if t.path is None]
    own = [t.path for t in study.body.tasks if t.path and task_source(study, t).file is None]
    return [*(f"model {m}" for m in models), *(f"dataset {d}" for d in rows), *(f"rows {p}" for p in own), *named]


def check_tasks(study: Study) -> None:
    """Names, metrics and rows of every task.

    Raises:
        ConfigError: an unknown lm-eval task, or a metric that the rows cannot have.
        DataError: a task's own rows cannot be used.
    """
    for i, entry in enumerate(study.body.tasks):
        where = study.document.where(("tasks", i))
        if entry.path is None:
            _check_named(study, entry, where)
        elif task_source(study, entry).file is not None:
            try:
                own_sides(study, entry)
            except (ConfigError, DataError) as error:
                raise type(error)(f"{where}: {error}") from error


def bring(study: Study, known: Mapping[ObjectId, Object], *, offline: bool = False) -> Brought:
    """Every model, dataset and setting of a study as an object.

    Args:
        known: the pool as the journal has it; hub models and datasets recorded there keep their commit.
        offline: let an empty stand-in take the place of what a run would fetch.
    Raises:
        DataError: something that the user brought cannot be used.
    """
    by_name = {obj.name: obj for obj in known.values() if obj.made_by is None}
    models, imports = _models(study, by_name, offline)
    datasets = [
        _stand_in("dataset", name, entry.path)
        if offline and dataset_source(study, entry).file is None
        else _named_place(study, ("datasets", name), lambda e=entry, n=name: _dataset(study, n, e))
        for name, entry in study.body.datasets.items()
    ]
    settings = [
        _setting(action, name, setting)
        for action, config in study.actions.items()
        for name, setting in config.hyperparameters.items()
    ]
    objects = (*models, *datasets, *settings)
    seen: dict[ObjectId, str] = {}
    for obj in objects:
        if (other := seen.setdefault(obj.id, obj.name)) != obj.name:
            raise ConfigError(f"{study.file}: {obj.kind} {other!r} and {obj.name!r} have the same content.")
    return Brought(objects=objects, imports=imports)


def write_datasets(study: Study, brought: Brought, artifacts: Artifacts) -> None:
    """Keep the rows of every dataset as an artifact, where they are not there yet."""
    for obj in brought.of_kind("dataset"):
        if artifacts.record(obj.id) is not None:
            continue
        with artifacts.write(obj.id, {"id": obj.id, "kind": obj.kind, "meta": dict(obj.meta)}) as folder:
            with (folder / "data.jsonl").open("w", encoding="utf-8") as out:
                for _, line in _lines(study, study.body.datasets[obj.name]):
                    out.write(line)


def prepare(request: Mapping[str, Any], bench: Bench) -> dict[str, Any]:
    """In a worker, once: import .gguf files, and load every task's items.

    Returns:
        `models`: the facts of each imported model; `tasks`: items on each side of each task; `overlaps`: what the
        `datasets` of the request hold of those items.
    Raises:
        DataError: a model cannot be imported or a task has no validation items.
    """
    from lamdagent.models.gguf import import_gguf

    facts = {}
    for object_id, file in request["imports"].items():
        if bench.artifacts.record(object_id) is None:
            with bench.artifacts.write(object_id, {"id": object_id, "kind": "model", "meta": {}}) as folder:
                import_gguf(Path(file), folder / "weights", dtype=request["dtype"])
        facts[object_id] = read_facts(bench.artifacts.folder(object_id) / "weights")
    sizes = {task.name: task.sizes() for task in bench.evaluation.tasks}  # type: ignore[attr-defined]
    if empty := [name for name, sides in sizes.items() if not sides["validation"]]:
        raise DataError(f"no validation items in task {', '.join(empty)}")
    return {"models": facts, "tasks": sizes, "overlaps": overlaps(request.get("datasets", {}), bench)}


def with_facts(brought: Brought, facts: Mapping[ObjectId, Mapping[str, Any]]) -> Brought:
    """Imported models with what is known of them after the import."""
    objects = tuple(
        dataclasses.replace(obj, meta={**facts[obj.id], **obj.meta}) if obj.id in facts else obj
        for obj in brought.objects
    )
    return dataclasses.replace(brought, objects=objects)


def own_sides(study: Study, entry: TaskEntry) -> dict[Split, list[dict[str, Any]]]:
    """The items of both sides of a task of own rows; the test side is empty where the study file names none.

    Raises:
        ConfigError: the metric does not go with the rows.
        DataError: an item stands on both sides.
    """
    validation = own_items(study, entry)
    if entry.test is None:
        return {"validation": validation, "test": []}
    test = own_items(study, entry, "test")
    asked = {json.dumps(item, sort_keys=True) for item in validation}
    if shared := [item for item in test if json.dumps(item, sort_keys=True) in asked]:
        raise DataError(
            f"task {entry.task!r}: {len(shared)} of {len(test)} test items are validation items too, such as "
            f"{shared[0]['prompt'][:80]!r}. A sealed test must hold other items: take them out of `path` or `test`."
        )
    return {"validation": validation, "test": test}


def own_items(study: Study, entry: TaskEntry, split: Split = "validation") -> list[dict[str, Any]]:
    """A task's own rows of one side as items.

    Raises:
        ConfigError: the metric does not go with the rows.
    """
    items = list(task_items(read_rows(task_source(study, entry, split)), entry.columns))
    metric = own_metric(entry, items)
    if metric not in METRICS:
        raise ConfigError(f"task {entry.task!r}: own rows have no metric {metric!r}. {nearest(metric, METRICS)}")
    if any(("choices" in item) != (metric in CHOICE_METRICS) for item in items):
        has = "take rows with choices" if metric in CHOICE_METRICS else "take rows without choices"
        raise ConfigError(f"task {entry.task!r}: metric {metric} is one of those that {has}")
    return items


def own_metric(entry: TaskEntry, items: list[dict[str, Any]]) -> str:
    """The metric of own rows: `acc` for choices and `exact_match` for the rest, where none is given."""
    return entry.metric or ("acc" if "choices" in items[0] else "exact_match")


def task_source(study: Study, entry: TaskEntry, split: Split = "validation") -> Source:
    """Where a side's own rows come from: `test` names another split of the same path, or a path of its own."""
    source = Source(path=str(entry.path), folder=study.home, name=entry.name, split=entry.split)
    if split == "validation":
        return source
    other = dataclasses.replace(source, path=str(entry.test), split="train")
    named_split = SLICE.match(str(entry.test)) is not None and other.file is None
    return dataclasses.replace(source, split=str(entry.test)) if named_split else other


def dataset_source(study: Study, entry: DatasetEntry) -> Source:
    return Source(path=entry.path, folder=study.home, name=entry.name, split=entry.split, revision=entry.revision)


def row_count(study: Study, entry: Mapping[str, Any]) -> int:
    """How many rows a dataset's entry names, whatever its limit."""
    read = DatasetEntry.model_validate({**entry, "limit": None})
    return sum(1 for _ in read_rows(dataset_source(study, read)))


def _setting(action: str, name: str, setting: Settings) -> Object:
    values, given = setting.model_dump(mode="json"), setting.model_dump(mode="json", exclude_defaults=True)
    meta = {"action": action, "values": values, "given": given}
    return Object(id=setting_id(action, given), kind="hyperparameters", name=name, meta=meta)


def setting_id(action: str, given: Mapping[str, Any]) -> ObjectId:
    """The id of a setting: of the values that are not defaults, so that a key of a later release changes no id."""
    return content_id(["hyperparameters", action, dict(given)])


def _models(study: Study, known: Mapping[str, Object], offline: bool) -> tuple[list[Object], dict[ObjectId, Path]]:
    made: dict[str, Object] = {}
    imports: dict[ObjectId, Path] = {}
    entries = study.body.models
    for name in sorted(entries, key=lambda n: _depth(study, n)):
        entry = entries[name]
        if offline and not _local(study, entry.path):
            made[name] = _stand_in("model", name, entry.path)
            continue
        root = made[entry.base].id if entry.base in made else None
        obj, gguf = _named_place(study, ("models", name), lambda n=name, r=root: _model(study, n, r, known.get(n)))
        made[name] = obj
        if gguf is not None:
            imports[obj.id] = gguf
    return [made[name] for name in entries], imports


def _stand_in(kind: Kind, name: str, path: str) -> Object:
    return Object(id=content_id([kind, name, path]), kind=kind, name=name, uri=path)


def _model(study: Study, name: str, root: ObjectId | None, known: Object | None) -> tuple[Object, Path | None]:
    entry, dtype = study.body.models[name], study.body.execution.dtype
    path = study.home / Path(entry.path).expanduser()
    if path.suffix == ".gguf":
        object_id = gguf_id(path, dtype)
        obj = Object(id=object_id, kind="model", name=name, uri=entry.path, meta={"root": root or object_id})
        return obj, path
    if _local(study, entry.path):
        uri, facts = entry.path, read_facts(path)
        object_id = folder_id(path, root)
    else:
        pinned = known is not None and known.uri.startswith(f"{HUB}{entry.path}@")
        hub = HubModel.of(known.uri) if known is not None and pinned else resolve(entry.path, entry.revision)
        object_id = content_id([hub.uri, root])
        uri, facts = hub.uri, read_facts(hub.folder())
    meta = {**facts, "root": root or object_id}
    if dtype != "auto":
        meta["dtype"] = dtype
    return Object(id=object_id, kind="model", name=name, uri=uri, meta=meta), None


def _depth(study: Study, name: str) -> int:
    depth, entry = 0, study.body.models[name]
    while entry.base is not None:
        depth, entry = depth + 1, study.body.models[entry.base]
        if depth > len(study.body.models):
            raise ConfigError(f"{study.document.where(('models', name, 'base'))}: models name each other as base.")
    return depth


def _local(study: Study, path: str) -> bool:
    local = Path(path).expanduser()
    return (study.home / local).exists() or local.suffix == ".gguf" or path.startswith((".", "/", "~"))


def _dataset(study: Study, name: str, entry: DatasetEntry) -> Object:
    digest, rows, shapes = rows_digest(), 0, set()
    for shape, line in _lines(study, entry):
        digest.update(line.encode())
        rows += 1
        shapes.add(shape)
    if len(shapes) > 1:
        raise DataError(
            f"dataset {name!r}: mixes rows of the shapes {', '.join(sorted(shapes))}; make one dataset of each."
        )
    meta = {"rows": rows, "format": shapes.pop(), "split": entry.split}
    return Object(id=digest.hexdigest(), kind="dataset", name=name, uri=entry.path, meta=meta)


def _lines(study: Study, entry: DatasetEntry) -> Iterator[tuple[str, str]]:
    rows = training_rows(read_rows(dataset_source(study, entry)), entry.columns, chat=entry.chat)
    left_out = frozenset(entry.leave_out)
    for number, (shape, row) in enumerate(rows):
        if entry.limit is not None and number >= entry.limit:
            return
        if number in left_out:
            continue
        yield shape, json.dumps(row, ensure_ascii=False) + "\n"


def task_manager(study: Study) -> Any:
    """lm-eval's index of tasks, the study's own folder included. Takes seconds the first time."""
    folder = study.body.include_path
    return _task_manager(None if folder is None else str(study.home / Path(folder).expanduser()))


@lru_cache(maxsize=1)
def _task_manager(include_path: str | None) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=include_path)


def _check_named(study: Study, entry: TaskEntry, where: str) -> None:
    known = task_manager(study).all_tasks
    if entry.task not in known:
        raise ConfigError(
            f"{where}: lm-eval has no task {entry.task!r}. {_few(nearest(entry.task, known))} "
            "All names: python -m lm_eval ls tasks. For your own rows give a path."
        )


def _few(hint: str) -> str:
    return hint.partition(" Known:")[0] if hint.startswith("Did") else ""


def _named_place(study: Study, path: tuple[str, ...], make: Any) -> Any:
    try:
        return make()
    except DataError as error:
        raise DataError(f"{study.document.where(path)}: {'.'.join(path)}: {error}") from error
