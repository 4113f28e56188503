"""What the user brings: checked in the driver, without torch and without writing anything, then made ready once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lamdagent.core.errors import ConfigError, DataError
from lamdagent.core.protocols import ArtifactStore, Task
from lamdagent.core.settings import setting_object
from lamdagent.core.types import Kind, Object, ObjectId, content_id
from lamdagent.llm.clients import LOCAL
from lamdagent.llm.config import ChatConfig
from lamdagent.llm.llama_cpp import kept_smollm2
from lamdagent.objects.datasets.formats import SAMPLES, shown_row, training_rows
from lamdagent.objects.datasets.readers import Source, read_rows, rows_digest
from lamdagent.objects.datasets.size import Size, open_tokenizer
from lamdagent.objects.models.hub import (
    HUB,
    HubModel,
    folder_id,
    gguf_id,
    hub_id,
    may_be_hub_id,
    no_such_place,
    resolve,
)
from lamdagent.objects.models.metadata import beside_their_bases, read_facts
from lamdagent.study.config import DatasetEntry, Study
from lamdagent.study.config.schema import ModelEntry
from lamdagent.study.config.settings import settings_of


@dataclass(frozen=True, kw_only=True)
class InitialPool:
    """All that a study brings. `imports` are .gguf files by the id of the model they become."""

    objects: tuple[Object, ...]
    imports: Mapping[ObjectId, Path]

    def of_kind(self, kind: str) -> tuple[Object, ...]:
        return tuple(obj for obj in self.objects if obj.kind == kind)


def with_facts(provided: InitialPool, facts: Mapping[ObjectId, Mapping[str, Any]]) -> InitialPool:
    """Imported models with what is known of them after the import."""
    objects = tuple(
        replace(obj, meta={**facts[obj.id], **obj.meta}) if obj.id in facts else obj for obj in provided.objects
    )
    return replace(provided, objects=beside_their_bases(objects))


def with_affinity(objects: Sequence[Object], affinity: Mapping[str, Mapping[str, float]]) -> tuple[Object, ...]:
    """Datasets with how alike they and each task's prompts are, by their names."""
    return tuple(
        replace(obj, meta={**obj.meta, "affinity": affinity[obj.name]})
        if obj.kind == "dataset" and obj.name in affinity
        else obj
        for obj in objects
    )


def to_fetch(study: Study, tasks: Sequence[Task]) -> list[str]:
    """What a run would take from the hub, in words."""
    models = [
        f"{m.path} ({no_such_place(study.home / m.path)})"
        for m in study.body.models.values()
        if not _local(study, m.path)
    ]
    rows = [d.path for d in study.body.datasets.values() if dataset_source(study, d).file is None]
    asked = [what for task in tasks if (what := task.to_fetch()) is not None]
    asks = study.policy[1]
    served = isinstance(asks, ChatConfig) and asks.model == LOCAL and asks.gguf is None and kept_smollm2() is None
    return [
        *(f"model {m}" for m in models),
        *(f"dataset {d}" for d in rows),
        *asked,
        *(["SmolLM2-135M-Instruct (98 MB), for policy.model: local"] if served else []),
    ]


def load_pool(study: Study, known: Mapping[ObjectId, Object], *, offline: bool = False) -> InitialPool:
    """Every model, dataset and setting of a study as an object.

    Args:
        known: the pool as the journal has it; hub models and datasets recorded there keep their commit.
        offline: let an empty stand-in take the place of what a run would fetch.
    Raises:
        DataError: something that the user provided cannot be used.
    """
    by_name = {obj.name: obj for obj in known.values() if obj.made_by is None}
    models, imports = _models(study, by_name, offline)
    tokenizers = _tokenizers(study, models)
    datasets = [
        by_name.get(name) or _stand_in("dataset", name, entry.path)
        if offline and dataset_source(study, entry).file is None
        else _named_place(study, ("datasets", name), lambda e=entry, n=name: _dataset(study, n, e, tokenizers))
        for name, entry in study.body.datasets.items()
    ]
    settings = [
        setting_object(action, name, setting)
        for action, config in study.actions.items()
        for name, setting in settings_of(config).items()
    ]
    objects = (*beside_their_bases(models), *datasets, *settings)
    seen: dict[ObjectId, str] = {}
    for obj in objects:
        if (other := seen.setdefault(obj.id, obj.name)) != obj.name:
            raise ConfigError(f"{study.file}: {obj.kind} {other!r} and {obj.name!r} have the same content.")
    return InitialPool(objects=objects, imports=imports)


def write_datasets(study: Study, provided: InitialPool, artifacts: ArtifactStore) -> None:
    """Keep the rows of every dataset as an artifact, where they are not there yet."""
    for obj in provided.of_kind("dataset"):
        if artifacts.record(obj.id) is not None:
            continue
        with artifacts.write(obj.id, {"id": obj.id, "kind": obj.kind, "meta": dict(obj.meta)}) as folder:
            with (folder / "data.jsonl").open("w", encoding="utf-8") as out:
                for _, _, line in _lines(study, study.body.datasets[obj.name]):
                    out.write(line)


def dataset_source(study: Study, entry: DatasetEntry) -> Source:
    return Source(path=entry.path, folder=study.home, name=entry.name, split=entry.split, revision=entry.revision)


def row_count(study: Study, entry: Mapping[str, Any]) -> int:
    """How many rows a dataset's entry names, whatever its limit."""
    read = DatasetEntry.model_validate({**entry, "limit": None})
    return sum(1 for _ in read_rows(dataset_source(study, read)))


def kept_bytes(study: Study, entry: DatasetEntry) -> int | None:
    """How much a dataset takes as an artifact; None where it must be fetched first."""
    if dataset_source(study, entry).file is None:
        return None
    return sum(len(line.encode()) for _, _, line in _lines(study, entry))


def _models(study: Study, known: Mapping[str, Object], offline: bool) -> tuple[list[Object], dict[ObjectId, Path]]:
    made: dict[str, Object] = {}
    imports: dict[ObjectId, Path] = {}
    entries = study.body.models
    for name in sorted(entries, key=lambda n: _depth(study, n)):
        entry = entries[name]
        if offline and not _local(study, entry.path):
            made[name] = known.get(name) or _stand_in("model", name, entry.path)
            continue
        root = made[entry.base].id if entry.base in made else None
        obj, gguf = _named_place(
            study, ("models", name), lambda n=name, r=root: _model(study, n, entries[n], r, known.get(n))
        )
        made[name] = obj
        if gguf is not None:
            imports[obj.id] = gguf
    return [made[name] for name in entries], imports


def _stand_in(kind: Kind, name: str, path: str) -> Object:
    return Object(id=content_id([kind, name, path]), kind=kind, name=name, uri=path)


def reference(study: Study, given: str) -> Object:
    """A model that a study does not name: a Hugging Face folder, as seen from the current one, or a hub id.

    Raises:
        UserError: it cannot be used.
    """
    folder = Path(given).expanduser()
    if folder.suffix == ".gguf":
        raise DataError(f"{given}: a .gguf file must be imported first; name it under `models:` of a study of its own.")
    entry = ModelEntry(path=str(folder.resolve()) if folder.exists() else given)
    return _model(study, given, entry, None, None)[0]


def _model(
    study: Study, name: str, entry: ModelEntry, root: ObjectId | None, known: Object | None
) -> tuple[Object, Path | None]:
    dtype = study.body.execution.dtype
    path = study.home / Path(entry.path).expanduser()
    if path.suffix == ".gguf":
        object_id = gguf_id(path, dtype)
        obj = Object(id=object_id, kind="model", name=name, uri=entry.path, meta={"root": root or object_id})
        return obj, path
    if _local(study, entry.path):
        uri, facts = entry.path, read_facts(path)
        object_id = folder_id(path, root, dtype=dtype)
    else:
        pinned = known is not None and known.uri.startswith(f"{HUB}{entry.path}@")
        hub = (
            HubModel.of(known.uri) if known is not None and pinned else resolve(entry.path, entry.revision, place=path)
        )
        object_id = hub_id(hub, root, dtype)
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
    return (study.home / local).exists() or local.suffix == ".gguf" or not may_be_hub_id(path)


def _tokenizers(study: Study, models: Sequence[Object]) -> dict[str, Any]:
    """The tokenizers of models whose folders are there, by their id."""
    folders = {
        obj.meta["tokenizer"]: HubModel.of(obj.uri).folder()
        if obj.uri.startswith(HUB)
        else study.home / Path(obj.uri).expanduser()
        for obj in models
        if "tokenizer" in obj.meta
    }
    opened = {name: open_tokenizer(folder) for name, folder in folders.items()}
    return {name: tokenizer for name, tokenizer in opened.items() if tokenizer is not None}


def _dataset(study: Study, name: str, entry: DatasetEntry, tokenizers: Mapping[str, Any]) -> Object:
    digest, rows, shapes, size, unused = rows_digest(), 0, set(), Size(), Counter[str]()
    samples: list[str] = []
    for _, shape, line in _lines(study, entry, unused):
        digest.update(line.encode())
        size.add(row := json.loads(line))
        if len(samples) < SAMPLES:
            samples.append(shown_row(row))
        rows += 1
        shapes.add(shape)
    if not rows:
        raise DataError(f"dataset {name!r}: leave_out and limit leave no row.")
    if len(shapes) > 1:
        raise DataError(
            f"dataset {name!r}: mixes rows of the shapes {', '.join(sorted(shapes))}; make one dataset of each, or "
            "give it chat: true where prompts are beside messages."
        )
    meta = {"rows": rows, "format": shapes.pop(), "split": entry.split, **size.meta(tokenizers), "samples": samples}
    if unused:
        meta["unused"] = dict(sorted(unused.items()))
    return Object(id=digest.hexdigest(), kind="dataset", name=name, uri=entry.path, meta=meta)


def dataset_rows(study: Study, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a dataset as they are kept, each with where it stands in what the user gave."""
    for where, _, line in _lines(study, study.body.datasets[name]):
        yield where, json.loads(line)


def _lines(study: Study, entry: DatasetEntry, unused: Counter[str] | None = None) -> Iterator[tuple[str, str, str]]:
    rows = training_rows(read_rows(dataset_source(study, entry)), entry.columns, chat=entry.chat, unused=unused)
    left_out = frozenset(entry.leave_out)
    for number, (where, shape, row) in enumerate(rows):
        if entry.limit is not None and number >= entry.limit:
            return
        if number in left_out:
            continue
        yield where, shape, json.dumps(row, ensure_ascii=False) + "\n"


def _named_place(study: Study, path: tuple[str, ...], make: Any) -> Any:
    try:
        return make()
    except DataError as error:
        raise DataError(f"{study.document.where(path)}: {'.'.join(path)}: {error}") from error
