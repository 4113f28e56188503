"""`by-hand`: what one would get without a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from lamdagent.core.state import State
from lamdagent.ui.cli._options import FILE_HELP, SET_HELP, dotted


def by_hand(
    context: typer.Context,
    study: Path = typer.Argument(help=FILE_HELP + " Run the command again to go on where it stopped."),
    quick: bool = typer.Option(False, "--quick", help="Only two: all datasets mixed under the middle setting, for 1 and "
                               "for 3 epochs."),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    plain: bool = typer.Option(False, "--plain", help="Plain lines, as where there is no terminal."),
    as_json: bool = typer.Option(False, "--json", help="Print the comparison as one JSON object."),
) -> None:  # fmt: skip
    """Run what one would try without a search, and hold the search's best pipeline against it.

    All datasets mixed under every setting, the best of these longer, each dataset alone, merges of these, and the best of
    all trained on once more: policy `by-hand`, in a study of its own, runs/NAME.by-hand. What was made already under the
    same root is found again. It ends with its list, or with a budget of its own: `--budget.train_rows 36000`. `show` and
    `report` of the search then say where it stands.
    """
    from lamdagent.results.by_hand import POLICY, against_hand, begun, by_hand_study
    from lamdagent.results.leaderboard import leaderboard
    from lamdagent.study.config import load_study
    from lamdagent.study.parts import StudyParts
    from lamdagent.study.run import run_loaded
    from lamdagent.ui.cli._output import show_result
    from lamdagent.ui.cli.run import LEADERS, display_of

    overrides = [*set_, *dotted(context.args)]
    loaded = load_study(study, overrides)
    budget = loaded.body.budget.model_dump(include=_bounds(overrides))
    rivals = by_hand_study(loaded, policy={"kind": POLICY, "quick": quick}, budget=budget)
    done = run_loaded(rivals, observers=[display_of(rivals, plain=plain, as_json=as_json)])
    state, artifacts = begun(loaded.folder) or State(), StudyParts(rivals).artifacts
    found = against_hand(loaded.body.study, state, done, artifacts, f"lamdagent by-hand {study}")
    board = leaderboard(rivals.body.study, done, artifacts)
    assert found is not None  # by_hand_study refused what is no search
    show_result(found, as_json=as_json, sections=[*board.sections(LEADERS), *found.sections()])


def _bounds(overrides: Sequence[str]) -> set[str]:
    """The bounds of the budget that were given with the command: those of the study file are the search's."""
    keys = [override.partition("=")[0].strip() for override in overrides]
    return {key.removeprefix("budget.") for key in keys if key.startswith("budget.")}
