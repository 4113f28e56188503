"""`compare`: the same budget for several ways of searching, and whether they differ."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer

from lamdagent.cli.begin import SET_HELP, dotted
from lamdagent.cli.handover import Data, hand_over
from lamdagent.config import Study
from lamdagent.errors import UserError

Arm = list[str]
"""What an arm changes in the study file, as `key=value` texts."""


def compare(
    context: typer.Context,
    study: Path = typer.Argument(help="The study file. Run it again to go on where it stopped."),
    policies: str = typer.Option("random", help="Policies with commas, such as random,evolution; the first is the one "
                                 "that others are held against."),
    without: list[str] = typer.Option([], help="An arm of the first policy without this action type. Repeatable."),
    arms: Path | None = typer.Option(None, help="A YAML file of arms instead: {name: {key.key: value}}."),
    seeds: int = typer.Option(5, min=1, help="Seeds per arm."),
    trials: int = typer.Option(30, min=1, help="Trials per search."),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    test: bool = typer.Option(False, "--test", help="Open the sealed test for the best model of every search."),
    to: Path | None = typer.Option(None, "--to", help="Folder for comparison.json, .png and .html. "
                                   "Unset: runs/NAME.comparison."),
    as_json: bool = typer.Option(False, "--json", help="Print the comparison as one JSON object."),
) -> None:  # fmt: skip
    """Run several searches with the same budget and seeds, and say whether they differ.

    The searches share their artifacts: what one has made is not made again by another. Dotted options (`--policy.shown
    10`) go to every arm whose policy knows them.
    """
    from lamdagent.config import load_study

    grid = _from_file(arms) if arms else _from_options(policies, without)
    base = [*set_, f"budget.trials={trials}"]
    loaded = load_study(study, base)
    states, tested = _searched(loaded, base, dotted(context.args), grid, seeds, test)
    from lamdagent.comparison import compare as compare_states

    data = {"study": loaded.body.study, **compare_states(states, trials, tested if test else None)}
    hand_over(data, to or loaded.root / f"{loaded.body.study}.comparison", "comparison", draw, table, as_json)


def _from_options(policies: str, without: list[str]) -> dict[str, Arm]:
    kinds = [kind.strip() for kind in policies.split(",") if kind.strip()]
    grid: dict[str, Arm] = {kind: [f"policy.kind={kind}"] for kind in kinds}
    grid |= {f"without-{type}": [f"policy.kind={kinds[0]}", f"-actions.{type}"] for type in without}
    if len(grid) < 2:
        raise UserError("nothing to compare: give two --policies, or --without ACTION, or a file of --arms.")
    return grid


def _from_file(file: Path) -> dict[str, Arm]:
    from lamdagent.config import Document

    data = Document(file).data
    if not all(isinstance(changes, dict) for changes in data.values()) or len(data) < 2:
        raise UserError(f"{file}: expected two arms or more, each a mapping such as `agent: {{policy.kind: agent}}`.")
    return {name: [f"{k}={json.dumps(v)}" for k, v in changes.items()] for name, changes in data.items()}


def _searched(
    whole: Study, base: list[str], options: list[str], grid: dict[str, Arm], seeds: int, test: bool
) -> tuple[dict[str, list[Any]], dict[str, list[float]]]:
    """Every search run to its end: states by arm, and the sealed-test objective of each one's best where asked for."""
    from lamdagent import build
    from lamdagent.cli.scoring import tested_leaders
    from lamdagent.config import load_study
    from lamdagent.display.outlook import Outlook
    from lamdagent.display.plain import Plain
    from lamdagent.driver import run_loaded

    states: dict[str, list[Any]] = {arm: [] for arm in grid}
    tested: dict[str, list[float]] = {arm: [] for arm in grid}
    for seed in range(seeds):  # seed by seed, so that a comparison which is stopped early is even
        for arm, changes in grid.items():
            own = [*base, f"seed={seed}", f"study={whole.body.study}.{arm}.{seed}", *_known_to(changes, options)]
            study = load_study(whole.file, own)
            print(f"{arm}, seed {seed}", file=sys.stderr, flush=True)
            display = Plain(Outlook(build.budget(study), study.body.execution.workers), out=sys.stderr)
            states[arm].append(run_loaded(study, display=display))
            if test:
                (best, *_) = tested_leaders(study, 1)["models"]
                tested[arm].append(best["test"]["value"])
    return states, tested


def _known_to(changes: Arm, options: list[str]) -> list[str]:
    """An arm's overrides with the dotted options that its policy knows."""
    from lamdagent import registry

    kind = next((c.partition("=")[2] for c in changes if c.startswith("policy.kind=")), None)
    fields = registry.find("policies", kind.strip('"')).Config.model_fields if kind else {}
    return [*changes, *(o for o in options if not o.startswith("policy.") or o[7:].partition("=")[0] in fields)]


def table(data: Data) -> str:
    """The comparison as lines of text."""
    lines = [f"{len(data['seeds'])} seeds of {data['trials']} trials; against {data['against']}"]
    for arm, row in data["arms"].items():
        reached = [r for r in row["reached"] if r is not None]
        soon = f"{sorted(reached)[len(reached) // 2]}" if len(reached) * 2 > len(row["reached"]) else "-"
        lines.append(
            f"{arm:20} best {_ci(row['final'])}  area {_ci(row['area'])}  "
            f"trials to {data['against']}'s best (median): {soon}"
        )
        if (gain := row.get("gain")) is not None:
            lines.append(f"{'':20} {_words(gain)}")
        if row["test"] is not None:
            lines.append(f"{'':20} sealed test of the best {_ci(row['test'])}")
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


def _ci(summary: dict[str, Any]) -> str:
    if summary["low"] is None:
        return f"{summary['mean']:.3f}"
    return f"{summary['mean']:.3f} ({summary['low']:.3f} to {summary['high']:.3f})"


def draw(data: Data, file: Path) -> None:
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
