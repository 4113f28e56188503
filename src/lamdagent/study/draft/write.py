"""Write a study file, and the sides that had to be cut, from models, rows and tasks that a user names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lamdagent.core.config import NAME
from lamdagent.core.errors import ConfigError, DataError
from lamdagent.objects.datasets.readers import LOCAL, Source, read_rows
from lamdagent.study.draft.cut import LEAST, Sides, cut
from lamdagent.study.draft.guesses import LOOKED_AT, Row, RowsGuess, guess_task, guess_training
from lamdagent.study.draft.settings import ModelGuess, look_at, settings_for

GENERIC = re.compile(r"^(train|training|test|validation|valid|val|dev|data|dataset|rows)$", re.IGNORECASE)
SAID = re.compile(r"(?P<path>.+?):(?P<said>\w+=.*)", re.DOTALL)
NEEDED = {
    "--model": "a hub id or a folder",
    "--data": "rows to train on",
    "--task": "rows with right answers, or a task of lm-eval such as gsm8k",
}
ROWS_SEEN = 20
"""How often a budget lets all rows be seen, over all trials."""
TRIALS = 30


@dataclass
class Draft:
    """A study file in the making: `files` to write beside it, and `said`, what was guessed and why."""

    folder: Path
    seed: int
    entries: dict[str, dict[str, Any]] = field(default_factory=lambda: {"models": {}, "datasets": {}, "tasks": {}})
    why: dict[tuple[str, str], str] = field(default_factory=dict)
    files: dict[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    rows: int = 0
    read: dict[str, list[Row]] = field(default_factory=dict)
    """Rows of the files, each read once."""

    def add(self, section: str, name: str, entry: Mapping[str, Any], why: str, shown: Iterable[str] = ()) -> None:
        self.entries[section][name] = dict(entry)
        self.why[section, name] = why
        self.said.append(f"{section.removesuffix('s')} {name}: {why}")
        self.said += [f"    {row}" for row in shown]

    def place(self, path: str) -> str:
        """A path as the study file names it: a local one from the file's folder, a hub id as it is."""
        local = Path(path).expanduser()
        return os.path.relpath(local.resolve(), self.folder.resolve()) if local.exists() else path

    def name(self, path: str, section: str) -> str:
        """A name from a path: `gsm8k` of gsm8k/train.jsonl."""
        parts = [Path(part).stem if part.endswith(LOCAL) else part for part in path.rstrip("/").split("/")]
        telling = next((p for p in reversed(parts) if p not in ("", ".", "..") and not GENERIC.match(p)), "rows")
        base = re.sub(r"[^A-Za-z0-9_.\-]", "-", telling).lstrip("-._")[:60] or "rows"
        taken = {*self.entries[section], *(self.entries["models"] if section == "datasets" else ())}
        name, n = base, 2
        while name in taken:
            name, n = f"{base}-{n}", n + 1
        assert re.match(NAME, name)
        return name


def draft(folder: Path, models: Sequence[str], data: Sequence[str], tasks: Sequence[str], *, seed: int = 0) -> Draft:
    """What a study of these would be; nothing is written.

    Args:
        models: hub ids, folders, .gguf files.
        data: hub ids or files of rows, each with its columns where these cannot be guessed: `FILE:prompt=a,completion=b`.
        tasks: the same with `prompt`, `answer`, `choices` and `metric`; or names of lm-eval.
    Raises:
        ConfigError, DataError: something is missing or cannot be guessed; the message names the option that says it.
    """
    for option, given in (("--model", models), ("--data", data), ("--task", tasks)):
        if not given:
            raise ConfigError(f"a study needs {option} too: {NEEDED[option]}. `--template` writes one to start from.")
    made = Draft(folder=folder, seed=seed)
    looked = [_model(made, path) for path in models]
    chat = all(model.chat for model in looked)
    shared = {_path(text) for text in data} & {_path(text) for text in tasks}
    sides = {path: _cut(made, text, chat=chat, trained_on=True) for text in tasks if (path := _path(text)) in shared}
    for text in data:
        _dataset(made, text, sides.get(_path(text)), chat=chat)
    for text in tasks:
        _task(made, text, sides.get(_path(text)), chat=chat)
    settings, why = settings_for(looked)
    made.entries["settings"], made.why["settings", ""] = settings, why
    made.said.append(f"settings: {why}")
    return made


def _model(made: Draft, path: str) -> ModelGuess:
    place = Path(path).expanduser()
    if not place.exists() and (path.startswith((".", "/", "~")) or path.endswith(".gguf")):
        raise DataError(f"--model {path}: no such folder or file.")
    found = look_at(path, place)
    size = "of unknown size" if found.parameters is None else f"{found.parameters:,.0f} parameters"
    template = "with a chat template" if found.chat else "without a chat template"
    seen = "" if place.is_dir() else ", by its name"
    made.add(
        "models",
        made.name(path.removesuffix(".gguf"), "models"),
        {"path": made.place(path)},
        f"{size}, {template}{seen}",
    )
    return found


def _dataset(made: Draft, text: str, sides: Sides | None, *, chat: bool) -> None:
    path, given = _split(text)
    name = made.name(path, "datasets")
    rows = _rows(made, "--data", path)
    guess = _guessed("--data", path, lambda: guess_training(rows[:LOOKED_AT], given, chat=chat))
    where = made.place(path)
    if sides is not None:
        where = f"data/{name}.jsonl"
        made.files[where] = sides.train
    count = len(rows) if sides is None else len(sides.train)
    made.rows += count
    made.add("datasets", name, {"path": where, **guess.keys}, f"{count:,} rows, {guess.why}", guess.shown)


def _task(made: Draft, text: str, sides: Sides | None, *, chat: bool) -> None:
    path, given = _split(text)
    if not Path(path).expanduser().exists() and not path.endswith(LOCAL) and "/" not in path:
        _named_task(made, path, given)
        return
    name, rows = made.name(path, "tasks"), _rows(made, "--task", path)
    guess = _guess_of(path, rows, given, chat=chat)
    sides = sides or _cut(made, text, chat=chat, trained_on=False)
    assert sides is not None
    files = {side: f"tasks/{name}.{side}.jsonl" for side in ("validation", "test")}
    made.files |= {files["validation"]: sides.validation, files["test"]: sides.test}
    cut_words = f"{len(sides.validation)} rows for the search, {len(sides.test)} sealed for the test"
    left = f", {sides.dropped} left out that are near a validation row" if sides.dropped else ""
    entry = {"task": name, "path": files["validation"], "test": files["test"], **guess.keys}
    made.add("tasks", name, entry, f"{guess.why}; cut by seed {made.seed}: {cut_words}{left}", guess.shown)


def _named_task(made: Draft, name: str, given: Mapping[str, str]) -> None:
    from lamdagent.evaluation.tasks.lm_eval import LmEvalConfig, NamedItems, task_manager
    from lamdagent.evaluation.tasks.task_files import first_metric

    config = LmEvalConfig(task=name, metric=given.get("metric", "acc"))
    NamedItems(config=config, include_path=None).check()
    metric = given.get("metric") or first_metric(name, task_manager(None).task_index)
    if metric is None:
        raise ConfigError(f"--task {name}: lm-eval names no metric for it. Say one: --task {name}:metric=acc.")
    why = f"a task of lm-eval, {metric} as {'you say' if 'metric' in given else 'its file names first'}"
    made.add("tasks", name, {"task": name, "metric": metric, "limit": 200}, why)


def _cut(made: Draft, text: str, *, chat: bool, trained_on: bool) -> Sides:
    path, given = _split(text)
    rows = _rows(made, "--task", path)
    columns = _guess_of(path, rows, given, chat=chat).keys["columns"]
    sides = cut(rows, columns, seed=made.seed, trained_on=trained_on)
    if sides is None:
        raise DataError(
            f"--task {path}: {len(rows)} rows are too few to cut a validation and a sealed test side from: {LEAST} each, "
            "rows of one prompt on one side, and none in the test that is near one of validation. Give a file with more."
        )
    return sides


def _guess_of(path: str, rows: Sequence[Row], given: Mapping[str, str], *, chat: bool) -> RowsGuess:
    return _guessed("--task", path, lambda: guess_task(rows[:LOOKED_AT], given, chat=chat))


def _guessed(option: str, path: str, guess: Any) -> RowsGuess:
    try:
        found: RowsGuess = guess()
    except DataError as error:
        raise DataError(f"{option} {path}: {error}") from error
    return found


def _rows(made: Draft, option: str, path: str) -> list[Row]:
    if (place := _path(path)) not in made.read:
        try:
            made.read[place] = list(read_rows(Source(path=path, folder=Path())))
        except DataError as error:
            raise DataError(f"{option} {path}: {error}") from error
    return made.read[place]


def _path(text: str) -> str:
    """What names a file or a repository, so that two ways to write one place are the same."""
    path = _split(text)[0]
    local = Path(path).expanduser()
    return str(local.resolve()) if local.exists() else path


def _split(text: str) -> tuple[str, dict[str, str]]:
    """`FILE:prompt=a,completion=b` as the file and what is said of it."""
    found = SAID.fullmatch(text)
    if found is None:
        return text, {}
    pairs = [pair.partition("=") for pair in re.split(r",(?=\w+=)", found["said"])]
    return found["path"], {key.strip(): value.strip() for key, _, value in pairs}


def text_of(made: Draft, name: str) -> str:
    """The study file of a draft, with the reason of each guess."""
    entries, why = made.entries, made.why
    lines = [
        "# Written from the models, rows and tasks that were named; each guess has its reason. Change what is wrong.",
        f"study: {_key(name)}",
        f"seed: {made.seed}",
    ]
    for section in ("models", "datasets"):
        lines += ["", f"{section}:"]
        for key, entry in entries[section].items():
            lines += [f"  # {why[section, key]}", f"  {_key(key)}: {_flow(entry)}"]
    lines += ["", "actions:", "  sft:", "    datasets: [1, all]  # how many one step may mix"]
    lines += [f"    # {why['settings', '']}", "    hyperparameters:"]
    lines += [f"      {key}: {_flow(setting)}" for key, setting in entries["settings"].items()]
    lines += ["  ties:", "    models: [2, 3]", "    hyperparameters:", "      half: {density: 0.5, weight: 1.0}"]
    lines += ["", "tasks:  # the search sees the validation side only; `report --test` opens the sealed one"]
    for key, entry in entries["tasks"].items():
        lines += [f"  # {why['tasks', key]}", f"  - {_flow(entry)}"]
    lines += [
        "",
        "contamination: drop  # training rows that hold what is asked are left out, and said",
        "policy: {kind: auto}",
        "memory: {kind: table}",
        f"budget: {{trials: {TRIALS}, train_rows: {ROWS_SEEN * made.rows}}}  # all rows, {ROWS_SEEN} times over all trials",
    ]
    return "\n".join(lines) + "\n"


def write_draft(made: Draft) -> Path:
    """Write a draft to its folder, which is made; the study file."""
    made.folder.mkdir(parents=True, exist_ok=True)
    for place, rows in made.files.items():
        file = made.folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
        file.write_text("".join(lines), encoding="utf-8")
    name = re.sub(r"[^A-Za-z0-9_.\-]", "-", made.folder.resolve().name).lstrip("-._")[:60] or "study"
    study = made.folder / "study.yaml"
    study.write_text(text_of(made, name), encoding="utf-8")
    return study


def _key(name: str) -> str:
    """A name as a YAML key: quoted where it would be read as something else, such as 2024 or null."""
    return name if yaml.safe_load(name) == name else json.dumps(name)


def _flow(entry: Mapping[str, Any]) -> str:
    return yaml.safe_dump(
        dict(entry), default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True
    ).strip()
