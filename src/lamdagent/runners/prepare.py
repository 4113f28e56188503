"""What is done once before the first job, where jobs run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

from lamdagent.core.errors import DataError
from lamdagent.core.jobs import Prepared, PrepareRequest, Progress
from lamdagent.core.protocols import Task
from lamdagent.core.text import sample_of
from lamdagent.evaluation import passages
from lamdagent.evaluation.affinity import affinities_of
from lamdagent.evaluation.contamination.gate import overlaps
from lamdagent.evaluation.contamination.made import RowScreen
from lamdagent.objects.models.metadata import read_facts
from lamdagent.runners.audit import audit
from lamdagent.runners.job import Toolkit

PROMPTS = 2


def prepare(
    request: PrepareRequest, toolkit: Toolkit, watch: Callable[[Progress], None] = lambda progress: None
) -> Prepared:
    """Import .gguf files, look at what is to be trained on and asked, load every task's items, and hold datasets against
    them.

    Args:
        watch: hears how far it is.
    Raises:
        DataError: a model cannot be imported or a task has no validation items.
    """
    from lamdagent.objects.models.gguf import import_gguf

    if request.only_audit:
        return Prepared(models={}, sizes={}, overlaps={}, findings=audit(request, toolkit, watch))
    facts = {}
    for object_id, file in request.imports.items():
        if toolkit.artifacts.record(object_id) is None:
            with toolkit.artifacts.write(object_id, {"id": object_id, "kind": "model", "meta": {}}) as folder:
                import_gguf(Path(file), folder / "weights", dtype=request.dtype)
        facts[object_id] = read_facts(toolkit.artifacts.open(object_id) / "weights")
    known = tuple(replace(o, meta={**facts[o.id], **o.meta}) if o.id in facts else o for o in request.audited)
    findings = audit(replace(request, audited=known), toolkit, watch)
    if any(finding.weight == "refused" for finding in findings):
        return Prepared(models=facts, sizes={}, overlaps={}, findings=findings)
    sizes = {task.name: task.sizes() for task in toolkit.evaluation.tasks}
    if empty := [name for name, sides in sizes.items() if not sides["validation"]]:
        raise DataError(f"no validation items in task {', '.join(empty)}")
    screen = toolkit.screen or RowScreen(toolkit.evaluation.tasks, mode="fail")
    found = overlaps(request.datasets, screen.index, toolkit.artifacts) if request.datasets else {}
    alike = affinities_of(request.datasets, toolkit.evaluation.tasks, toolkit.artifacts) if request.datasets else {}
    return Prepared(
        models=facts,
        sizes=sizes,
        overlaps=found,
        passages=passages.audit(toolkit.evaluation.tasks),
        findings=findings,
        affinity=alike,
        prompts={task.name: first_prompts(task) for task in toolkit.evaluation.tasks},
    )


def first_prompts(task: Task) -> tuple[str, ...]:
    """The first few validation prompts of a task, cut to what a sample may have."""
    return tuple(sample_of(prompt) for _, prompt, _ in islice(task.documents("validation"), PROMPTS))
