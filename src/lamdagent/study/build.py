"""From a study file to live objects: the only file that knows both sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lamdagent.core.action_type import ActionType
from lamdagent.core.config import Config
from lamdagent.core.errors import ConfigError, Invalid
from lamdagent.core.plan import Plan, plan_of_trials
from lamdagent.core.protocols import Memory, Policy
from lamdagent.core.state import reduce_events
from lamdagent.core.types import Budget, Object
from lamdagent.evaluation import sanity
from lamdagent.evaluation.evaluator import Evaluation
from lamdagent.evaluation.tasks.lm_eval import LmEvalTask
from lamdagent.llm.chat import Chat
from lamdagent.llm.config import ChatConfig
from lamdagent.llm.llama_cpp import Local
from lamdagent.llm.pydantic_ai import PydanticAi
from lamdagent.objects.artifacts import Artifacts
from lamdagent.objects.models import Models
from lamdagent.objects.models.hub import locate
from lamdagent.runners.job import JobContext, Toolkit
from lamdagent.study import registry
from lamdagent.study.config import Document, Study, load_study
from lamdagent.study.journal import read_journal
from lamdagent.study.tasks import task_of

EXAMINED = 8  # items a made model is examined with


def action_types(study: Study) -> dict[str, ActionType]:
    return {name: registry.find("actions", name)(**config.arguments()) for name, config in study.actions.items()}


def chat(study: Study) -> Chat | None:
    """The language model that the policy names, ready to be asked; None where it names none.

    Raises:
        UserError: it cannot be reached in principle, such as for want of a key.
    """
    settings = study.policy[1]
    if not isinstance(settings, ChatConfig):
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


def _arguments(study: Study, config: Config, chat: Chat | None) -> dict[str, Any]:
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
    return plan_of_trials(reduce_events(read_journal(folder)))


def budget(study: Study) -> Budget:
    bounds = study.body.budget
    return Budget(trials=bounds.trials, hours=bounds.hours, usd=bounds.usd, tokens=bounds.tokens)


def artifacts(study: Study) -> Artifacts:
    return Artifacts(study.root / "artifacts")


def toolkit(study: Study) -> Toolkit:
    """What a worker needs to do this study's jobs. Nothing is loaded yet."""
    execution, store = study.body.execution, artifacts(study)
    models, tasks = (
        Models(device=execution.device, dtype=execution.dtype),
        [task_of(study, e) for e in study.body.tasks],
    )
    return Toolkit(
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


def _examiner(models: Models, tasks: Sequence[LmEvalTask]) -> Callable[[str, Object, JobContext], Mapping[str, float]]:
    def examine(object_id: str, root: Object, context: JobContext) -> Mapping[str, float]:
        examples = [e for task in tasks for e in task.examples(max(1, EXAMINED // len(tasks)))]
        made = models.load(object_id, context.workdir / "weights")
        findings = sanity.examine(
            made, examples, base_rate=lambda: sanity.end_rate(models.load(root.id, context.weights(root)), examples)
        )
        if findings.faults:
            raise Invalid("; ".join(findings.faults))
        moved = sanity.distance(context.workdir / "weights", context.weights(root))
        return findings.facts if moved is None else {**findings.facts, "distance": moved}

    return examine
