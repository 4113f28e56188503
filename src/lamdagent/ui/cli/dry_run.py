"""What a run would do: `run --dry-run`."""

from __future__ import annotations

import json
import shutil
from typing import Any

import typer

from lamdagent.core.format import setting, size
from lamdagent.core.protocols import Task
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.evaluation.tasks.config import TaskConfig
from lamdagent.study.config import Study
from lamdagent.study.initial_pool import load_pool, to_fetch
from lamdagent.study.open import check_tasks
from lamdagent.study.parts import StudyParts

BYTES_PER_PARAMETER = {"float32": 4, "bfloat16": 2, "float16": 2}


def print_plan(study: Study, *, as_json: bool) -> None:
    """Check a study as a run would, and print its pool, actions, tasks, what is fetched, and the disk it needs.

    Raises:
        UserError: as a run would.
    """
    data = plan(study)
    if as_json:
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
        return
    lines = [f"study {data['study']}, seed {data['seed']}, in {data['folder']}", "pool:"]
    lines += [f"  {o['kind']} {o['name']}: {o['about']}" for o in data["pool"]]
    lines += ["actions that can be done first (the number grows with every model made):"]
    lines += [f"  {name}: {n:,}" for name, n in data["actions"].items()]
    lines += [
        "tasks:",
        *(f"  {t['task']} ({t['metric']}, weight {t['weight']:g}): {t['items']}" for t in data["tasks"]),
    ]
    lines += [f"policy {data['policy']}, memory {data['memory']}, budget {data['budget']}"]
    lines += [f"disk: {data['disk']}"]
    lines += (
        ["to be fetched:", *(f"  {what}" for what in data["to_fetch"])] if data["to_fetch"] else ["nothing to fetch"]
    )
    typer.echo("\n".join(lines))


def plan(study: Study) -> dict[str, Any]:
    """The same as plain data."""
    parts = StudyParts(study)
    check_tasks(parts)
    objects = load_pool(study, {}, offline=True).objects
    state = State(seed=study.body.seed, pool={obj.id: obj for obj in objects})
    types = parts.action_types
    space = ActionSpace(state, types)
    budget = study.body.budget
    hours = f", {budget.hours:g} hours" if budget.hours else ""
    return {
        "study": study.body.study,
        "seed": study.body.seed,
        "folder": str(study.folder),
        "pool": [{"kind": o.kind, "name": o.name, "about": _about(o)} for o in objects],
        "actions": {name: sum(1 for _ in space.of_type(name)) for name in types},
        "tasks": [_task(task, config) for task, (_, config) in zip(parts.tasks, study.tasks, strict=True)],
        "policy": study.policy[0],
        "memory": study.memory[0],
        "budget": f"{budget.trials} trials{hours}" if budget.trials else f"no bound on trials{hours}",
        "disk": _disk(study, objects),
        "to_fetch": to_fetch(study, parts.tasks),
    }


def _about(obj: Any) -> str:
    if obj.kind == "hyperparameters":
        return f"{obj.meta['action']}, {setting(obj)}"
    if obj.kind == "dataset":
        return (
            f"{obj.meta['rows']:,} rows, {obj.meta['format']}, of {obj.uri}"
            if obj.meta
            else f"{obj.uri}, to be fetched"
        )
    if "parameters" in obj.meta:
        return f"{obj.meta['parameters']:,} parameters, {obj.meta['architecture']}, of {obj.uri}"
    return f"{obj.uri}, to be {'imported' if obj.uri.endswith('.gguf') else 'fetched'}"


def _task(task: Task, config: TaskConfig) -> dict[str, Any]:
    metric = getattr(config, "metric", None) or "by its rows"
    return {"task": task.name, "metric": metric, "weight": config.weight, "items": task.about()}


def _disk(study: Study, objects: Any) -> str:
    place = next(p for p in (study.root, *study.root.parents) if p.exists())
    free = shutil.disk_usage(place).free
    known = [
        o.meta["parameters"] * BYTES_PER_PARAMETER.get(o.meta["dtype"], 4) for o in objects if "parameters" in o.meta
    ]
    if not known or study.body.budget.trials is None:
        return f"{size(free)} free"
    need = max(known) * study.body.budget.trials
    warning = "" if need < free else ": not enough; give `root:` a larger disk or lower the budget"
    return f"about {size(max(known))} a model, {size(need)} for all trials, {size(free)} free{warning}"
