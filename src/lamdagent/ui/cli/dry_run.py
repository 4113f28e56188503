"""What a run would do: `run --dry-run`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from lamdagent.core.format import setting, size
from lamdagent.core.protocols import Task
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Kind, Object
from lamdagent.evaluation.tasks.config import TaskConfig
from lamdagent.results.result import Facts, Part, Section
from lamdagent.study.audit import audit_aside, lines_of, refuse
from lamdagent.study.changes import changes
from lamdagent.study.config import Study
from lamdagent.study.config.schema import BudgetEntry
from lamdagent.study.initial_pool import kept_bytes, load_pool, to_fetch
from lamdagent.study.open import begun, check_parts, check_tasks
from lamdagent.study.parts import StudyParts, Watch
from lamdagent.study.unused import refuse_unusable, unmerged

BYTES_PER_PARAMETER = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedObject:
    """An object that the search starts with."""

    kind: Kind
    """Model, dataset or hyperparameters."""
    name: str
    """Its name in the study file."""
    about: str
    """What is known of it without opening it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTask:
    """A task that models will be scored on."""

    task: str
    """Its name."""
    metric: str
    """How an answer is judged."""
    weight: float
    """How it counts in the objective."""
    items: str
    """How many items are asked, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run would do."""

    study: str
    """The study's name."""
    seed: int
    """Its seed."""
    folder: str
    """Its run folder."""
    pool: tuple[PlannedObject, ...]
    """What the search starts with."""
    actions: Mapping[str, int]
    """How many actions of each type can be done first."""
    unmerged: tuple[str, ...]
    """Which provided models no action puts together, and why."""
    tasks: tuple[PlannedTask, ...]
    """What models are scored on."""
    policy: str
    """Who selects."""
    memory: str
    """What is remembered."""
    budget: str
    """Where the search stops, in words."""
    disk: str
    """What it takes on the disk, in words."""
    to_fetch: tuple[str, ...]
    """What is fetched before it begins."""
    audit: tuple[str, ...]
    """What an audit of models, datasets and settings warns of, or has to say."""
    not_audited: tuple[str, ...]
    """What the audit could not look at, since it is not on this machine yet."""

    @property
    def title(self) -> str:
        return f"plan of {self.study}"

    def sections(self) -> list[Section]:
        tasks = [(t.task, f"{t.items} ({t.metric}, weight {t.weight:g})") for t in self.tasks]
        parts: list[Part] = [
            f"study {self.study}, seed {self.seed}, in {self.folder}",
            "pool:",
            Facts(rows=[(f"{o.kind} {o.name}", o.about) for o in self.pool]),
            "actions that can be done first (the number grows with every model made):",
            Facts(rows=[(name, f"{n:,}") for name, n in self.actions.items()]),
            *self.unmerged,
            "tasks:",
            Facts(rows=tasks),
            f"policy {self.policy}, memory {self.memory}, budget {self.budget}",
            f"disk: {self.disk}",
            "to be fetched:\n" + "\n".join(f"  {w}" for w in self.to_fetch) if self.to_fetch else "nothing to fetch",
            "audit:\n" + "\n".join(f"  {line}" for line in self.audit) if self.audit else "audit: nothing to say",
        ]
        if self.not_audited:
            parts.append(
                "not audited until fetched or imported:\n" + "\n".join(f"  {what}" for what in self.not_audited)
            )
        return [Section(parts=parts)]


def plan_of(study: Study, *, watch: Watch = lambda key, progress: None) -> RunPlan:
    """Check a study as a run would, and say what a run would do. A worker is started to look at models and datasets.

    Args:
        watch: hears how far that is.
    Raises:
        UserError: as a run would.
    """
    parts = StudyParts(study, watch=watch, start=False)
    check_tasks(parts)
    check_parts(parts)
    before = begun(study)
    pool = load_pool(study, before.pool, offline=True)
    objects = pool.objects
    if before.pool:
        changes(study, before, objects, [task for task in parts.tasks if task.to_fetch() is None])
    state = State(seed=study.body.seed, pool={obj.id: obj for obj in objects})
    types = parts.action_types
    refuse_unusable(study, types, objects)
    findings, unseen = audit_aside(parts, pool, before)
    refuse(study, findings)
    space = ActionSpace(state, types)
    return RunPlan(
        study=study.body.study,
        seed=study.body.seed,
        folder=str(study.folder),
        pool=tuple(PlannedObject(kind=o.kind, name=o.name, about=_about(o)) for o in objects),
        actions={name: sum(1 for _ in space.of_type(name)) for name in types},
        unmerged=tuple(unmerged(types, objects)),
        tasks=tuple(_task(task, config) for task, (_, config) in zip(parts.tasks, study.tasks, strict=True)),
        policy=study.policy[0],
        memory=study.memory[0],
        budget=_budget(study.body.budget),
        disk=_disk(study, objects, {type.makes for type in types.values()}),
        to_fetch=tuple(to_fetch(study, parts.tasks)),
        audit=(*lines_of(study, findings, "warning"), *lines_of(study, findings, "note")),
        not_audited=tuple(unseen),
    )


def _budget(budget: BudgetEntry) -> str:
    bounds = {name: value for name, value in budget.model_dump().items() if value is not None and name != "trials"}
    trials = f"{budget.trials} trials" if budget.trials else "no bound on trials"
    return ", ".join([trials, *(f"{value:,} {name}" for name, value in bounds.items())])


def _about(obj: Object) -> str:
    if obj.kind == "hyperparameters":
        return f"{obj.setting['action']}, {setting(obj)}"
    if obj.kind == "dataset":
        about = obj.dataset
        if not about:
            return f"{obj.uri}, to be fetched"
        unused = [f"{column} ({n:,} rows)" for column, n in about.get("unused", {}).items()]
        left = f"; not used: {', '.join(unused)}" if unused else ""
        return f"{about['rows']:,} rows, {about['format']}, of {obj.uri}{left}"
    if "parameters" in obj.model:
        return f"{obj.model['parameters']:,} parameters, {obj.model['architecture']}, of {obj.uri}"
    return f"{obj.uri}, to be {'imported' if obj.uri.endswith('.gguf') else 'fetched'}"


def _task(task: Task, config: TaskConfig) -> PlannedTask:
    metric = getattr(config, "metric", None) or "by its rows"
    return PlannedTask(task=task.name, metric=metric, weight=config.weight, items=task.about())


def _disk(study: Study, objects: Sequence[Object], makes: Set[Kind]) -> str:
    place = next(p for p in (study.root, *study.root.parents) if p.exists())
    free = shutil.disk_usage(place).free
    models = [o.model for o in objects if o.kind == "model" and "parameters" in o.model]
    known = {"model": max((m["parameters"] * BYTES_PER_PARAMETER.get(m["dtype"], 4) for m in models), default=0)}
    if "dataset" in makes:  # what an action will write is not known: as much as the largest dataset that is given
        known["dataset"] = max((kept_bytes(study, entry) or 0 for entry in study.body.datasets.values()), default=0)
    if not any(known.values()) or study.body.budget.trials is None:
        return f"{size(free)} free"
    need = max(n for kind, n in known.items() if kind in makes) * study.body.budget.trials
    each = f"about {size(known['model'])} a model"
    if "dataset" in known:
        each += f", {size(known['dataset'])} a dataset if it is as large as the largest given one"
    warning = "" if need < free else ": not enough; give `root:` a larger disk or lower the budget"
    return f"{each}, {size(need)} for all trials, {size(free)} free{warning}"
