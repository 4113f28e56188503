"""What a study file may say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from lamdagent.core.config import NAME, Config, PathText
from lamdagent.core.errors import ConfigError, UnknownName, nearest
from lamdagent.core.settings import FREE, read_varied
from lamdagent.core.types import Guard, TaskWeight
from lamdagent.evaluation.tasks.config import TaskConfig
from lamdagent.study import registry
from lamdagent.study.config.messages import DEVICE, NOWHERE_ELSE, PATTERNS, in_words
from lamdagent.study.config.settings import in_place, refuse_untaken, settings_of
from lamdagent.study.config.yaml import Document, Path_

AUTO = "auto"
MADE = re.compile(r"(model|dataset)-\d+")


class ModelEntry(Config):
    """A base model, or another model to start from."""

    path: PathText = Field(description="hub id, local Hugging Face folder, or local .gguf file (imported once)")
    revision: str | None = Field(None, description="branch, tag or commit on the hub; the commit is recorded")
    base: str | None = Field(None, description="name of the model entry that this one was fine-tuned from")


class DatasetEntry(Config):
    """Rows to train on."""

    path: PathText = Field(description="local .jsonl, .json, .csv or .parquet file, or hub id")
    name: str | None = Field(None, description="configuration of a hub dataset")
    split: str = Field("train", description="split or slice of it, such as train[:300]; local files too")
    revision: str | None = Field(None, description="branch, tag or commit on the hub")
    columns: dict[str, str] = Field({}, description="wanted column: column of the file, or a Jinja template over them")
    chat: bool = Field(False, description="put prompt and completion into the model's chat template")
    limit: int | None = Field(None, ge=1, description="the first so many rows")
    leave_out: list[int] = Field([], description="rows to leave out, by their number from 0")
    about: str | None = Field(
        None, max_length=1000, description="what the rows are about, for an agent to read; may change, and is in no id"
    )


class GuardEntry(Config):
    """A skill that must not be lost."""

    task: str = Field(description="name of one of the tasks")
    max_drop: float = Field(0.0, ge=0, description="how far below its base model a model may score, in the task's unit")


class EvaluationEntry(Config):
    """How many items models are scored on."""

    items: int | None = Field(None, ge=2, description="items of each task that every model is asked; unset: all")
    max_items: int | None = Field(
        None,
        ge=2,
        description="items that a model which may be the best, and the best one, are asked until one is ahead",
    )

    @model_validator(mode="after")
    def _more_than_first(self) -> EvaluationEntry:
        if self.max_items is not None and (self.items is None or self.items > self.max_items):
            raise ValueError(f"max_items goes with items, and is not below it (given: {self.items}, {self.max_items})")
        return self


class BudgetEntry(Config):
    """Where the search stops, counted over all restarts."""

    trials: int | None = Field(100, ge=1, description="trials begun")
    hours: float | None = Field(None, gt=0, description="hours that `lamdagent run` has worked")
    train_rows: int | None = Field(
        None, ge=1, description="rows trained on, each as often as it is seen; no trial begins that would pass it"
    )
    train_tokens: int | None = Field(
        None, ge=1, description="tokens trained on, those of prompts too; no trial begins that would pass it"
    )
    gpu_hours: float | None = Field(None, gt=0, description="hours that jobs hold a GPU")
    target: float | None = Field(None, description="stop at a model with this objective on validation")
    patience: int | None = Field(None, ge=1, description="stop after so many trials without a new best model")
    usd: float | None = Field(None, gt=0, description="USD for the answers of a language model")
    llm_tokens: int | None = Field(None, ge=1, description="tokens of questions to a language model and its answers")

    @model_validator(mode="before")
    @classmethod
    def _llm_tokens(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "tokens" in data:
            words = "no such key: a language model's are llm_tokens, those trained on train_tokens"
            raise PydanticCustomError("unknown_key", words, {"key": "tokens"})
        return data


class Execution(Config):
    """How trials are run."""

    runner: str | dict[str, Any] = Field(
        "process", description="where trials run: a kind, or a mapping of `kind:` and its options"
    )
    workers: int = Field(1, ge=1, description="worker processes, each with one device")
    device: str = Field("auto", pattern=DEVICE, description="auto, cpu, cuda, cuda:1, mps")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="what models are stored in; auto: as the base model came"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads of a worker; unset: the cores shared evenly")
    timeout_min: float = Field(120, gt=0, description="a trial that takes longer fails")
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(16, description="prompts scored at a time")


class Body(Config):
    """A study file, before its plugins' parts are looked at."""

    study: str = Field(pattern=NAME, description="the study's name; its run folder is called so")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of every draw and of training")
    root: PathText = Field("runs", description="folder for runs and artifacts, relative to the study file")
    models: dict[str, ModelEntry] = Field(min_length=1, description="name: the models to start from")
    datasets: dict[str, DatasetEntry] = Field({}, description="name: the rows to train on")
    settings: dict[str, dict[str, Any]] = Field(
        {},
        description="name: a hyperparameter setting that several actions share; an action takes it by "
        "`hyperparameters: [NAME, …]`, a list that may also hold mappings of the action's own settings",
    )
    actions: dict[str, Any] = Field(min_length=1, description="action type: its options and settings")
    tasks: list[dict[str, Any]] = Field(
        description="what models are scored on, each of a kind; may be empty with policy replay"
    )
    guards: list[GuardEntry] = Field([], description="skills that must not be lost")
    evaluation: EvaluationEntry = Field(EvaluationEntry(), description="how many items models are scored on")
    contamination: Literal["fail", "drop", "warn"] = Field(
        "fail", description="what to do where training rows hold evaluation items: stop, leave the rows out, or say so"
    )
    leave_out: dict[str, list[int]] = Field(
        {}, description="id of a dataset that an action makes: numbers of rows to leave out of it; `replay` writes it"
    )
    include_path: PathText | None = Field(
        None, description="folder with more lm-eval task files, as lm-eval's own option"
    )
    policy: dict[str, Any] = Field(
        {"kind": AUTO},
        description="kind: who selects, and its options; auto is agent where a `model` is given, and else screen",
    )
    memory: dict[str, Any] = Field({"kind": "table"}, description="kind: what is remembered; and its options")
    artifacts: dict[str, Any] = Field(
        {"kind": "local"}, description="kind: where models and rows are kept; and its options"
    )
    observers: list[str | dict[str, Any]] = Field(
        [], description="who is told of the search as it goes, beside the terminal: kinds, or mappings with a kind"
    )
    budget: BudgetEntry = Field(BudgetEntry(), description="where the search stops")
    execution: Execution = Field(Execution(), description="how trials are run")


@dataclass(frozen=True, kw_only=True)
class Study:
    """A valid study file. `dump` is what the journal records of it."""

    file: Path
    body: Body
    actions: Mapping[str, Any]
    tasks: tuple[tuple[str, TaskConfig], ...]
    policy: tuple[str, Config]
    memory: tuple[str, Config]
    artifacts: tuple[str, Config]
    observers: tuple[tuple[str, Config], ...]
    runner: tuple[str, Config]
    document: Document

    @property
    def home(self) -> Path:
        """The folder that relative paths start from."""
        return self.file.parent

    @property
    def root(self) -> Path:
        return self.home / Path(self.body.root).expanduser()

    @property
    def folder(self) -> Path:
        return self.root / self.body.study

    @property
    def goals(self) -> tuple[TaskWeight, ...]:
        return tuple(TaskWeight(task=t.task, weight=t.weight, max_score=t.max_score) for _, t in self.tasks)

    @property
    def guards(self) -> tuple[Guard, ...]:
        return tuple(Guard(task=g.task, max_drop=g.max_drop) for g in self.body.guards)

    def dump(self) -> dict[str, Any]:
        """The study as JSON values, every default and shared setting filled in, without what is free to change: `root`
        and `observers`."""
        whole = self.body.model_dump(mode="json", by_alias=True, exclude={"root", "observers", "settings"})
        whole["actions"] = {
            name: config.model_dump(mode="json", by_alias=True) for name, config in self.actions.items()
        }
        whole["tasks"] = [_dumped(kind, config) for kind, config in self.tasks]
        for key, (kind, config) in (("policy", self.policy), ("memory", self.memory), ("artifacts", self.artifacts)):
            whole[key] = _dumped(kind, config)
        whole["execution"]["runner"] = _dumped(*self.runner)
        return whole


def load_study(file: Path, overrides: Sequence[str] = ()) -> Study:
    """Read and validate a study file.

    Raises:
        ConfigError: with file and line, for anything that is not as it must be.
    """
    return study_of(Document(file, overrides))


def study_of(document: Document) -> Study:
    """Validate a document; see `load_study`."""
    body: Body = _validated(Body, document.data, (), document)
    actions = {}
    for name, options in body.actions.items():
        cls = _find("actions", name, ("actions", name), document)
        whole, elsewhere = in_place(name, options, body.settings, document)
        actions[name] = _validated(cls.Config, whole, ("actions", name), document, elsewhere)
        _refuse_equal_settings(name, actions[name], document)
    refuse_untaken(body.actions, body.settings, document)
    study = Study(
        file=document.file,
        body=body,
        actions=actions,
        tasks=_tasks(body.tasks, document),
        policy=_plugin("policies", ("policy",), body.policy, document),
        memory=_plugin("memories", ("memory",), body.memory, document),
        artifacts=_plugin("artifacts", ("artifacts",), body.artifacts, document),
        observers=tuple(
            _plugin("observers", ("observers", i), entry, document) for i, entry in enumerate(body.observers)
        ),
        runner=_plugin("runners", ("execution", "runner"), body.execution.runner, document),
        document=document,
    )
    _refuse_names(study)
    _refuse_clashes(study)
    return study


def _dumped(kind: str, config: Config) -> dict[str, Any]:
    return {"kind": kind, **config.model_dump(mode="json", by_alias=True)}


def _tasks(entries: Sequence[Mapping[str, Any]], document: Document) -> tuple[tuple[str, TaskConfig], ...]:
    """Every task with its kind; one without is of own rows where it has a path, and else one of lm-eval's."""
    found = []
    for i, entry in enumerate(entries):
        inferred = "rows" if "path" in entry else "lm_eval"
        try:
            found.append(_plugin("tasks", ("tasks", i), {"kind": inferred, **entry}, document))
        except ConfigError as error:
            if "kind" in entry or not _has_unknown_key(error):
                raise
            taken_for = "no path, so it is taken for one of lm-eval's" if inferred == "lm_eval" else "a path: own rows"
            raise ConfigError(f"{error} The task has {taken_for}; `kind:` says it outright.") from error
    return tuple(found)


def _has_unknown_key(error: ConfigError) -> bool:
    cause = error.__cause__
    return isinstance(cause, ValidationError) and any(e["type"] == "unknown_key" for e in cause.errors())


def _plugin(family: registry.Family, path: Path_, data: str | Mapping[str, Any], document: Document) -> tuple[str, Any]:
    """The kind that a mapping names, and its validated options; a text is a kind without options."""
    data = {"kind": data} if isinstance(data, str) else data
    kind, auto = data.get("kind"), family == "policies"
    if auto and kind == AUTO:
        kind = "agent" if "model" in data else "screen"
    if not isinstance(kind, str):
        known = ", ".join([*([AUTO] if auto else []), *registry.names(family)])
        named = ".".join(map(str, path))
        raise ConfigError(f"{document.where(path)}: {named} needs a kind. Known: {known}.")
    cls = _find(family, kind, (*path, "kind"), document)
    rest = {k: v for k, v in data.items() if k != "kind"}
    return kind, _validated(cls.Config, rest, path, document)


def _find(family: registry.Family, name: str, path: Path_, document: Document) -> Any:
    try:
        return registry.find(family, name)
    except UnknownName as error:
        raise ConfigError(f"{document.where(path)}: {error}") from error


def _validated(
    model: Any, data: Any, path: Path_, document: Document, elsewhere: Mapping[Path_, Path_] = NOWHERE_ELSE
) -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(in_words(error, data, path, document, elsewhere)) from error


def _refuse_equal_settings(type: str, config: Any, document: Document) -> None:
    seen: dict[str, str] = {}
    for name, setting in settings_of(config).items():
        same = seen.setdefault(setting.model_dump_json(), name)
        if same != name:
            where = document.where(("actions", type, "hyperparameters", name))
            raise ConfigError(f"{where}: settings {same!r} and {name!r} of {type} are the same.")


def _refuse_names(study: Study) -> None:
    # Names become file names, lines of prompts, and words of --set.
    settings = [("actions", type, "hyperparameters", n) for type, c in study.actions.items() for n in settings_of(c)]
    provided = [
        *(("models", name) for name in study.body.models),
        *(("datasets", name) for name in study.body.datasets),
    ]
    lines = []
    for path in (*provided, *settings):
        where = f"{study.document.where(path)}: {'.'.join(path)}"
        # A pipeline that is made again elsewhere names its varied settings as they are called: firm×3.
        varied = read_varied(path[-1]) if path in settings else None
        if path in settings and path[-1] == FREE:
            lines.append(f"{where}: 'free' is a reserved word, and {path[1]} leaves no amounts free.")
        elif not re.fullmatch(NAME, varied[0] if varied else path[-1]):
            lines.append(f"{where}: {PATTERNS[NAME]} (given: {path[-1]!r})")
        elif path in provided and MADE.fullmatch(path[-1]):
            lines.append(f"{where}: model-N and dataset-N are names of what trial N makes. Choose another name.")
    if lines:
        raise ConfigError("\n".join(lines))


def _refuse_clashes(study: Study) -> None:
    names = [task.task for _, task in study.tasks]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ConfigError(f"{study.document.where(('tasks', i, 'task'))}: task {name!r} is given twice.")
    if not names and study.policy[0] == "replay":
        return  # its pipelines are made, not chosen by scores
    if not names:
        raise ConfigError(f"{study.document.where(('tasks',))}: tasks: expected 1 or more entries")
    if not any(task.weight for _, task in study.tasks):
        raise ConfigError(f"{study.document.where(('tasks',))}: every task has weight 0, so nothing counts.")
    for i, guard in enumerate(study.body.guards):
        if guard.task not in names or guard.task in [g.task for g in study.body.guards[:i]]:
            where = study.document.where(("guards", i, "task"))
            raise ConfigError(f"{where}: one guard for each task of the study. {nearest(guard.task, names)}")
    if both := sorted(set(study.body.models) & set(study.body.datasets)):
        raise ConfigError(f"{study.document.where(('datasets', both[0]))}: {both[0]!r} is the name of a model too.")
    for name, model in study.body.models.items():
        if model.base is not None and (model.base == name or model.base not in study.body.models):
            where = study.document.where(("models", name, "base"))
            others = [m for m in study.body.models if m != name]
            raise ConfigError(f"{where}: no other model {model.base!r}. {nearest(model.base, others)}")
