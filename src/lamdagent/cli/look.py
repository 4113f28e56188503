"""Commands that read a study: `show`, `lineage`."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from lamdagent.cli.studies import (
    STUDY_HELP,
    TRIAL_HELP,
    ReadStudy,
    best_trial,
    diagnosis_of,
    find_trial,
    made_trial,
    read_study,
)
from lamdagent.errors import UserError
from lamdagent.events import State
from lamdagent.evidence import REPEATS, collapsed
from lamdagent.pipeline import node_label, pipeline_of, render, to_data
from lamdagent.standing import Standing, standing_of
from lamdagent.store.artifacts import Artifacts
from lamdagent.types import Exchange, Failed, Made, Objective, Score, Trial
from lamdagent.words import action_of, change, duration, guard_breaks, origin, result, scored, size

JSON_HELP = "Print one JSON object instead."
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
HOW_WIDTH = 30  # narrower than this, how a model was made is left to `lineage`


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
            data = _trial_data(read.state, found, transcript=transcript)
            typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
        elif transcript:
            _print_transcript(read.state, found)
        else:
            _print_trial(read.state, found)
    elif as_json:
        typer.echo(json.dumps(study_data(read), indent=2, ensure_ascii=False))
    else:
        print_leaderboard(read.state, limit, read.artifacts)


def lineage(
    study: Path = typer.Argument(help=STUDY_HELP),
    trial: str = typer.Argument("best", help=TRIAL_HELP),
    as_json: bool = typer.Option(False, "--json", help=JSON_HELP),
) -> None:
    """Draw the pipeline that made a trial's model, back to the base model."""
    read = read_study(study)
    pipeline = pipeline_of(read.state, made_trial(read, trial).choice.action.id)
    if as_json:
        typer.echo(json.dumps(to_data(pipeline), indent=2, ensure_ascii=False))
    else:
        typer.echo(render(pipeline, lambda node: node_label(read.state, node)))


def study_data(read: ReadStudy) -> dict[str, Any]:
    """A study as one JSON object."""
    state, best, standing = read.state, best_trial(read.state), standing_of(read.state, read.artifacts)
    brought = [o for o in state.of_kind("model") if o.made_by is None]
    return {
        "study": read.name,
        "base": {o.name: _value(state.objective(o.id)) for o in brought},
        "base_scores": {o.name: _scores(state.scores.get(o.id, ())) for o in brought},
        "trials": [_trial_data(state, t) for t in state.trials],
        "contenders": [read.state.pool[i].name for i in sorted(standing.contenders)],
        "best_corrected": standing.corrected and standing.corrected.corrected,
        "best": None if best is None else {"trial": best.number, **_objective(state.objective(best.choice.action.id))},
        "wall_s": round(state.wall_s, 1),
        "tokens": state.tokens,
        "usd": state.usd,
        "repeats": collapsed(state),
    }


def print_leaderboard(state: State, limit: int, artifacts: Artifacts, console: Console | None = None) -> None:
    """Models by objective, the brought ones always among them; then what the scores can tell, and failures by cause."""
    console, standing = console or Console(), standing_of(state, artifacts)
    ranked = list(enumerate(state.ranked(), 1))
    rows = [(rank, obj, objective) for rank, (obj, objective) in ranked if rank <= limit or obj.made_by is None]
    heads = ["#", "model", "objective", *(goal.task for goal in state.goals), "worst drop"]
    cells = [
        [_rank(rank, obj.id, standing), obj.name, _marked(state, obj.id, objective), *_by_task(state, obj.id),
         _drop(state, obj.id), origin(state, obj.id)]
        for rank, obj, objective in rows
    ]  # fmt: skip
    widths = [max(len(row[i]) for row in [heads, *cells]) for i in range(len(heads))]
    fits = not console.is_terminal or console.width >= sum(widths) + 2 * len(widths) + HOW_WIDTH
    if not console.is_terminal:
        console.width = max(console.width, sum(widths) + 2 * len(widths) + max(len(row[-1]) for row in cells))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head, width in zip(heads, widths, strict=True):
        table.add_column(head, no_wrap=True, min_width=width, justify="right" if head == "#" else "left")
    if fits:
        table.add_column("how", overflow="fold")
    for row, (_, obj, _) in zip(cells, rows, strict=True):
        table.add_row(*row[: len(heads) + fits], style="bold" if obj.made_by is None else None)
    console.print(table, highlight=False)
    if len(rows) < len(ranked):
        console.print(f"{len(rows)} of {len(ranked)} models shown; more with --limit", style="dim", highlight=False)
    for line in _verdicts(state, standing):
        console.print(line, style="dim", highlight=False)
    _print_failures(console, state)
    if state.exchanges:
        console.print(f"language model: {_spending(state.exchanges)}", highlight=False)
        repeated = f"{collapsed(state)} of {len(state.trials)} choices repeat the {REPEATS} before"
        console.print(f"mode collapse: {repeated}", highlight=False)
    if state.running:
        console.print(f"open: {', '.join(f'trial {t.number}' for t in state.running)}", highlight=False)


def _print_diagnosis(read: ReadStudy, data: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"study": read.name, "signatures": data}, indent=2, ensure_ascii=False))
        return
    for found in data:
        typer.echo(f"{found['verdict'].upper():8} {found['name']}")
        for text in (found["measured"], *([f"-> {found['advice']}"] if found["verdict"] != "ok" else [])):
            typer.echo(textwrap.fill(text, DIAGNOSIS_WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 9,
                                     break_long_words=False, break_on_hyphens=False))  # fmt: skip


def _rank(rank: int, object_id: str, standing: Standing) -> str:
    return f"≈ {rank}" if object_id in standing.contenders else str(rank)


def _marked(state: State, object_id: str, objective: Objective) -> str:
    return scored(objective) + (" guard" if state.broken(object_id) else "")


def _drop(state: State, object_id: str) -> str:
    score = state.worst_drop(object_id)
    return "-" if score is None or score.gain is None else f"{min(0.0, score.gain):+.3f} {score.task}"


def _verdicts(state: State, standing: Standing) -> list[str]:
    """What the scores can tell and what not, a line for each mark of the table."""
    lines = []
    if standing.compared:
        lines.append(
            f"≈ cannot be told from the leader: {len(standing.contenders)} of {standing.compared} models "
            "(95 %, paired on the same items, corrected for picking the best)"
        )
        corrected = standing.corrected
        lines.append(
            f"the leader's {corrected.raw:.3f} is {corrected.corrected:.3f} ± {corrected.stderr:.3f} "
            "without the luck of having been picked"
        )
    if broken := sum(bool(state.broken(obj.id)) for obj in state.of_kind("model")):
        lines.append(f"guard: {broken} models lost more of a guarded skill than allowed, and rank behind the others")
    return lines


def _by_task(state: State, object_id: str) -> list[str]:
    scores = {s.task: s for s in state.scores[object_id]}
    return [scored(scores.get(goal.task)) for goal in state.goals]


def _print_failures(console: Console, state: State) -> None:
    failed = [(t, t.outcome) for t in state.trials if isinstance(t.outcome, Failed)]
    if failed:
        console.print(f"\n{len(failed)} failed:", style="bold", highlight=False)
    for trial, outcome in failed:
        first_line = outcome.message.splitlines()[0] if outcome.message else ""
        console.print(
            f"  trial {trial.number} {outcome.cause}: {first_line}  {action_of(state, trial)}",
            highlight=False, markup=False,
        )  # fmt: skip


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
    if asked := _exchanges(state, trial):
        lines.append(f"language model: {len(asked)} questions, {_spending(asked)}")
    if isinstance(outcome, Made):
        scores = state.scores[trial.choice.action.id]
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
    for number, exchange in enumerate(_exchanges(state, trial), 1):
        typer.echo(f"=== question {number}, {exchange.purpose}, to {exchange.model}, {duration(exchange.wall_s)}")
        typer.echo(f"--- system\n{exchange.system}\n--- prompt\n{exchange.prompt}")
        typer.echo(f"--- answer\n{exchange.answer if exchange.answer is not None else 'none came'}")
        if exchange.error:
            typer.echo(f"--- of no use: {exchange.error}")


def _exchanges(state: State, trial: Trial) -> list[Exchange]:
    return [exchange for exchange in state.exchanges if exchange.trial == trial.number]


def _spending(exchanges: Sequence[Exchange]) -> str:
    tokens_in, tokens_out = sum(e.tokens_in for e in exchanges), sum(e.tokens_out for e in exchanges)
    unpriced = any(e.usd is None for e in exchanges)
    usd = "price unknown" if unpriced else f"{sum(e.usd or 0.0 for e in exchanges):.4f} USD"
    return f"{tokens_in:,} tokens in, {tokens_out:,} out, {usd}"


def _memory_before(state: State, trial: Trial) -> str:
    earlier = [number for number in state.memories if number < trial.number]
    return state.memories[max(earlier)] if earlier else ""


def _trial_data(state: State, trial: Trial, *, transcript: bool = False) -> dict[str, Any]:
    outcome, action, asked = trial.outcome, trial.choice.action, _exchanges(state, trial)
    status = "running" if outcome is None else "failed" if isinstance(outcome, Failed) else "made"
    return {
        "number": trial.number,
        "status": status,
        **_objective(state.objective(action.id)),
        "scores": _scores(outcome.scores) if isinstance(outcome, Made) else {},
        "action": {
            "type": action.type,
            "inputs": {slot: [state.pool[i].name for i in ids] for slot, ids in action.inputs.items()},
            "id": action.id,
        },
        "broken_guards": [guard.task for guard, _ in state.broken(action.id)],
        "reason": trial.choice.reason,
        "by": trial.choice.by,
        "cause": outcome.cause if isinstance(outcome, Failed) else None,
        "message": outcome.message if isinstance(outcome, Failed) else None,
        "cost": None if outcome is None else dataclasses.asdict(outcome.cost),
        "tokens": sum(e.tokens_in + e.tokens_out for e in asked),
        "usd": None if any(e.usd is None for e in asked) else sum(e.usd or 0.0 for e in asked),
        "memory": state.memories.get(trial.number),
        **({"transcript": [dataclasses.asdict(e) for e in asked]} if transcript else {}),
    }


def _value(objective: Objective | None) -> float | None:
    return None if objective is None else objective.value


def _objective(objective: Objective | None) -> dict[str, float | None]:
    return {"objective": _value(objective), "stderr": None if objective is None else objective.stderr}


def _scores(scores: tuple[Score, ...]) -> dict[str, dict[str, Any]]:
    return {
        s.task: {"value": s.value, "stderr": s.stderr, "n": s.n, "gain": s.gain, "gain_stderr": s.gain_stderr}
        for s in scores
    }
