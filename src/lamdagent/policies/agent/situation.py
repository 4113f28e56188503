"""What every question says of the search: where it stands, what is left of it, what it is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamdagent.core.evidence import labels
from lamdagent.core.format import by_task, duration, recipe, scored
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import ObjectId

MEMORY_CHARS = 6000
CUT = "[…]"
ABOUT_CHARS = 300
EXAMPLES_CHARS = 3000
"""Of the example rows of all datasets together, and of the prompts of all tasks together."""
EXAMPLE_CHARS = 160
SHORTEST = 40
"""An example that would be cut to less says nothing, and is left out."""
LAST = 0.15
"""The share of the trials that is left when the last ones begin, which is 2 at the least."""
TASKS = 12


def ends_of(notes: str, most: int = MEMORY_CHARS) -> str:
    """The beginning and the end of notes, in so many characters: the best models, and the latest trials with the plan."""
    if len(notes) <= most:
        return notes
    half = (most - len(CUT) - 2) // 2
    first, last = notes[:half], notes[-half:]
    head, tail = first.rpartition("\n")[0], last.partition("\n")[2]  # whole lines, but where one of them is most of it
    return "\n".join([head if len(head) > half // 2 else first, CUT, tail if len(tail) > half // 2 else last])


def standing(state: State, space: ActionSpace) -> str:
    """The number of the trial, the best model, the given ones, and what is left of the budget."""
    names, ranked = labels(state), state.ranked()
    of = "" if space.budget.trials is None else f" of {space.budget.trials}"
    lines = [
        f"{len(state.trials)} trials so far; trial {len(state.trials) + 1}{of} is to be chosen.{_left(state, space)}"
    ]
    if ranked:
        best = ranked[0][0].id
        lines.append(
            f"Best: {names[best]} {scored(ranked[0][1])} ({by_task(state, best)}): {recipe(state, best, names)}."
        )
        lines += _best_on_tasks(state, best, names)
    given = [f"{names[o.id]} {scored(v)} ({by_task(state, o.id)})" for o, v in ranked if o.made_by is None]
    if given:
        lines.append(f"Given at the start, what all is made from: {', '.join(given[:TASKS])}.")
    return "\n".join(lines)


def _best_on_tasks(state: State, best: ObjectId, names: Mapping[ObjectId, str]) -> list[str]:
    """The best model on each task where it is not the best of all."""
    found = []
    for goal in [goal for goal in state.goals if goal.weight][:TASKS]:
        scores = [(s, i) for i, of in state.scores.items() for s in of if s.task == goal.task and i in names]
        score, model = max(scores, key=lambda pair: (pair[0].value, pair[1] == best), default=(None, best))
        if score is not None and model != best:
            found.append(f"{goal.task} {names[model]} with {score.value:.2f}")
    return [f"Better on one task: {', '.join(found)}."] if found else []


def _left(state: State, space: ActionSpace) -> str:
    left = space.left
    parts = [
        f"{left.train_rows:,} rows to train on" if left.train_rows is not None else "",
        f"{left.train_tokens:,} tokens to train on" if left.train_tokens is not None else "",
        duration(left.hours * 3600) if left.hours is not None else "",
        f"{left.gpu_hours:.1f} GPU hours" if left.gpu_hours is not None else "",
    ]
    words = f" Left: {', '.join(filter(None, parts))}." if any(parts) else ""
    if left.trials is not None and left.trials <= max(2, LAST * (space.budget.trials or 0)):
        words += " These are the last trials: refine or merge what is best, and begin nothing that needs further steps."
    return words


def tasks(state: State, examples: int) -> list[dict[str, Any]]:
    """What is said of each task that counts or is guarded: its weight, its best value, a description, example prompts.

    Args:
        examples: prompts of each.
    """
    about = _about(state, "tasks")
    guards = {guard.task: guard.max_drop for guard in state.guards}
    shown = [goal for goal in state.goals if goal.weight or goal.task in guards][:TASKS]
    chars = example_chars(len(shown) * examples)
    return [
        {
            "name": goal.task,
            "weight": f"{goal.weight:g}",
            "best": f"{goal.max_score:g}",
            "max_drop": f"{guards[goal.task]:g}" if goal.task in guards else None,
            "about": about.get(goal.task, "")[:ABOUT_CHARS],
            "examples": cut(state.prompts.get(goal.task, ())[:examples], chars),
        }
        for goal in shown
    ]


def described(state: State, name: str) -> str:
    """What the study file says a dataset is about; empty where it does not."""
    return _about(state, "datasets").get(name, "")[:ABOUT_CHARS]


def example_chars(examples: int) -> int:
    """How many characters each of so many examples has."""
    return min(EXAMPLE_CHARS, EXAMPLES_CHARS // max(1, examples))


def cut(texts: Sequence[str], chars: int) -> list[str]:
    """Texts in one line each, cut; none where little would be left of them."""
    lines = [" ".join(text.split()) for text in texts] if chars >= SHORTEST else []
    return [line if len(line) <= chars else f"{line[: chars - 1]}…" for line in lines]


def _about(state: State, section: str) -> dict[str, str]:
    entries = state.config.get(section) or {}
    if not isinstance(entries, Mapping):
        entries = {entry.get("task"): entry for entry in entries if isinstance(entry, Mapping)}
    return {
        name: " ".join(entry["about"].split())
        for name, entry in entries.items()
        if isinstance(entry, Mapping) and entry.get("about")
    }


def seconds_of(state: State) -> dict[str, str]:
    """How long trials of each action type took, and how many tokens they trained on: medians of what was made anew."""
    found: dict[str, list[tuple[float, int | None]]] = {}
    for trial in state.trials:
        if trial.status == "made" and trial.outcome is not None and not trial.outcome.cost.reused:
            cost = trial.outcome.cost
            found.setdefault(trial.choice.action.type, []).append((cost.wall_s, cost.training.tokens))
    words = {}
    for type, costs in found.items():
        seconds = sorted(wall for wall, _ in costs)[len(costs) // 2]
        tokens = sorted(n for _, n in costs if n)
        trained = f" for {tokens[len(tokens) // 2]:,} tokens trained on" if tokens else ""
        if seconds >= 0.1:
            words[type] = f"Takes about {duration(seconds)}{trained}."
    return words


def root_of(state: State, object_id: ObjectId, names: Mapping[ObjectId, str]) -> str:
    """The base model of one that is there, where there are several base models; empty else."""
    roots = {obj.root for obj in state.of_kind("model")}
    root = state.pool[object_id].root
    return f"; of base {names.get(root, root)}" if len(roots) > 1 and root != object_id else ""
