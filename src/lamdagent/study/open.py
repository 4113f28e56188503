"""Run a study: check everything, open the journal, and let the loop go."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lamdagent.core.events import Event, ObjectAdded, StudyOpened
from lamdagent.core.search import Search
from lamdagent.core.state import reduce_events
from lamdagent.core.types import Progress
from lamdagent.evaluation.contamination import gate
from lamdagent.objects.artifacts import disk_full_as_user_error
from lamdagent.runners.inline import Inline
from lamdagent.runners.process import Process
from lamdagent.study import build, initial_pool
from lamdagent.study.changes import changes, tests_of
from lamdagent.study.config import Study
from lamdagent.study.initial_pool import load_pool, write_datasets
from lamdagent.study.journal import SqliteJournal, read_journal
from lamdagent.study.prepare import prepare, with_facts
from lamdagent.study.tasks import check_tasks

Watch = Callable[[int | str, Progress], None]


@dataclass(frozen=True, kw_only=True)
class OpenStudy:
    """A study that this process may write to."""

    study: Study
    search: Search
    runner: Inline | Process


@contextlib.contextmanager
def open_study(study: Study, *, watch: Watch = lambda key, progress: None, inline: bool = False) -> Iterator[OpenStudy]:
    """Check a study, bring its objects, and hold its journal until the block ends. Nothing is journalled before all
    of it is valid.

    Raises:
        UserError: the study file, its data, its journal or the machine needs the user.
    """
    check_tasks(study)
    provided = load_pool(study, _known_pool(study))
    with contextlib.ExitStack() as open_until_the_end:
        chat = build.chat(study)
        if chat is not None:
            open_until_the_end.callback(chat.close)
        policy, memory = build.policy(study, chat), build.memory(study, chat)
        runner = _runner(study, watch, inline)
        open_until_the_end.callback(runner.close)
        journal = SqliteJournal(study.folder / "journal.sqlite", writer=True)
        open_until_the_end.callback(journal.close)
        open_until_the_end.enter_context(disk_full_as_user_error(study.root))
        _begin(study, provided, journal, runner)
        search = Search(
            journal=journal,
            action_types=build.action_types(study),
            policy=policy,
            memory=memory,
            budget=build.budget(study),
            chat=chat,
        )
        yield OpenStudy(study=study, search=search, runner=runner)


def _begin(study: Study, provided: initial_pool.InitialPool, journal: SqliteJournal, runner: Inline | Process) -> None:
    """Journal what the study brings, or what it changed since the last run, once all of it is ready."""
    store = build.artifacts(study)
    store.sweep()
    before = reduce_events(journal.read())
    events = changes(study, before, provided.objects) if before.pool else []
    write_datasets(study, provided, store)
    new_tests = bool(before.pool) and tests_of(before.config) != tests_of(study.dump())
    if not before.pool or new_tests or any(store.record(object_id) is None for object_id in provided.imports):
        imports = {object_id: str(file) for object_id, file in provided.imports.items()}
        used = before.pool.values() if before.pool else provided.objects
        datasets = {obj.name: obj.id for obj in used if obj.kind == "dataset"}
        request = {"imports": imports, "dtype": study.body.execution.dtype, "datasets": datasets}
        done = runner.prepare(request) if isinstance(runner, Process) else prepare(request, build.toolkit(study))
        provided = with_facts(provided, done["models"])
        mode = study.body.contamination
        if before.pool and mode == "drop":
            mode = "fail"  # the rows were trained on already
        provided = replace(provided, objects=gate.close(done["overlaps"], mode, provided.objects, store))
    if events := events if before.pool else _first_events(study, provided.objects):
        journal.append(*events)


def _known_pool(study: Study) -> Mapping[str, Any]:
    return reduce_events(read_journal(study.folder)).pool if (study.folder / "journal.sqlite").exists() else {}


def _runner(study: Study, watch: Watch, inline: bool) -> Inline | Process:
    if inline:
        return Inline(build.toolkit(study), watch=watch)
    execution = study.body.execution
    return Process(
        {"study": {**study.dump(), "root": study.body.root}, "file": str(study.file.resolve())},
        logs=study.folder / "logs",
        slots=execution.workers,
        timeout_s=execution.timeout_min * 60,
        watch=watch,
    )


def _first_events(study: Study, objects: Sequence[Any]) -> list[Event]:
    opened = StudyOpened(config=study.dump(), seed=study.body.seed, goals=study.goals, guards=study.guards)
    return [opened, *(ObjectAdded(object=obj) for obj in objects)]
