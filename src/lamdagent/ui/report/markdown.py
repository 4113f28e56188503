"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The heads and the rows, for any rendering."""


def markdown(data: Mapping[str, Any]) -> str:
    """The report to read or to paste."""
    parts = [f"# Report of the study {data['study']}", summary(data), "## The best on the sealed test"]
    parts += [markdown_table(ranking(data))]
    for model in data["models"]:
        parts += [f"## {model['name']}, task by task", model["how"], markdown_table(by_task(model))]
    parts += ["## What may have gone wrong", markdown_table(diagnosis(data))]
    if data["lineage"]:
        parts += ["## How the best by validation was made", f"```text\n{data['lineage']}\n```"]
    return "\n\n".join(parts) + "\n"


def summary(data: Mapping[str, Any]) -> str:
    """What was searched, how often the test was opened, and what the ranking can tell."""
    times = "once" if data["test_opened"] == 1 else f"{data['test_opened']} times"
    lines = [
        f"{data['trials']} trials, {data['failed']} of them failed, seed {data['seed']}, {data['hours']:.2f} hours. "
        f"The test has been opened {times}; choose by validation, and look at the test once.",
    ]
    if data["winner"] is not None:
        winner = data["winner"]
        lines.append(
            f"The leader's validation score of {winner['raw']:.3f} is {winner['corrected']:.3f} ± {winner['stderr']:.3f} "
            f"without the luck of having been picked from {data['compared']} models."
        )
        leader, *others = data["contenders"]
        names = ", ".join(others[:10]) or "none"
        more = f" and {len(others) - 10} more" if len(others) > 10 else ""
        lines.append(f"Not to be told from the leader, {leader}, on validation (95 %): {names}{more}.")
    return "\n\n".join(lines)


def ranking(data: Mapping[str, Any]) -> Table:
    """The top models by validation, with test intervals and the gap between the two sides."""
    rows = [
        [m["name"], error(m["validation"]), error(m["test"]), interval(m["test"]), signed(m["gap"]), m["guards"] or "-"]
        for m in data["models"]
    ]
    return ["model", "validation", "test", "test, 95 %", "validation - test", "guards"], rows


def by_task(model: Mapping[str, Any]) -> Table:
    """Test scores by task, and their paired differences to the base model and to each parent."""
    others = [a for a in model["against"] if "objective" in a]
    heads = ["task", "validation", "test", *(f"{a['is']} {a['name']}" for a in others)]
    rows = [["objective", error(model["validation"]), error(model["test"]), *(change(a["objective"]) for a in others)]]
    for task, scores in model["tasks"].items():
        changes = [f"{a['tasks'][task]['test']:.3f}, {change(a['tasks'][task])}" for a in others]
        rows.append([task, error(scores["validation"]), error(scores["test"]), *changes])
    return heads, rows


def diagnosis(data: Mapping[str, Any]) -> Table:
    """The failure signatures, each with its verdict and what would help."""
    return ["signature", "verdict", "measured", "advice"], [
        [s["name"], s["verdict"], s["measured"], s["advice"]] for s in data["diagnosis"]
    ]


def markdown_table(content: Table) -> str:
    """A Markdown table."""
    heads, rows = content
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def error(score: Mapping[str, Any] | None) -> str:
    """`0.612 ± 0.024`."""
    if score is None:
        return "-"
    return f"{score['value']:.3f}" + ("" if score["stderr"] is None else f" ± {score['stderr']:.3f}")


def interval(score: Mapping[str, Any] | None) -> str:
    """`0.565 to 0.659`."""
    return "-" if score is None or score["low"] is None else f"{score['low']:.3f} to {score['high']:.3f}"


def change(difference: Mapping[str, float]) -> str:
    """`+0.120 (+0.081 to +0.159)`."""
    return f"{difference['value']:+.3f} ({difference['low']:+.3f} to {difference['high']:+.3f})"


def signed(value: float | None) -> str:
    """`+0.012`."""
    return "-" if value is None else f"{value:+.3f}"
