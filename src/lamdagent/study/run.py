"""Run a study file to the end of its budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lamdagent.core.observers import Observers
from lamdagent.core.plan import Plan, PlanStatus, follow
from lamdagent.core.protocols import Observer
from lamdagent.core.search import run
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.study.config import Study, load_study
from lamdagent.study.open import open_study
from lamdagent.study.parts import StudyParts
from lamdagent.study.progress import ProgressFiles


def run_study(
    file: str | Path, overrides: Sequence[str] = (), *, observers: Sequence[Observer] = (), inline: bool = False
) -> State:
    """Run a study file to the end of its budget, or go on where an earlier run stopped.

    Args:
        overrides: `key.key=value` texts, as after `--set` on the command line.
        observers: who is told of the progress, beside those that the study file names.
        inline: run jobs in this process instead of a worker process.
    Raises:
        UserError: the study file, its data, its journal or the machine needs the user.
    """
    return run_loaded(load_study(Path(file), overrides), observers=observers, inline=inline)


def run_loaded(study: Study, *, observers: Sequence[Observer] = (), inline: bool = False) -> State:
    """The same for a study that was read before."""
    return _run(study, observers, inline)[0]


def run_plan(
    study: Study, plan: Plan, *, observers: Sequence[Observer] = (), inline: bool = False
) -> tuple[State, PlanStatus]:
    """Run a study whose policy follows a plan, and say where the plan stands at its end."""
    state, space = _run(study, observers, inline)
    return state, follow(plan, state, space)


def _run(study: Study, observers: Sequence[Observer], inline: bool) -> tuple[State, ActionSpace]:
    """The state at the end, and what could be done then."""
    heard = Observers([ProgressFiles(study.folder), *observers, *StudyParts(study).observers])
    with open_study(study, watch=heard.progressed, inline=inline) as opened:
        return run(opened.search, opened.runner, heard), opened.search.space
