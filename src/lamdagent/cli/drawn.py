"""What `scale` and `attribute` found, as lines of text and as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
        f"  {pair['better']} led {pair['worse']} by {pair['gap']:.3f}{_ci(pair['interval'])}, "
        f"now trails by {-pair['replayed_gap']:.3f}{_ci(pair['replayed_interval'], sign=-1)}"
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


def _ci(interval: Any, *, sign: int = 1) -> str:
    if interval is None:
        return ""
    low, high = sorted(sign * bound for bound in interval)
    return f" ({low:+.3f} to {high:+.3f})"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
