"""What libraries warn of while a job runs, so that it reaches the user and not only a log."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import PurePath
from typing import TextIO

from lamdagent.core.text import told, without_numbers

LIBRARIES = ("transformers", "trl", "peft", "lm_eval", "lm-eval", "accelerate", "datasets", "mergekit")
OURS = tuple(f"lamdagent.{room}" for room in ("actions", "evaluation", "llm", "objects", "runners"))
"""The loggers that are listened to, by name: some pass nothing on, so that the root logger would not hear them. Of ours
those of the rooms that do jobs: an observer's fault is not the trial's."""
OUR_OWN = (
    "`pretrained` model kwarg is not of type `str`",  # lm-eval is handed a model that is loaded
    "Passed an already-initialized model through `pretrained`",
    "`gradient_checkpointing` is deprecated",  # TRL's own default
    "`is_gradient_checkpointing` is deprecated",
    "`torch_dtype` is deprecated",  # mergekit's
)
"""What libraries say of how they are called here: nothing that a user could change."""
MOST, CHARS = 20, 400


class Warned(logging.Handler):
    """Collects warnings as `library: text`, each once: two that differ in their numbers only are the same."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._texts: dict[str, str] = {}

    @property
    def texts(self) -> tuple[str, ...]:
        """The first 20, of at most 400 characters each."""
        return tuple(self._texts.values())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.add(record.name.partition(".")[0], record.getMessage())
        except Exception:  # a library's call with arguments that do not fit its text is no fault of the job
            self.handleError(record)

    def add(self, library: str, text: str) -> None:
        line = told(f"{library}: {text}", CHARS)
        if len(self._texts) < MOST and not any(words in text for words in OUR_OWN):
            self._texts.setdefault(without_numbers(line), line)


@contextlib.contextmanager
def hearing_warnings() -> Iterator[Warned]:
    """Hear what is warned of meanwhile, through `warnings` and the loggers of libraries. It goes on to the log as before."""
    warned, show = Warned(), warnings.showwarning
    loggers = [logging.getLogger(name) for name in (*LIBRARIES, *OURS)]

    def heard(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        warned.add(_library(filename), f"{category.__name__}: {message}")
        show(message, category, filename, lineno, file, line)

    for logger in loggers:
        logger.addHandler(warned)
    warnings.showwarning = heard
    try:
        yield warned
    finally:
        warnings.showwarning = show
        for logger in loggers:
            logger.removeHandler(warned)


def _library(filename: str) -> str:
    """The package that a file belongs to: `torch` of `…/site-packages/torch/nn/functional.py`."""
    parts = PurePath(filename).parts
    roots = [i for i, part in enumerate(parts[:-1]) if part in ("site-packages", "dist-packages", "src")]
    return PurePath(parts[roots[-1] + 1] if roots else parts[-1]).stem
