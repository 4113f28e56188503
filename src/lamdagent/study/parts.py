"""The live parts of one study: from its file to what a search is made of, each made once, when it is first asked for.

The only place that knows both sides. It knows no plug-in's own keys: each plug-in's `Config.arguments` asks for what it
needs (`core.config.Parts`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from lamdagent.core.action_type import ActionType
from lamdagent.core.budget import Budget
from lamdagent.core.config import Config
from lamdagent.core.errors import ConfigError
from lamdagent.core.jobs import Progress, WorkerSpec
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.plan import Plan, plan_of_trials
from lamdagent.core.protocols import ArtifactStore, Memory, Observer, Policy, Runner, Task
from lamdagent.core.state import reduce_events
from lamdagent.evaluation.contamination.made import RowScreen
from lamdagent.evaluation.evaluator import Evaluation
from lamdagent.evaluation.sanity import Examiner
from lamdagent.llm.chat import Chat
from lamdagent.llm.clients import open_client
from lamdagent.llm.config import ChatConfig
from lamdagent.objects.models import Models
from lamdagent.objects.models.hub import locate
from lamdagent.runners.calls import CallFolder
from lamdagent.runners.job import Toolkit
from lamdagent.study import registry
from lamdagent.study.config import Document, Study, load_study
from lamdagent.study.config.schema import study_of
from lamdagent.study.initial_pool import dataset_rows
from lamdagent.study.journal import read_journal

Watch = Callable[[int | str, Progress], None]


class StudyParts:
    """The parts of a study that was read. Nothing is made, read or connected before it is asked for.

    Args:
        watch: hears of the progress of every job.
        start: start a language model that is served here when it is asked for; else it is only looked whether it can be.
    """

    def __init__(self, study: Study, *, watch: Watch = lambda key, progress: None, start: bool = True) -> None:
        self.study, self._watch, self._start = study, watch, start
        self._chats: list[Chat] = []
        self._record: Callable[[LLMCall], None] = lambda call: None

    @staticmethod
    def told(spec: WorkerSpec) -> StudyParts:
        """The parts of the study that a worker was told of, in the worker's process."""
        return StudyParts(study_of(Document.of(Path(spec.file), dict(spec.study))))

    @cached_property
    def worker_spec(self) -> WorkerSpec:
        whole = {**self.study.dump(), "root": self.study.body.root}
        return WorkerSpec(study=whole, file=str(self.study.file.resolve()))

    @cached_property
    def budget(self) -> Budget:
        return Budget(**self.study.body.budget.model_dump())

    @cached_property
    def artifacts(self) -> ArtifactStore:
        kind, config = self.study.artifacts
        made: ArtifactStore = self._made("artifacts", kind, config)
        return made

    @cached_property
    def calls(self) -> CallFolder:
        """What jobs were answered by language models."""
        return CallFolder(self.study.folder / "calls")

    @cached_property
    def action_types(self) -> Mapping[str, ActionType]:
        return {name: self._made("actions", name, config) for name, config in self.study.actions.items()}

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        return tuple(self._made("tasks", kind, config) for kind, config in self.study.tasks)

    @cached_property
    def policy(self) -> Policy:
        """Raises: UserError: it cannot be made here, such as for want of a key or of a package."""
        made: Policy = self._made("policies", *self.study.policy)
        return made

    @cached_property
    def memory(self) -> Memory:
        made: Memory = self._made("memories", *self.study.memory)
        return made

    def runner(self, *, inline: bool = False) -> Runner:
        """A new runner.

        Args:
            inline: one that runs jobs in this process, whatever the study says.
        """
        kind, config = ("inline", registry.find("runners", "inline").Config()) if inline else self.study.runner
        made: Runner = self._made("runners", kind, config)
        return made

    @cached_property
    def observers(self) -> tuple[Observer, ...]:
        """Raises: UserError: one cannot be made here, such as for want of a package."""
        return tuple(self._made("observers", kind, config) for kind, config in self.study.observers)

    @cached_property
    def toolkit(self) -> Toolkit:
        """What jobs are done with in this process. Loads torch."""
        execution, evaluation = self.study.body.execution, self.study.body.evaluation
        models = Models(device=execution.device, dtype=execution.dtype)
        return Toolkit(
            action_types=self.action_types,
            evaluation=Evaluation(
                tasks=self.tasks, goals=self.study.goals, first=evaluation.items, most=evaluation.max_items
            ),
            artifacts=self.artifacts,
            models=models,
            locate=partial(locate, self.study.home, self.artifacts),
            examine=Examiner(models=models, tasks=self.tasks),
            screen=RowScreen(self.tasks, mode=self.study.body.contamination, leave_out=self.study.body.leave_out),
            calls=self.calls,
            rows=partial(dataset_rows, self.study),
        )

    @cached_property
    def language_model(self) -> Chat | None:
        """The language model that the policy names, ready to be asked; None where it names none.

        Raises:
            UserError: it cannot be reached in principle, such as for want of a key.
        """
        config = self.study.policy[1]
        if not isinstance(config, ChatConfig):
            return None
        return self._opened(config, "policy")

    def record_with(self, record: Callable[[LLMCall], None]) -> None:
        """Say what journals the answers that runners tell of. Before that they wait in `calls`."""
        self._record = record

    def close(self) -> None:
        """Stop what was started for language models."""
        for chat in self._chats:
            chat.close()

    # What a plug-in's Config may ask for: see core.config.Parts.

    @property
    def batch_size(self) -> int | str:
        return self.study.body.execution.batch_size

    @property
    def include_path(self) -> Path | None:
        """The folder with the study's own lm-eval task files."""
        given = self.study.body.include_path
        return None if given is None else self.path(given)

    @property
    def root(self) -> Path:
        return self.study.root

    @property
    def logs(self) -> Path:
        return self.study.folder / "logs"

    @property
    def workers(self) -> int:
        return self.study.body.execution.workers

    @property
    def timeout_s(self) -> float:
        return self.study.body.execution.timeout_min * 60

    @property
    def watch(self) -> Watch:
        return self._watch

    def answered(self, call: LLMCall) -> None:
        self._record(call)

    def path(self, given: str) -> Path:
        return self.study.home / Path(given).expanduser()

    def chat(self, who: str, config: ChatConfig | None = None) -> Chat:
        if config is not None:
            return self._opened(config, who)
        if self.language_model is None:
            where = self.study.document.where((who.partition(":")[0],))
            raise ConfigError(
                f"{where}: {who} asks the policy's language model; it needs policy: {{kind: agent, model: …}}"
            )
        return self.language_model

    def plain_policy(self, kind: str) -> Policy:
        found = registry.find("policies", kind)
        made: Policy = found(**found.Config().arguments(self))
        return made

    def plan(self, given: str) -> Plan:
        place = self.path(given)
        if place.is_dir() and not (place / "journal.sqlite").exists():
            place = place / "pipeline.yaml"
        if place.is_file() and "steps" in (data := Document(place).data):
            return Plan.of(data, str(place))
        folder = load_study(place).folder if place.is_file() else place
        if not folder.is_dir():
            where = self.study.document.where(("policy", "from"))
            raise ConfigError(f"{where}: policy.from: {place}: no such pipeline.yaml, study file or run folder.")
        return plan_of_trials(reduce_events(read_journal(folder)))

    def _opened(self, config: ChatConfig, section: str) -> Chat:
        client = open_client(config, self.study.home, start=self._start, section=section)
        self._chats.append(
            Chat(
                client,
                budget=self.budget,
                answer_tokens=config.answer_tokens,
                attempts=config.attempts,
                max_failures=config.max_failures,
                section=section,
            )
        )
        return self._chats[-1]

    def _made(self, family: registry.Family, kind: str, config: Config) -> Any:
        return registry.find(family, kind)(**config.arguments(self))
