"""From a study file to live objects: the only file that knows both sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lamdagent import registry
from lamdagent.config import Study, TaskEntry
from lamdagent.execution import Bench
from lamdagent.intake import own_items, own_metric, task_manager
from lamdagent.models import Models
from lamdagent.models.sources import HUB, HubModel
from lamdagent.protocols import ActionType, Memory, Policy
from lamdagent.store.artifacts import Artifacts
from lamdagent.tasks.harness import LmEvalTask
from lamdagent.tasks.rows import lm_eval_task
from lamdagent.types import Budget, Object, content_id


def action_types(study: Study) -> dict[str, ActionType]:
    return {name: registry.find("actions", name)(**config.arguments()) for name, config in study.actions.items()}


def policy(study: Study) -> Policy:
    kind, config = study.policy
    made: Policy = registry.find("policies", kind)(**config.arguments())
    return made


def memory(study: Study) -> Memory:
    kind, config = study.memory
    made: Memory = registry.find("memories", kind)(**config.arguments())
    return made


def budget(study: Study) -> Budget:
    return Budget(trials=study.body.budget.trials, hours=study.body.budget.hours)


def artifacts(study: Study) -> Artifacts:
    return Artifacts(study.root / "artifacts")


def bench_of(study: Study) -> Bench:
    """What a worker needs to do this study's jobs. Nothing is loaded yet."""
    execution, store = study.body.execution, artifacts(study)
    return Bench(
        action_types=action_types(study),
        tasks=[_task(study, entry) for entry in study.body.tasks],
        artifacts=store,
        models=Models(device=execution.device, dtype=execution.dtype),
        locate=lambda obj: locate(study.home, store, obj),
    )


def locate(home: Path, store: Artifacts, obj: Object) -> Path:
    """The Hugging Face folder of a model that the user brought."""
    if obj.uri.startswith(HUB):
        return HubModel.of(obj.uri).folder()
    if obj.uri.endswith(".gguf"):
        return store.folder(obj.id) / "weights"
    return home / Path(obj.uri).expanduser()


def _task(study: Study, entry: TaskEntry) -> LmEvalTask:
    batch_size = study.body.execution.batch_size
    common: dict[str, Any] = {"name": entry.task, "limit": entry.limit, "chat": entry.chat, "batch_size": batch_size}
    key = entry.model_dump(mode="json", exclude={"weight", "max_score", "path"})
    if entry.path is None:
        return LmEvalTask(
            id=content_id(["named", key, _lm_eval_version()]),
            load=lambda: _named(study, entry),
            metric=str(entry.metric),
            divide=True,
            **common,
        )
    items = own_items(study, entry)
    metric = own_metric(entry, items)
    return LmEvalTask(
        id=content_id(["rows", key, metric, items]),
        load=_own(entry, items, metric),
        metric=metric,
        divide=False,
        **common,
    )


def _own(entry: TaskEntry, items: Sequence[Mapping[str, Any]], metric: str) -> Callable[[], Mapping[str, Any]]:
    def load() -> Mapping[str, Any]:
        made = lm_eval_task(
            entry.task,
            items,
            metric=metric,
            max_new_tokens=entry.max_new_tokens,
            until=entry.until,
            target_delimiter=entry.target_delimiter,
        )
        made.set_config("num_fewshot", 0)
        return {entry.task: made}

    return load


def _named(study: Study, entry: TaskEntry) -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = task_manager(study).load([entry.task])["tasks"]
    for task in loaded.values():
        if entry.num_fewshot is not None:
            task.set_config("num_fewshot", entry.num_fewshot)
        elif task.get_config("num_fewshot") is None:
            task.set_config("num_fewshot", 0)
        task.set_fewshot_seed(seed=0)
    return loaded


def _lm_eval_version() -> str:
    from importlib.metadata import version

    return version("lm_eval")
