"""Run a study: check everything, open the journal, and let the loop go."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lamdagent import build, gate, intake
from lamdagent.config import Document, Study, load_study
from lamdagent.config.study import study_of
from lamdagent.errors import JournalError
from lamdagent.events import Brought, Event, Opened, State, fold
from lamdagent.intake import bring, check_tasks, prepare, with_facts, write_datasets
from lamdagent.menu import Menu
from lamdagent.plan import Followed, Plan, follow
from lamdagent.protocols import Display
from lamdagent.runners.inline import Inline
from lamdagent.runners.process import Process
from lamdagent.search import Search, run
from lamdagent.store.artifacts import full_disk_is_the_users
from lamdagent.store.journal import SqliteJournal, read_journal
from lamdagent.types import Progress

FREE_TO_CHANGE = re.compile(
    r"budget\.|execution\.(workers|threads|timeout_min|batch_size)$|tasks\..*\.test$"
    r"|policy\.(base_url|timeout_s|attempts|max_failures|price)"
)
Watch = Callable[[int | str, Progress], None]


@dataclass(frozen=True, kw_only=True)
class OpenStudy:
    """A study that this process may write to."""

    study: Study
    search: Search
    runner: Inline | Process


def run_study(
    file: str | Path, overrides: Sequence[str] = (), *, display: Display | None = None, inline: bool = False
) -> State:
    """Run a study file to the end of its budget, or go on where an earlier run stopped.

    Args:
        overrides: `key.key=value` texts, as after `--set` on the command line.
        display: who is told of the progress; None is nobody.
        inline: run jobs in this process instead of a worker process.
    Raises:
        UserError: the study file, its data, its journal or the machine needs the user.
    """
    return run_loaded(load_study(Path(file), overrides), display=display, inline=inline)


def run_loaded(study: Study, *, display: Display | None = None, inline: bool = False) -> State:
    """The same for a study that was read before."""
    from lamdagent.display.quiet import Quiet

    shown = display or Quiet()
    with open_study(study, watch=shown.progressed, inline=inline) as opened:
        try:
            return run(opened.search, opened.runner, shown)
        finally:
            shown.close(opened.search.state)


def run_plan(
    study: Study, plan: Plan, *, display: Display | None = None, inline: bool = False
) -> tuple[State, Followed]:
    """Run a study whose policy follows a plan, and say where the plan stands at its end."""
    state = run_loaded(study, display=display, inline=inline)
    return state, follow(plan, state, Menu(state, build.action_types(study)))


@contextlib.contextmanager
def open_study(study: Study, *, watch: Watch = lambda key, progress: None, inline: bool = False) -> Iterator[OpenStudy]:
    """Check a study, bring its objects, and hold its journal until the block ends. Nothing is journalled before all
    of it is valid.

    Raises:
        UserError: the study file, its data, its journal or the machine needs the user.
    """
    check_tasks(study)
    brought = bring(study, _known_pool(study))
    with contextlib.ExitStack() as open_until_the_end:
        chat = build.chat(study)
        if chat is not None:
            open_until_the_end.callback(chat.close)
        policy, memory = build.policy(study, chat), build.memory(study, chat)
        runner = _runner(study, watch, inline)
        open_until_the_end.callback(runner.close)
        journal = SqliteJournal(study.folder / "journal.sqlite", writer=True)
        open_until_the_end.callback(journal.close)
        open_until_the_end.enter_context(full_disk_is_the_users(study.root))
        _begin(study, brought, journal, runner)
        search = Search(
            journal=journal,
            action_types=build.action_types(study),
            policy=policy,
            memory=memory,
            budget=build.budget(study),
            chat=chat,
        )
        yield OpenStudy(study=study, search=search, runner=runner)


def _begin(study: Study, brought: intake.Brought, journal: SqliteJournal, runner: Inline | Process) -> None:
    """Journal what the study brings, or what it changed since the last run, once all of it is ready."""
    store = build.artifacts(study)
    store.sweep()
    before = fold(journal.read())
    events = _changes(study, before, brought.objects) if before.pool else []
    write_datasets(study, brought, store)
    new_tests = bool(before.pool) and _tests(before.config) != _tests(study.dump())
    if not before.pool or new_tests or any(store.record(object_id) is None for object_id in brought.imports):
        imports = {object_id: str(file) for object_id, file in brought.imports.items()}
        used = before.pool.values() if before.pool else brought.objects
        datasets = {obj.name: obj.id for obj in used if obj.kind == "dataset"}
        request = {"imports": imports, "dtype": study.body.execution.dtype, "datasets": datasets}
        done = runner.prepare(request) if isinstance(runner, Process) else prepare(request, build.bench_of(study))
        brought = with_facts(brought, done["models"])
        mode = study.body.contamination
        if before.pool and mode == "drop":
            mode = "fail"  # the rows were trained on already
        brought = replace(brought, objects=gate.close(done["overlaps"], mode, brought.objects, store))
    if events := events if before.pool else _first_events(study, brought.objects):
        journal.append(*events)


def _known_pool(study: Study) -> Mapping[str, Any]:
    return fold(read_journal(study.folder)).pool if (study.folder / "journal.sqlite").exists() else {}


def _runner(study: Study, watch: Watch, inline: bool) -> Inline | Process:
    if inline:
        return Inline(build.bench_of(study), watch=watch)
    execution = study.body.execution
    return Process(
        {"study": {**study.dump(), "root": study.body.root}, "file": str(study.file.resolve())},
        logs=study.folder / "logs",
        slots=execution.workers,
        timeout_s=execution.timeout_min * 60,
        watch=watch,
    )


def _first_events(study: Study, objects: Sequence[Any]) -> list[Event]:
    opened = Opened(config=study.dump(), seed=study.body.seed, goals=study.goals, guards=study.guards)
    return [opened, *(Brought(object=obj) for obj in objects)]


def _changes(study: Study, before: State, objects: Sequence[Any]) -> list[Event]:
    """What to journal of a study file that changed since the last run.

    Raises:
        JournalError: something else changed than what may.
    """
    # Read by this release, so that keys which are newer than the study stand at their defaults.
    began = study_of(Document.of(study.file, dict(before.config)))
    old, new = _flat(began.dump()), _flat(study.dump())
    changed = [k for k in sorted({*old, *new}) if old.get(k) != new.get(k) and not FREE_TO_CHANGE.match(k)]
    lines = [f"  {key}: was {old.get(key, 'not there')}, is {new.get(key, 'not there')}" for key in changed]
    for key in ("budget.trials", "budget.hours", "budget.usd", "budget.tokens"):
        was, now = old.get(key), new.get(key)
        if now is not None and (was is None or now < was):
            lines.append(f"  {key}: was {'unbounded' if was is None else was}, is {now} (a budget can only be raised)")
    ids = {obj.name: obj.id for obj in objects}
    for obj in before.pool.values():
        began_as = obj.meta.get("whole", obj.id)
        brought = obj.made_by is None and obj.kind != "hyperparameters"
        if brought and ids.get(obj.name, began_as) != began_as:
            lines.append(f"  {obj.kind} {obj.name} ({obj.uri}): its content changed")
    if lines:
        raise JournalError(
            f"{study.file}: the study {study.body.study!r} began otherwise:\n" + "\n".join(lines) + "\nPut it back, or "
            "give the file another `study:` name to begin a new one (finished work is found again and not repeated)."
        )
    if old == new:
        return []
    return [Opened(config=study.dump(), seed=before.seed, goals=before.goals, guards=before.guards)]


def _tests(config: Mapping[str, Any]) -> list[Any]:
    return [task.get("test") for task in config["tasks"]]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        pairs = [_flat(v, f"{prefix}.{k}" if prefix else str(k)) for k, v in value.items()]
        return {k: v for pair in pairs for k, v in pair.items()}
    if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
        return _flat({v.get("task", i): v for i, v in enumerate(value)}, prefix)
    return {prefix: value}
