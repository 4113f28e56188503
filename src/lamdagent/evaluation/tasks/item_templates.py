"""The templates of lm-eval's task files, rendered in a sandbox and within bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from lamdagent.core.errors import DataError, LamdagentError
from lamdagent.core.templates import BadTemplate, Template
from lamdagent.core.text import told


def bound_templates() -> None:
    """Has lm-eval render through `rendered`; it compiles a template anew for each item, and bounds nothing."""
    from lm_eval import utils

    utils.apply_template = rendered


def rendered(template: str, document: Mapping[str, Any]) -> str:
    """What a template of a task file writes for a document.

    Raises:
        DataError: it cannot be read, fails, or takes more than 10 s or 10 million characters.
    """
    try:
        return _compiled(template).render(document)
    except BadTemplate as error:
        raise DataError(f"the template {template!r:.120} fails on {document!r:.120}: {error}") from error


@contextmanager
def errors_of(task: str, help: str = "") -> Iterator[None]:
    """Whatever a task file's templates, functions and data raise, as an error that names the task.

    Args:
        help: what may have to do with it.
    Raises:
        DataError: something was raised.
    """
    try:
        yield
    except LamdagentError as error:
        raise DataError(f"task {task}: {error}") from error
    except Exception as error:  # a task file may bring any code
        raise DataError(f"task {task}: {told(error)}{f' ({help})' if help else ''}") from error


@lru_cache(maxsize=256)
def _compiled(template: str) -> Template:
    from lm_eval.utils import regex_replace

    return Template(template, {"regex_replace": regex_replace}, keep_trailing_newline=True)
