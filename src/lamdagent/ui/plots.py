"""Results as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lamdagent.core.errors import UserError
from lamdagent.ui.cli._output import Data


def draw_comparison(data: Data, file: Path) -> None:
    """Best-so-far curves with 95 % intervals over seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    for arm, row in data["arms"].items():
        at = range(len(row["curve"]))
        (line,) = axes.plot(at, [p["mean"] for p in row["curve"]], label=arm)
        if len(data["seeds"]) > 1:  # where all seeds agree, as before the first trial, there is no spread
            low, high = ([p["mean"] if p[key] is None else p[key] for p in row["curve"]] for key in ("low", "high"))
            axes.fill_between(at, low, high, alpha=0.15, color=line.get_color())
    axes.set(xlabel="trials", ylabel="best objective so far (validation)")
    axes.legend(frameon=False)
    figure.savefig(file, dpi=150)


def draw_validation_size(data: dict[str, Any], file: Path) -> None:
    from matplotlib.figure import Figure

    rows, figure = data["sizes"], Figure(figsize=(7, 3.6), layout="constrained")
    axes, sizes = figure.subplots(), [row["size"] for row in data["sizes"]]
    low, high = [row["tau_low"] for row in rows], [row["tau_high"] for row in rows]
    axes.fill_between(sizes, low, high, alpha=0.2, label="95 %")
    axes.plot(sizes, [row["tau"] for row in rows], "o-", label="rank agreement (tau-b)")
    axes.plot(sizes, [row["best_first"] for row in rows], "s--", label="the best is first")
    axes.set(xscale="log", xlabel="validation items per task", ylim=(-0.05, 1.05))
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.legend(frameon=False)
    try:
        figure.savefig(file)
    except (OSError, ValueError) as error:  # no such folder, or an ending that is no picture's
        raise UserError(f"--plot {file}: {error}. Give a .png or .svg file in a folder that exists.") from error


def draw_scale(data: Data, file: Path) -> None:
    """A line for each pipeline over the replays; dashed for those drawn at random, dotted for base models."""
    from matplotlib.figure import Figure

    labels = ["1x", *data["arms"]]
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    lines = [(row["name"], row, "-" if row["picked"] == "top" else "--") for row in data["pipelines"]]
    lines += [(name, row, ":") for name, row in data["base"].items()]
    for place, (name, row, style) in enumerate(lines):
        points = [row["original"], *(row["replayed"][label] for label in data["arms"])]
        at = [i + 0.02 * (place - len(lines) / 2) for i, p in enumerate(points) if p is not None]
        known = [p for p in points if p is not None]
        errors = [p["stderr"] or 0.0 for p in known]
        axes.errorbar(at, [p["value"] for p in known], errors, fmt=f"o{style}", markersize=4, capsize=2, label=name)
    axes.set_xticks(range(len(labels)), labels)
    axes.set(ylabel="objective (validation) ± standard error")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(file, dpi=150)


def draw_attribution(data: Data, file: Path) -> None:
    """A bar for each step's worth, with its 95 % interval."""
    from matplotlib.figure import Figure

    steps = [step for step in data["steps"] if step["worth"] is not None][::-1]
    figure = Figure(figsize=(7.5, 1.2 + 0.45 * len(steps)), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    values = [step["worth"]["value"] for step in steps]
    reach = [[max(0.0, v - s["worth"]["low"]) for v, s in zip(values, steps, strict=True)],
             [max(0.0, s["worth"]["high"] - v) for v, s in zip(values, steps, strict=True)]]  # fmt: skip
    axes.barh(
        range(len(steps)), values, xerr=reach if steps else None, height=0.6, capsize=3, color="tab:blue", alpha=0.7
    )
    axes.set_yticks(range(len(steps)), [f"{step['step']}\n{step['action'].partition('(')[0]}" for step in steps])
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set(xlabel=f"worth: objective of {data['pipeline']} less that without the step (95 %)")
    figure.savefig(file, dpi=150)
