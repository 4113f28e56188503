"""From a study file to live objects: the only file that knows both sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lamdagent import registry
from lamdagent.config import Document, Study, TaskEntry, load_study
from lamdagent.errors import ConfigError, Invalid
from lamdagent.evaluation import Evaluation
from lamdagent.events import fold
from lamdagent.execution import Bench, Desk
from lamdagent.intake import own_metric, own_sides, task_manager
from lamdagent.llm.chat import Chat
from lamdagent.llm.client import PydanticAi
from lamdagent.llm.local import Local
from lamdagent.llm.settings import ChatSettings
from lamdagent.models import Models, validity
from lamdagent.models.sources import HUB, HubModel
from lamdagent.plan import Plan, plan_of_trials
from lamdagent.protocols import ActionType, Memory, Policy
from lamdagent.settings import Settings
from lamdagent.store.artifacts import Artifacts
from lamdagent.store.journal import read_journal
from lamdagent.tasks.harness import LmEvalTask
from lamdagent.tasks.rows import lm_eval_task
from lamdagent.types import Budget, Object, content_id

EXAMINED = 8  # items a made model is examined with
NOT_IN_IDS = {"weight", "max_score", "path", "limit", "test"}


def action_types(study: Study) -> dict[str, ActionType]:
    return {name: registry.find("actions", name)(**config.arguments()) for name, config in study.actions.items()}


def chat(study: Study) -> Chat | None:
    """The language model that the policy names, ready to be asked; None where it names none.

    Raises:
        UserError: it cannot be reached in principle, such as for want of a key.
    """
    settings = study.policy[1]
    if not isinstance(settings, ChatSettings):
        return None
    client = Local(settings, home=study.home) if settings.model == "local" else PydanticAi(settings)
    return Chat(client, budget=budget(study), attempts=settings.attempts, max_failures=settings.max_failures)


def policy(study: Study, chat: Chat | None) -> Policy:
    kind, config = study.policy
    arguments = _arguments(study, config, chat)
    for key in ("fallback", "shortlist"):
        if arguments.get(key) is not None:
            arguments[key] = registry.find("policies", arguments[key])()
    if "plan" in arguments:
        arguments["plan"] = _plan(study, arguments["plan"])
    made: Policy = registry.find("policies", kind)(**arguments)
    return made


def memory(study: Study, chat: Chat | None) -> Memory:
    kind, config = study.memory
    if kind == "reflection" and chat is None:
        where = study.document.where(("memory", "kind"))
        raise ConfigError(
            f"{where}: memory: reflection asks the policy's language model; it needs policy: {{kind: agent}}"
        )
    made: Memory = registry.find("memories", kind)(**_arguments(study, config, chat if kind == "reflection" else None))
    return made


def _arguments(study: Study, config: Settings, chat: Chat | None) -> dict[str, Any]:
    arguments = config.arguments()
    if arguments.get("prompts") is not None:
        arguments["prompts"] = study.home / Path(arguments["prompts"]).expanduser()
    return arguments if chat is None else {**arguments, "chat": chat}


def _plan(study: Study, given: str) -> Plan:
    """The plan that a path stands for: a pipeline.yaml, a folder with one, or all that a study did."""
    place = study.home / Path(given).expanduser()
    if place.is_dir() and not (place / "journal.sqlite").exists():
        place = place / "pipeline.yaml"
    if place.is_file() and "steps" in (data := Document(place).data):
        return Plan.of(data, str(place))
    folder = load_study(place).folder if place.is_file() else place
    if not folder.is_dir():
        where = study.document.where(("policy", "from"))
        raise ConfigError(f"{where}: policy.from: {place}: no such pipeline.yaml, study file or run folder.")
    return plan_of_trials(fold(read_journal(folder)))


def budget(study: Study) -> Budget:
    bounds = study.body.budget
    return Budget(trials=bounds.trials, hours=bounds.hours, usd=bounds.usd, tokens=bounds.tokens)


def artifacts(study: Study) -> Artifacts:
    return Artifacts(study.root / "artifacts")


def bench_of(study: Study) -> Bench:
    """What a worker needs to do this study's jobs. Nothing is loaded yet."""
    execution, store = study.body.execution, artifacts(study)
    models, tasks = Models(device=execution.device, dtype=execution.dtype), [_task(study, e) for e in study.body.tasks]
    return Bench(
        action_types=action_types(study),
        evaluation=Evaluation(
            tasks=tasks,
            goals=study.goals,
            first=study.body.evaluation.items,
            most=study.body.evaluation.max_items,
        ),
        artifacts=store,
        models=models,
        locate=lambda obj: locate(study.home, store, obj),
        examine=_examiner(models, tasks),
    )


def _examiner(models: Models, tasks: Sequence[LmEvalTask]) -> Callable[[str, Object, Desk], Mapping[str, float]]:
    def examine(object_id: str, root: Object, desk: Desk) -> Mapping[str, float]:
        examples = [e for task in tasks for e in task.examples(max(1, EXAMINED // len(tasks)))]
        made = models.load(object_id, desk.workdir / "weights")
        findings = validity.examine(
            made, examples, base_rate=lambda: validity.end_rate(models.load(root.id, desk.weights(root)), examples)
        )
        if findings.faults:
            raise Invalid("; ".join(findings.faults))
        moved = validity.distance(desk.workdir / "weights", desk.weights(root))
        return findings.facts if moved is None else {**findings.facts, "distance": moved}

    return examine


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
    # What only says which items are asked, or how a score counts, gives no item another result.
    key = entry.model_dump(mode="json", exclude_defaults=True, exclude=NOT_IN_IDS)
    if entry.path is None:
        named = content_id(["named", key, _lm_eval_version()])
        return LmEvalTask(
            ids={"validation": named, "test": named},
            load=lambda split: _named(study, entry),
            metric=str(entry.metric),
            divide=True,
            **common,
        )
    sides = own_sides(study, entry)
    metric = own_metric(entry, sides["validation"])
    return LmEvalTask(
        ids={split: content_id(["rows", key, metric, items]) for split, items in sides.items()},
        load=lambda split: _own(entry, sides[split], metric),
        metric=metric,
        divide=False,
        **common,
    )


def _own(entry: TaskEntry, items: Sequence[Mapping[str, Any]], metric: str) -> Mapping[str, Any]:
    if not items:
        return {}
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
