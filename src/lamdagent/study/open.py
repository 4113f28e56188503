"""Open a study: check everything, make it ready, and hold its journal."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lamdagent.core.errors import ConfigError, DataError
from lamdagent.core.events import Event, ObjectAdded, StudyOpened
from lamdagent.core.jobs import Prepared, PrepareRequest
from lamdagent.core.protocols import Runner
from lamdagent.core.search import Search
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import ID_FORMULA, Object
from lamdagent.evaluation.contamination import gate
from lamdagent.evaluation.passages import unnamed
from lamdagent.objects.artifacts import disk_full_as_user_error
from lamdagent.study.audit import audit_key, concluded
from lamdagent.study.changes import changes, tests_of
from lamdagent.study.config import Study
from lamdagent.study.initial_pool import InitialPool, load_pool, with_affinity, with_facts, write_datasets
from lamdagent.study.journal import SqliteJournal, read_journal
from lamdagent.study.parts import StudyParts, Watch
from lamdagent.study.unused import refuse_unusable, unmerged

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OpenStudy:
    """A study that this process may write to."""

    study: Study
    parts: StudyParts
    search: Search
    runner: Runner


@contextlib.contextmanager
def open_study(study: Study, *, watch: Watch = lambda key, progress: None, inline: bool = False) -> Iterator[OpenStudy]:
    """Check a study, load its objects, and hold its journal until the block ends. Nothing is journalled before all
    of it is valid.

    Raises:
        UserError: the study file, its data, its journal or the machine needs the user.
    """
    parts = StudyParts(study, watch=watch)
    check_tasks(parts)
    pool = load_pool(study, begun(study).pool)
    refuse_unusable(study, parts.action_types, pool.objects)
    with contextlib.ExitStack() as open_until_the_end:
        open_until_the_end.callback(parts.close)
        language_model = parts.language_model
        policy, memory = parts.policy, parts.memory  # made before the journal is: they may find that a key is missing
        runner = parts.runner(inline=inline)
        open_until_the_end.callback(runner.close)
        journal = SqliteJournal(study.folder / "journal.sqlite", writer=True)
        open_until_the_end.callback(journal.close)
        open_until_the_end.enter_context(disk_full_as_user_error(study.root))
        _begin(parts, pool, journal, runner)
        search = Search(
            journal=journal,
            action_types=parts.action_types,
            policy=policy,
            memory=memory,
            budget=parts.budget,
            chat=language_model,
            calls=parts.calls,
        )
        parts.record_with(search.record)
        yield OpenStudy(study=study, parts=parts, search=search, runner=runner)


def check_tasks(parts: StudyParts) -> None:
    """Look for mistakes in every task.

    Raises:
        ConfigError, DataError: with the file and line of the task.
    """
    for i, task in enumerate(parts.tasks):
        try:
            task.check()
        except (ConfigError, DataError) as error:
            raise type(error)(f"{parts.study.document.where(('tasks', i))}: {error}") from error


def _begin(parts: StudyParts, pool: InitialPool, journal: SqliteJournal, runner: Runner) -> None:
    """Make a study ready, and journal what it starts from, or what changed of it since the last run."""
    parts.artifacts.sweep()
    before = reduce_events(journal.read())
    events = _resumed(parts, pool, before, runner) if before.pool else _new(parts, pool, runner)
    if events:
        journal.append(*events)


def _new(parts: StudyParts, pool: InitialPool, runner: Runner) -> list[Event]:
    """A study that begins: everything is imported and held against the evaluation first."""
    study = parts.study
    write_datasets(study, pool, parts.artifacts)
    given = pool.objects
    pool, prepared = _prepared(parts, pool, given, runner)
    looked, overlaps = concluded(study, given, prepared.findings), prepared.overlaps
    for line in unmerged(parts.action_types, pool.objects):
        log.warning("%s", line)
    objects = gate.close(overlaps, study.body.contamination, pool.objects, parts.artifacts)
    objects = with_affinity(objects, prepared.affinity)
    opened = StudyOpened(
        config=study.dump(), seed=study.body.seed, goals=study.goals, guards=study.guards, id_formula=ID_FORMULA,
        task_ids={task.name: task.ids["validation"] for task in parts.tasks}, prompts=prepared.prompts,
    )  # fmt: skip
    return [opened, *(ObjectAdded(object=obj) for obj in objects), looked]


def _resumed(parts: StudyParts, pool: InitialPool, before: State, runner: Runner) -> list[Event]:
    """A study that goes on: only what is new or gone is prepared. Rows that were trained on already cannot be dropped,
    so a new test that they give away stops the study."""
    study = parts.study
    events = changes(study, before, pool.objects, parts.tasks)
    write_datasets(study, pool, parts.artifacts)
    new_tests = tests_of(before.config) != tests_of(study.dump())
    if new_tests or any(parts.artifacts.record(object_id) is None for object_id in pool.imports):
        mode = "fail" if study.body.contamination == "drop" else study.body.contamination
        given = pool.objects
        pool, prepared = _prepared(parts, pool, tuple(before.pool.values()), runner)
        gate.close(prepared.overlaps, mode, pool.objects, parts.artifacts)
        return [*events, concluded(study, given, prepared.findings)]
    if before.audit is None or before.audit.key != audit_key(pool.objects):
        known = tuple(before.pool.get(obj.id, obj) for obj in pool.objects)  # with the facts of what was imported
        prepared = runner.prepare(PrepareRequest(audited=known, only_audit=True))
        return [*events, concluded(study, pool.objects, prepared.findings)]
    return events


def _prepared(
    parts: StudyParts, pool: InitialPool, trained_on: Sequence[Object], runner: Runner
) -> tuple[InitialPool, Prepared]:
    """The pool with the facts of imported models, and what was found in it and in the datasets among `trained_on`."""
    request = PrepareRequest(
        imports={object_id: str(file) for object_id, file in pool.imports.items()},
        dtype=parts.study.body.execution.dtype,
        datasets={obj.name: obj.id for obj in trained_on if obj.kind == "dataset"},
        audited=pool.objects,
    )
    prepared = runner.prepare(request)
    for line in unnamed(prepared.passages, parts.study.dump()["tasks"]):
        log.warning("%s", line)
    return with_facts(pool, prepared.models), prepared


def begun(study: Study) -> State:
    """What is journalled of a study; an empty state where it has not begun."""
    return reduce_events(read_journal(study.folder)) if (study.folder / "journal.sqlite").exists() else State()


def check_parts(parts: StudyParts) -> None:
    """Make whoever selects, remembers and observes, so that a run finds nothing missing later.

    Raises:
        UserError: one cannot be made here, such as for want of a key, a package or a price.
    """
    for _ in (parts.policy, parts.memory, parts.observers):
        continue
