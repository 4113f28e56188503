"""`show`: the leaderboard, one trial, or a diagnosis."""

from __future__ import annotations

from pathlib import Path

import typer

from lamdagent.core.errors import UserError
from lamdagent.results.by_hand import standing
from lamdagent.results.diagnosis.of_study import diagnosis_of
from lamdagent.results.holdout import holdout_results_of
from lamdagent.results.leaderboard import leaderboard
from lamdagent.results.repetition import repetition
from lamdagent.results.running import running_jobs
from lamdagent.results.trial import trial_detail
from lamdagent.study.journal import read_journal
from lamdagent.study.read import find_trial, read_study
from lamdagent.ui.cli._options import JSON_HELP, STUDY_HELP, TRIAL_HELP
from lamdagent.ui.cli._output import show_result


def show(
    study: Path = typer.Argument(help=STUDY_HELP),
    trial: str | None = typer.Argument(None, help=f"{TRIAL_HELP} Without it: the leaderboard."),
    as_json: bool = typer.Option(False, "--json", help=JSON_HELP),
    limit: int = typer.Option(20, min=1, help="Rows of the leaderboard."),
    transcript: bool = typer.Option(False, "--transcript", help="With a trial: all that a language model was asked "
                                    "for it, and what it answered."),
    diagnose: bool = typer.Option(False, "--diagnose", help="Look for known ways in which a search goes wrong, and say "
                                  "what would help. Reads only what is there; the sealed test stays closed."),
) -> None:  # fmt: skip
    """Show the leaderboard of a study, one trial in full, or with --diagnose what may be going wrong.

    Every score has its standard error: two models whose scores differ by less than about two of them may well be
    equally good. A diagnosis holds the search against chance: `watch` and `alarm` are more than noise explains,
    `unknown` says what is missing.
    """
    if diagnose and (trial is not None or transcript):
        raise UserError("--diagnose is about a whole study; leave out the trial and --transcript.")
    read = read_study(study)
    if diagnose:
        show_result(diagnosis_of(read, study), as_json=as_json)
    elif trial is not None:
        found_trial, test = find_trial(read, trial), holdout_results_of(read_journal(read.folder))
        detail = trial_detail(
            read.name,
            read.state,
            found_trial,
            read.artifacts,
            transcript=transcript,
            test=test,
            repeated=repetition(read.name, read.state, found_trial, read.folder),
        )
        show_result(detail, as_json=as_json)
    else:
        running = running_jobs(read.state, read.folder)
        found = leaderboard(read.name, read.state, read.artifacts, running, standing(read))
        show_result(found, as_json=as_json, sections=found.sections(limit))
