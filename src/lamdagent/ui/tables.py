"""Results as lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from lamdagent.core.evidence import REPEATS, collapsed
from lamdagent.core.format import action_of, origin, scored
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State
from lamdagent.core.types import Failed, LLMCall, ObjectiveValue
from lamdagent.evaluation.ranking import Ranking, rank_models


def comparison_table(data: Data) -> str:
    """The comparison as lines of text."""
    lines = [f"{len(data['seeds'])} seeds of {data['trials']} trials; against {data['against']}"]
    for arm, row in data["arms"].items():
        reached = [r for r in row["reached"] if r is not None]
        soon = f"{sorted(reached)[len(reached) // 2]}" if len(reached) * 2 > len(row["reached"]) else "-"
        lines.append(
            f"{arm:20} best {_mean_interval(row['final'])}  area {_mean_interval(row['area'])}  "
            f"trials to {data['against']}'s best (median): {soon}"
        )
        if (gain := row.get("gain")) is not None:
            lines.append(f"{'':20} {_words(gain)}")
        if row["test"] is not None:
            lines.append(f"{'':20} sealed test of the best {_mean_interval(row['test'])}")
        if row.get("test_gain") is not None:
            lines.append(f"{'':20} on test: {_words(row['test_gain'])}")
    lines.append(f"{data['shared']} of {data['made']} models were found already made ({data['saved_s']:.0f} s saved)")
    return "\n".join(lines)


def _words(gain: dict[str, Any]) -> str:
    if gain["t_p"] is None:
        return f"gain {gain['mean']:+.3f}; one seed, or no spread, tests nothing"
    wilcoxon = "-" if gain["wilcoxon_p"] is None else f"{gain['wilcoxon_p']:.3g}"
    needed = f"; {gain['seeds_needed']} seeds show a gap of this size (80 % power)" if gain["seeds_needed"] else ""
    return (
        f"gain {gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f}), paired t p={gain['t_p']:.3g}, "
        f"Wilcoxon p={wilcoxon}, effect {gain['effect']:+.2f}{needed}"
    )


def _mean_interval(summary: dict[str, Any]) -> str:
    if summary["low"] is None:
        return f"{summary['mean']:.3f}"
    return f"{summary['mean']:.3f} ({summary['low']:.3f} to {summary['high']:.3f})"


HOW_WIDTH = 30  # narrower than this, how a model was made is left to `lineage`


def print_leaderboard(state: State, limit: int, artifacts: ArtifactStore, console: Console | None = None) -> None:
    """Models by objective, the provided ones always among them; then what the scores can tell, and failures by cause."""
    console, standing = console or Console(), rank_models(state, artifacts)
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
        console.width = max(
            console.width, sum(widths) + 2 * len(widths) + max((len(row[-1]) for row in cells), default=0)
        )
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
    if state.llm_calls:
        console.print(f"language model: {spending(state.llm_calls)}", highlight=False)
        repeated = f"{collapsed(state)} of {len(state.trials)} choices repeat the {REPEATS} before"
        console.print(f"mode collapse: {repeated}", highlight=False)
    if state.running:
        console.print(f"open: {', '.join(f'trial {t.number}' for t in state.running)}", highlight=False)


def _rank(rank: int, object_id: str, standing: Ranking) -> str:
    return f"≈ {rank}" if object_id in standing.contenders else str(rank)


def _marked(state: State, object_id: str, objective: ObjectiveValue) -> str:
    return scored(objective) + (" guard" if state.broken(object_id) else "")


def _drop(state: State, object_id: str) -> str:
    score = state.worst_drop(object_id)
    return "-" if score is None or score.gain is None else f"{min(0.0, score.gain):+.3f} {score.task}"


def _verdicts(state: State, standing: Ranking) -> list[str]:
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


def spending(llm_calls: Sequence[LLMCall]) -> str:
    tokens_in, tokens_out = sum(e.tokens_in for e in llm_calls), sum(e.tokens_out for e in llm_calls)
    unpriced = any(e.usd is None for e in llm_calls)
    usd = "price unknown" if unpriced else f"{sum(e.usd or 0.0 for e in llm_calls):.4f} USD"
    return f"{tokens_in:,} tokens in, {tokens_out:,} out, {usd}"


Data = Mapping[str, Any]


def scale_table(data: Data) -> str:
    """Objectives of every pipeline as searched and in each replay, then how the order was kept."""
    labels = list(data["arms"])
    rows = [["pipeline", "1x", *labels, "how"]]
    for row in data["pipelines"]:
        name = row["name"] if row["picked"] == "top" else f"{row['name']} (random)"
        rows.append([name, _cell(row["original"]), *(_cell(row["replayed"][label]) for label in labels), row["how"]])
    for name, row in data["base"].items():
        cells = [_cell(row["replayed"][label]) for label in labels]
        rows.append([name, _cell(row["original"]), *cells, "as given"])
    lines = _aligned(rows)
    for row in data["pipelines"]:
        lines += [f"{row['name']} has no score at {label}: {why}" for label, why in row["lost"].items()]
    for label, arm in data["arms"].items():
        lines += ["", *_order(label, arm)]
    lines += ["", *_bands(data)]
    return "\n".join(lines)


def _order(label: str, arm: Data) -> list[str]:
    found, pairs = arm["agreement"], len(arm["pairs"])
    if found is None:
        tau = "no rank agreement (fewer than two scored pipelines, all equal, or items not kept)"
    else:
        tau = f"rank agreement tau-b {found['tau']:.2f} ({found['low']:.2f} to {found['high']:.2f}, items drawn anew)"
    lines = [f"{label}: {tau}; {len(arm['flips'])} of {pairs} pairs changed places"]
    lines += [
        f"  {pair['better']} led {pair['worse']} by {pair['gap']:.3f}{_signed_interval(pair['interval'])}, "
        f"now trails by {-pair['replayed_gap']:.3f}{_signed_interval(pair['replayed_interval'], sign=-1)}"
        for pair in arm["flips"]
    ]
    if pairs and arm["safe_gap"] is None:
        lines.append("  no gap was always kept: the widest one changed places, or all are equal")
    elif pairs:
        lines.append(f"  no pair that was {arm['safe_gap']:.3f} apart or more changed places")
    return lines


def _bands(data: Data) -> list[str]:
    def words(band: Data) -> str:
        end = f"of {band['from']:g} and more" if band["to"] is None else f"of {band['from']:g} to {band['to']:g}"
        return f"{end}: {band['flipped']} of {band['pairs']}"

    shown = [words(band) for band in data["bands"] if band["pairs"]]
    return [f"pairs that changed places over all, by their gap in the search: {'; '.join(shown)}"] if shown else []


def attribution_table(data: Data) -> str:
    """What each step is worth, and what stood in for it."""
    lines = [f"{data['pipeline']}: {_cell(data['objective'])}"]
    if data["lost"] is not None:
        lines.append(f"{data['pipeline']} could not be done again: {data['lost']}")
    rows = [["without", "objective", "worth of the step", "step"]]
    for step in data["steps"]:
        worth = step["worth"]
        shown = "-" if worth is None else f"{worth['value']:+.3f} ({worth['low']:+.3f} to {worth['high']:+.3f})"
        rows.append([step["step"], _cell(step["objective"]), shown, step["action"]])
    lines += _aligned(rows)
    for step in data["steps"]:
        notes = [*step["stands_in"], *([step["lost"]] if step["lost"] not in (None, *step["stands_in"]) else [])]
        lines += [f"without {step['step']}: {note}" for note in notes]
    lines.append("worth: the whole less what is without the step, on the same items (95 %); worths do not add up")
    return "\n".join(lines)


def outcome_text(data: Data) -> str:
    """What making a pipeline again gave."""
    if data["lost"] is not None:
        return f"{data['result']} was not made: {data['lost']}"
    lines = [f"{data['result']} is in {data['model']}"]
    if data["identical"]:
        return "\n".join(
            [*lines, f"the weights are bit-identical to those exported, in all {len(data['steps'])} steps"]
        )
    if data["identical"] is None:
        return "\n".join([*lines, "whether the weights are those exported cannot be said: their digest is missing"])
    first = next(step for step in data["steps"] if step["identical"] is False)
    lines.append(
        f"the weights are not bit-identical; the first step that differs makes {first['make']} ({first['action']})"
    )
    lines += [f"  {line}" for line in data["objects"]]
    for what in ("versions", "machine"):
        for key, values in data[what].items():
            lines.append(f"  {what.removesuffix('s')} {key}: {values['exported']} then, {values['here']} here")
    if len(lines) == 2:
        lines.append("  models, datasets, versions and kind of machine are the same, as far as they were recorded")
    return "\n".join(lines)


def _cell(objective: Data | None) -> str:
    if objective is None:
        return "-"
    return f"{objective['value']:.3f}" + ("" if objective["stderr"] is None else f" ± {objective['stderr']:.3f}")


def _signed_interval(interval: Any, *, sign: int = 1) -> str:
    if interval is None:
        return ""
    low, high = sorted(sign * bound for bound in interval)
    return f" ({low:+.3f} to {high:+.3f})"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
