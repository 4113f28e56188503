"""Look at what will be trained on and asked, where jobs run, before the first of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from lamdagent.core.audit import AuditContext, Audited, Finding
from lamdagent.core.errors import DataError
from lamdagent.core.jobs import PrepareRequest, Progress
from lamdagent.core.types import Object
from lamdagent.objects.models.examination import examined, open_for_text
from lamdagent.objects.models.gguf import import_text
from lamdagent.objects.models.rendering import TemplateFault
from lamdagent.runners.job import Toolkit

SILENT_S = 5.0


def audit(
    request: PrepareRequest, toolkit: Toolkit, watch: Callable[[Progress], None] = lambda progress: None
) -> tuple[Finding, ...]:
    """What the models themselves, and each action type and task that looks, find in what is `audited` of a request.

    Of a .gguf file that is not imported yet, its tokenizer and config are looked at. With `only_audit` tasks whose items
    are not on this machine are left out.

    Args:
        watch: hears how far it is, once it has taken 5 seconds.
    """
    if toolkit.models is None or toolkit.rows is None:
        return ()
    with tempfile.TemporaryDirectory() as scratch:
        return tuple(dict.fromkeys(_found(request, toolkit, toolkit.models.device, Path(scratch), _Clock(watch))))


def _found(request: PrepareRequest, toolkit: Toolkit, device: str, scratch: Path, clock: _Clock) -> Iterator[Finding]:
    folders = {o.id: _folder(o, request, toolkit, scratch) for o in request.audited if o.kind == "model"}
    rows, objects, findings = toolkit.rows, list[Object](), list[Finding]()
    assert rows is not None
    for obj in request.audited:
        if obj.kind != "model":
            objects.append(obj)
        elif not folders[obj.id].is_dir():
            findings.append(Finding(weight="note", text=f"model {obj.name}: not on this machine, so not audited"))
        else:
            try:
                objects.append(_known(obj, folders[obj.id]))
                findings += examined(obj, folders[obj.id])
            except TemplateFault as error:
                text = f"model {obj.name}, in {folders[obj.id]}: {error}"
                findings.append(Finding(weight="refused", text=text, path=("models", obj.name)))
            except (OSError, ValueError, DataError) as error:
                text = f"model {obj.name}: its tokenizer or config cannot be opened: {error}"
                findings.append(Finding(weight="refused", text=text, path=("models", obj.name)))
    yield from findings
    if any(finding.weight == "refused" for finding in findings):
        return  # what is rendered with a broken tokenizer tells nothing
    context = AuditContext(
        objects=tuple(objects),
        device=device,
        folder=lambda model: folders[model.id],
        rows=lambda dataset: rows(dataset.name),
        tell=clock.tell,
    )
    tasks = [task for task in toolkit.evaluation.tasks if not request.only_audit or task.to_fetch() is None]
    for one in (*toolkit.action_types.values(), *tasks):
        if isinstance(one, Audited):
            try:
                yield from one.audit(context)
            except DataError as error:
                yield Finding(weight="refused", text=str(error))


def _folder(model: Object, request: PrepareRequest, toolkit: Toolkit, scratch: Path) -> Path:
    """A model's folder, or where the text part of a .gguf file lies until it is imported."""
    folder = toolkit.locate(model)
    if model.id in request.imports and not folder.is_dir():
        folder = scratch / model.id
        import_text(Path(request.imports[model.id]), folder)
    return folder


def _known(model: Object, folder: Path) -> Object:
    """A model with what actions must know of it to take datasets."""
    if "chat_template" in model.model:
        return model
    return replace(model, meta={**model.meta, "chat_template": bool(open_for_text(folder).chat_template)})


class _Clock:
    """Tells how far an audit is and how long it will take, once it has taken a while."""

    def __init__(self, watch: Callable[[Progress], None]) -> None:
        self._watch, self._began, self._what = watch, 0.0, ""

    def tell(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self._what:
            self._what, self._began = what, now
        if (gone := now - self._began) > SILENT_S:
            facts = {"seconds left": gone / done * (total - done)}
            self._watch(Progress(phase=f"audit {what}", done=done, total=total, facts=facts))
