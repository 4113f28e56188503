"""What `scale`, `attribute`, `simplify`, `repeat` and `replay` share: a derived study run to its end."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from lamdagent.core.budget import Budget
from lamdagent.core.plan import Plan, PlanStatus
from lamdagent.core.protocols import Observer
from lamdagent.core.state import State
from lamdagent.results.rerun import Rerun, StudyChange, derive_study
from lamdagent.study.config import Study

BEGUN_HELP = "The study file of a search that has begun. Run the command again to go on where it stopped."


def run_change(
    study: Study, state: State, steps: Mapping[str, Any], change: StudyChange, label: str, *, alone: bool = True
) -> Rerun:
    """Run a derived study to the end of a plan.

    Args:
        alone: this is the study's only plan, so that its steps are all of its trials.
    """
    from lamdagent.study.run import run_plan

    derived, plan = derive_study(study, state, steps, change), Plan.of(steps, str(study.file))
    budget = Budget(trials=len(plan.steps) if alone else None)
    print(f"{label}: {len(plan.steps)} steps, in {derived.folder}", file=sys.stderr, flush=True)
    done, followed = run_plan(derived, plan, observers=[progress_of(derived, budget)])
    say_how_to_retry(followed, derived)
    return Rerun(study=derived.body.study, state=done, status=followed)


def say_how_to_retry(followed: PlanStatus, study: Study) -> None:
    if followed.unreachable:
        print(
            f"{len(followed.unreachable)} of the steps were not done. A study does nothing that failed again: to try anew, "
            f"delete {study.folder} (what was made is kept beside it) and run the command again.",
            file=sys.stderr,
        )


def progress_of(study: Study, budget: Budget) -> Observer:
    """Plain lines on standard error, beside a result on standard output."""
    from lamdagent.ui.terminal.plain import Plain
    from lamdagent.ui.terminal.progress import SearchProgress

    return Plain(SearchProgress(budget, study.body.execution.workers), out=sys.stderr)
