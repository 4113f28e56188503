"""`show`: the leaderboard, one trial, or a diagnosis."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import typer

from lamdagent.core.errors import UserError
from lamdagent.core.format import action_of, change, duration, guard_breaks, result, scored, size
from lamdagent.core.state import State
from lamdagent.core.types import Failed, Made, Score, Trial
from lamdagent.results.diagnosis.of_study import diagnosis_of
from lamdagent.results.leaderboard import llm_calls_for, study_data, trial_data
from lamdagent.study.read import ReadStudy, find_trial, read_study
from lamdagent.ui.cli._options import JSON_HELP, STUDY_HELP, TRIAL_HELP
from lamdagent.ui.tables import print_leaderboard, spending

MADE_FACTS = (
    "examples",
    "cut_examples",
    "steps",
    "first_loss",
    "last_loss",
    "held_out_loss",
    "least_loss",
    "end_rate",
    "distance",
)


DIAGNOSIS_WIDTH = 110


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
        _print_diagnosis(read, diagnosis_of(read, study), as_json)
    elif trial is not None:
        found = find_trial(read, trial)
        if as_json:
            data = trial_data(read.state, found, transcript=transcript)
            typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
        elif transcript:
            _print_transcript(read.state, found)
        else:
            _print_trial(read.state, found)
    elif as_json:
        typer.echo(json.dumps(study_data(read), indent=2, ensure_ascii=False))
    else:
        print_leaderboard(read.state, limit, read.artifacts)
        if (stopped := read.state.stopped) is not None:
            typer.echo(f"stopped: {stopped.message or stopped.reason}")


def _print_diagnosis(read: ReadStudy, data: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"study": read.name, "signatures": data}, indent=2, ensure_ascii=False))
        return
    for found in data:
        typer.echo(f"{found['verdict'].upper():8} {found['name']}")
        for text in (found["measured"], *([f"-> {found['advice']}"] if found["verdict"] != "ok" else [])):
            typer.echo(textwrap.fill(text, DIAGNOSIS_WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 9,
                                     break_long_words=False, break_on_hyphens=False))  # fmt: skip


def _print_trial(state: State, trial: Trial) -> None:
    outcome, lines = (
        trial.outcome,
        [f"trial {trial.number}: {action_of(state, trial)}", f"result: {result(state, trial)}"],
    )
    lines.append(f"chosen by {trial.choice.by}: {trial.choice.reason}")
    if outcome is not None:
        phases = ", ".join(f"{phase} {duration(s)}" for phase, s in outcome.cost.phases_s.items())
        memory = f"; peak memory {size(outcome.cost.peak_bytes)}" if outcome.cost.peak_bytes else ""
        lines.append(f"took {duration(outcome.cost.wall_s)} ({phases}){memory}")
    if asked := llm_calls_for(state, trial):
        lines.append(f"language model: {len(asked)} questions, {spending(asked)}")
    if isinstance(outcome, Made):
        scores = state.scores.get(trial.choice.action.id, ())
        lines += [f"  {s.task}: {scored(s)} on {s.n} items{_gained(s)}" for s in scores]
        lines += [f"  {words}" for words in [guard_breaks(state, trial.choice.action.id)] if words]
        lines += [f"  {key}: {outcome.object.meta[key]}" for key in MADE_FACTS if key in outcome.object.meta]
    if isinstance(outcome, Failed):
        lines += [f"failed ({outcome.cause}): {outcome.message}", "the end of its log:", outcome.log_tail]
    for when, text in (("before", _memory_before(state, trial)), ("after", state.memories.get(trial.number, ""))):
        lines += [f"memory {when}:", *(f"  {line}" for line in text.splitlines())] if text else []
    typer.echo("\n".join(lines))


def _gained(score: Score) -> str:
    if score.gain is None:
        return ""
    return f", {change(score.gain, score.gain_stderr)} against the base model"


def _print_transcript(state: State, trial: Trial) -> None:
    for number, call in enumerate(llm_calls_for(state, trial), 1):
        typer.echo(f"=== question {number}, {call.purpose}, to {call.model}, {duration(call.wall_s)}")
        typer.echo(f"--- system\n{call.system}\n--- prompt\n{call.prompt}")
        typer.echo(f"--- answer\n{call.answer if call.answer is not None else 'none came'}")
        if call.error:
            typer.echo(f"--- of no use: {call.error}")


def _memory_before(state: State, trial: Trial) -> str:
    earlier = [number for number in state.memories if number < trial.number]
    return state.memories[max(earlier)] if earlier else ""
