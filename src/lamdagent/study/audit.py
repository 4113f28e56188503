"""The audit of a study: what is looked at, what stops it, and what is said."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lamdagent.core.audit import Finding
from lamdagent.core.errors import DataError
from lamdagent.core.events import AuditDone
from lamdagent.core.jobs import PrepareRequest
from lamdagent.core.protocols import Runner
from lamdagent.core.state import State
from lamdagent.core.types import Object, content_id
from lamdagent.runners.job import versions
from lamdagent.study import registry
from lamdagent.study.config import Study
from lamdagent.study.initial_pool import InitialPool
from lamdagent.study.parts import StudyParts

log = logging.getLogger(__name__)

AUDIT_VERSION = 3
LIBRARIES = ("transformers", "trl", "peft")


def audit_key(objects: Sequence[Object]) -> str:
    """The hash of what is looked at, by name and content, and of who looks."""
    looked = sorted([obj.kind, obj.name, obj.id] for obj in objects)
    return content_id([AUDIT_VERSION, looked, {name: versions().get(name) for name in LIBRARIES}])


def concluded(study: Study, objects: Sequence[Object], findings: Sequence[Finding]) -> AuditDone:
    """What is journalled of an audit; its warnings are said.

    Raises:
        DataError: something was refused.
    """
    refuse(study, findings)
    for line in lines_of(study, findings, "warning"):
        log.warning("%s", line)
    return AuditDone(key=audit_key(objects), findings=tuple(findings))


def refuse(study: Study, findings: Sequence[Finding]) -> None:
    """Raises: DataError: something was refused, with the lines of the study file."""
    if lines := lines_of(study, findings, "refused"):
        raise DataError("\n".join(lines))


def lines_of(study: Study, findings: Sequence[Finding], weight: str) -> list[str]:
    """Findings of one weight, each after where the study file says what it is about."""
    return [f"{study.document.where(f.path)}: {f.text}" if f.path else f.text for f in findings if f.weight == weight]


def audit_aside(parts: StudyParts, pool: InitialPool, before: State) -> tuple[Sequence[Finding], list[str]]:
    """What an audit finds before anything is written, and what it could not look at, in words.

    A worker is started for it, unless jobs run in this process or the journal has an audit of the same.
    """
    if before.audit is not None and before.audit.key == audit_key(pool.objects):
        return before.audit.findings, []
    here = tuple(obj for obj in pool.objects if obj.kind == "hyperparameters" or obj.meta)
    unseen = [f"{obj.kind} {obj.name} ({obj.uri})" for obj in pool.objects if obj not in here]
    for obj in here:
        if obj.id in pool.imports and parts.artifacts.record(obj.id) is None:
            unseen.append(f"the weights of model {obj.name} ({obj.uri})")
    if not here:
        return (), unseen
    unseen += [f"task {task.name}" for task in parts.tasks if task.to_fetch() is not None]
    imports = {object_id: str(file) for object_id, file in pool.imports.items()}
    with tempfile.TemporaryDirectory() as logs:
        inline, process = parts.study.runner[0] == "inline", registry.find("runners", "process")
        runner: Runner = parts.runner() if inline else process(parts.worker_spec, logs=Path(logs), watch=parts.watch)
        try:
            found = runner.prepare(PrepareRequest(audited=here, imports=imports, only_audit=True)).findings
        finally:
            runner.close()
    return found, unseen
