"""What can go wrong, as a tree.

    LamdagentError
    ├── UserError               the user can mend it: printed without a traceback, exit code 2
    │   ├── ConfigError         the study file, with file and line
    │   ├── UnknownName         a name that nothing has, with the nearest one
    │   ├── MissingExtra        an optional part is not installed, with the command that installs it
    │   ├── DataError           a dataset, a task file or a model folder, with file and line
    │   └── JournalError        a study's journal: locked, damaged, or of another study file
    ├── BudgetSpent             the next call to a language model would pass the budget; the search stops
    ├── Invalid                 a model was made that is not worth scoring; a failed trial, not an error of ours
    ├── Diverged                training left the finite numbers; a failed trial, not an error of ours
    ├── Contaminated            made rows hold what models are scored on; a failed trial, not an error of ours
    ├── Duplicate               made rows are those of a dataset in the pool; a failed trial, not an error of ours
    └── ContractViolation       a plugin broke the contract of its protocol

A message says what is wrong, where, what was given, what is allowed, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal


class LamdagentError(Exception):
    """Everything that lamdagent raises on purpose."""


class UserError(LamdagentError):
    """The user can mend it; the message says how."""


class ConfigError(UserError):
    """The study file or an override is wrong."""


class UnknownName(UserError):
    """A name that nothing has."""


class MissingExtra(UserError):
    """An optional dependency is not installed."""


class DataError(UserError):
    """A file that the user provided cannot be used."""


class JournalError(UserError):
    """A journal cannot be opened, or belongs to another study file."""


class Diverged(LamdagentError):
    """Training gave a loss or weights that are not finite."""


class Invalid(LamdagentError):
    """A made model is broken: weights, vocabulary, endless answers, or an absurd loss."""


class Contaminated(LamdagentError):
    """Made rows hold evaluation items, and may not."""


class Duplicate(LamdagentError):
    """A made dataset has the same rows as one in the pool, its `twin`."""

    def __init__(self, twin: str) -> None:
        super().__init__(f"its rows are those of dataset {twin!r}")


class BudgetSpent(LamdagentError):
    """The next call to a language model would pass `budget.usd` or `budget.llm_tokens`; `bound` says which."""

    def __init__(self, bound: Literal["usd", "llm_tokens"], message: str) -> None:
        super().__init__(message)
        self.bound = bound


class ContractViolation(LamdagentError):
    """A plugin did what its protocol forbids."""


def nearest(given: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'? Known: x, y.` with the first part left out where nothing is near."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}Known: {', '.join(names) or 'none'}."
