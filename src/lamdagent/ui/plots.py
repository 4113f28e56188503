"""The pictures of results: one function for each kind of data, one set-up of the axes for all."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamdagent.core.errors import UserError
from lamdagent.core.text import printable
from lamdagent.results.attribution import Attribution
from lamdagent.results.bars import TaskBars
from lamdagent.results.comparison import CurvesBy
from lamdagent.results.history import History
from lamdagent.results.result import Picture
from lamdagent.results.scaling import Scaling
from lamdagent.results.spending import NAMES
from lamdagent.results.validation_size import ValidationSizes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BASE, MODEL, LINE = "#9aa5b1", "#1f6fb2", "#333333"
WIDTH, HEIGHT = 7.5, 4.2


def figure_of(picture: Picture) -> Figure:
    """The picture as a matplotlib figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height_of(picture.data)), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    draw(picture.data, axes)
    if axes.get_legend_handles_labels()[0] and axes.get_legend() is None:
        axes.legend(frameon=False)
    return figure


def save(picture: Picture, file: Path) -> None:
    """Write the picture to a .png, .svg or .pdf file.

    Raises:
        UserError: the folder does not exist, or the ending is that of no picture.
    """
    try:
        with _reproducible():
            figure_of(picture).savefig(file, dpi=150)
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: {error}. Give a .png or .svg file in a folder that exists.") from error


def svg(picture: Picture) -> str:
    """The picture as an SVG element for a page."""
    text = io.StringIO()
    with _reproducible():
        figure_of(picture).savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


@contextmanager
def _reproducible() -> Iterator[None]:
    """The same data give the same file: ids in an SVG are random without a salt."""
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "lamdagent", "svg.fonttype": "none"}):
        yield


def height_of(data: object) -> float:
    """Inches: a bar for each step takes room of its own."""
    return 1.2 + 0.45 * len(data.steps) if isinstance(data, Attribution) else HEIGHT


def _text(name: str) -> str:
    """A name as matplotlib draws it letter by letter: `$` would begin a formula, and `_` hide it from the legend."""
    shown = printable(name).replace("$", r"\$")
    return f"\u200a{shown}" if shown.startswith("_") else shown


@singledispatch
def draw(data: object, axes: Any) -> None:
    """Draw data of one kind into axes that are set up."""
    raise TypeError(f"no picture of {type(data).__name__}")


@draw.register
def _(data: History, axes: Any) -> None:
    trials, values = [p.trial for p in data.points], [p.value for p in data.points]
    errors = [p.stderr or 0.0 for p in data.points]
    axes.errorbar(trials, values, yerr=errors, fmt="o", ms=4, lw=1, color=MODEL, label="trial, with its standard error")
    axes.step(trials, [p.best for p in data.points], where="post", color=LINE, lw=1.2, label="best so far")
    axes.set(xlabel="trial", ylabel="objective on validation")


@draw.register
def _(data: TaskBars, axes: Any) -> None:
    tasks, places = list(data.scores), range(len(data.scores))
    known = [(place, data.base[task]) for place, task in enumerate(tasks) if task in data.base]
    if known:
        axes.bar([p - 0.2 for p, _ in known], [v for _, v in known], 0.4, color=BASE, label=_text(data.base_model))
    values = [bar.value for bar in data.scores.values()]
    below = [0.0 if bar.low is None else bar.value - bar.low for bar in data.scores.values()]
    above = [0.0 if bar.high is None else bar.high - bar.value for bar in data.scores.values()]
    label = _text(f"{data.model}, 95 % interval")
    axes.bar([p + 0.2 for p in places], values, 0.4, yerr=[below, above], color=MODEL, label=label)
    axes.set_xticks(list(places), list(map(_text, tasks)))
    axes.set(ylabel=f"score on the {data.side} side")


@draw.register
def _(data: CurvesBy, axes: Any) -> None:
    """The pick on held-out items with its band, and the validation maximum dotted; that alone where items are not kept."""
    at = data.comparison.grid[data.axis]
    for name, arm in ((name, arm.by[data.axis]) for name, arm in data.comparison.arms.items()):
        curve = arm.held_out_curve or arm.curve
        (line,) = axes.plot(at, [p.mean for p in curve], label=_text(name))
        if len(data.comparison.seeds) > 1:  # where all seeds agree, as before the first trial, there is no spread
            low = [p.mean if p.low is None else p.low for p in curve]
            high = [p.mean if p.high is None else p.high for p in curve]
            axes.fill_between(at, low, high, alpha=0.15, color=line.get_color())
        if arm.held_out_curve is not None:
            axes.plot(at, [p.mean for p in arm.curve], ":", lw=0.9, color=line.get_color())
    axes.set(xlabel=NAMES[data.axis], ylabel="objective of the pick by then")


@draw.register
def _(data: ValidationSizes, axes: Any) -> None:
    sizes = [row.size for row in data.sizes]
    axes.fill_between(sizes, [r.tau_low for r in data.sizes], [r.tau_high for r in data.sizes], alpha=0.2, label="95 %")
    axes.plot(sizes, [row.tau for row in data.sizes], "o-", label="rank agreement (tau-b)")
    low = [row.best_first - row.best_first_low for row in data.sizes]
    high = [row.best_first_high - row.best_first for row in data.sizes]
    first = [row.best_first for row in data.sizes]
    axes.errorbar(sizes, first, yerr=[_above(low), _above(high)], fmt="s--", label="the best is first, 95 %")
    axes.set(xscale="log", xlabel="validation items per task", ylim=(-0.05, 1.05))
    axes.set_xticks(sizes, [str(size) for size in sizes])


def _above(reach: list[float]) -> list[float]:
    return [max(0.0, one) for one in reach]


@draw.register
def _(data: Scaling, axes: Any) -> None:
    """A line for each pipeline over the replays; dashed for those drawn at random, dotted for base models."""
    lines = [(row.name, row.original, row.replayed, "-" if row.picked == "top" else "--") for row in data.pipelines]
    lines += [(name, row.original, row.replayed, ":") for name, row in data.base.items()]
    for place, (name, original, replayed, style) in enumerate(lines):
        points = [(i, p) for i, p in enumerate([original, *(replayed[label] for label in data.arms)]) if p is not None]
        at = [i + 0.02 * (place - len(lines) / 2) for i, _ in points]
        values, errors = [p.value for _, p in points], [p.stderr or 0.0 for _, p in points]
        axes.errorbar(at, values, errors, fmt=f"o{style}", markersize=4, capsize=2, label=_text(name))
    axes.set_xticks(range(1 + len(data.arms)), ["1x", *map(_text, data.arms)])
    axes.set(ylabel="objective (validation) ± standard error")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


@draw.register
def _(data: Attribution, axes: Any) -> None:
    """A bar for each step's worth, first steps above, with its 95 % interval."""
    steps = [(step, step.worth) for step in data.steps if step.worth is not None][::-1]
    values = [worth.value for _, worth in steps]
    reach = [[max(0.0, worth.value - worth.low) for _, worth in steps],
             [max(0.0, worth.high - worth.value) for _, worth in steps]]  # fmt: skip
    places = range(len(steps))
    axes.barh(places, values, xerr=reach if steps else None, height=0.6, capsize=3, color=MODEL, alpha=0.7)
    axes.set_yticks(places, [_text(f"{step.what}\n{step.action.partition('(')[0]}") for step, _ in steps])
    axes.axvline(0.0, color=LINE, linewidth=0.8)
    axes.set(xlabel=f"worth: objective of {_text(data.pipeline)} less that without the step (95 %)")
