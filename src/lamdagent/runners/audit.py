"""Look at what will be trained on and asked, where jobs run, before the first of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from lamdagent.core.audit import AuditContext, Audited, Finding
from lamdagent.core.errors import DataError
from lamdagent.core.jobs import Progress
from lamdagent.core.types import Object
from lamdagent.objects.models.examination import examined
from lamdagent.runners.job import Toolkit

SILENT_S = 5.0


def audit(
    objects: Sequence[Object],
    toolkit: Toolkit,
    watch: Callable[[Progress], None] = lambda progress: None,
    *,
    fetch: bool = True,
) -> tuple[Finding, ...]:
    """What the models themselves, and each action type and task that looks, find in these objects.

    Args:
        objects: models, datasets and settings that the user provided; what is not on this machine is left out.
        watch: hears how far it is, once it has taken 5 seconds.
        fetch: look at tasks, too, whose items are not on this machine.
    """
    rows = toolkit.rows
    if toolkit.models is None or rows is None:
        return ()
    began: list[float] = []

    def tell(what: str, done: int, total: int) -> None:
        began.append(time.monotonic())
        if (gone := began[-1] - began[0]) > SILENT_S:
            left_s = gone / done * (total - done)
            watch(Progress(phase=f"audit {what}", done=done, total=total, facts={"seconds left": left_s}))

    context = AuditContext(
        objects=objects,
        device=toolkit.models.device,
        folder=toolkit.locate,
        rows=lambda dataset: rows(dataset.name),
        tell=tell,
    )
    findings = [f for model in context.of_kind("model") for f in examined(model, toolkit.locate(model))]
    if any(finding.weight == "refused" for finding in findings):
        return tuple(findings)  # what is rendered with a broken tokenizer tells nothing
    tasks = [task for task in toolkit.evaluation.tasks if fetch or task.to_fetch() is None]
    for one in (*toolkit.action_types.values(), *tasks):
        if isinstance(one, Audited):
            try:
                findings += one.audit(context)
            except DataError as error:
                findings.append(Finding(weight="refused", text=str(error)))
    return tuple(dict.fromkeys(findings))
