"""`compare`: the same budget for several ways of searching, and whether they differ."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from lamdagent.core.errors import UserError
from lamdagent.results.searches import Arm, run_arms
from lamdagent.ui.cli._options import SET_HELP, dotted
from lamdagent.ui.cli._output import write_outputs

TRIALS = 30
BUDGETS = ("budget.train_rows=", "budget.train_tokens=")


def compare(
    context: typer.Context,
    study: Path = typer.Argument(help="The study file. Run it again to go on where it stopped."),
    policies: str = typer.Option("random", help="Policies with commas, such as random,evolution; the first is the one "
                                 "that others are held against."),
    without: list[str] = typer.Option([], help="An arm of the first policy without this action type. Repeatable."),
    arms: Path | None = typer.Option(None, help="A YAML file of arms instead: {name: {key.key: value}}."),
    seeds: int = typer.Option(5, min=1, help="Seeds per arm."),
    trials: int | None = typer.Option(None, min=1, help="Trials per search. Unset: 30, or any number with "
                                      "--budget.train_rows or --budget.train_tokens."),
    set_: list[str] = typer.Option([], "--set", help=SET_HELP),
    test: bool = typer.Option(False, "--test", help="Open the sealed test for the pick of every search, the best model "
                              "by validation or the base model where nothing beats it."),
    fresh_items: bool = typer.Option(False, "--fresh-items", help="Draw the items of every task anew for each seed, so "
                                     "that seeds share none; for worlds of `init --template tiny`."),
    detect: float | None = typer.Option(None, "--detect", help="Say how many seeds would show a gap of this size, such "
                                        "as 0.02, with 80 % power."),
    to: Path | None = typer.Option(None, "--to", help="Folder for comparison.json, .md, .html and .png. "
                                   "Unset: runs/NAME.comparison."),
    as_json: bool = typer.Option(False, "--json", help="Print the comparison as one JSON object."),
) -> None:  # fmt: skip
    """Run several searches with the same budget and seeds, and say whether they differ.

    They are held against each other where all have spent equally many training tokens (rows, where tokens are not known):
    a policy that takes larger trials must not win by that. What holds at equal seconds and trials is said beside it.
    A model that another search made counts in full.

    Each search is judged by its pick on items that had no say in picking it, or with --test on the sealed test: the
    best validation score itself grows with the number of models by luck alone. Intervals cover seeds and items. Seeds
    share one set of items, so what is said holds for other items as far as these can tell; with --fresh-items each has
    its own, and more seeds are more items, too.

    The searches share their artifacts: what one has made is not made again by another. Dotted options (`--policy.shown
    10`) go to every arm whose policy knows them, `--budget.KEY` to all.
    """
    from lamdagent.study.config import load_study
    from lamdagent.study.parts import StudyParts
    from lamdagent.ui.cli._rerun import progress_of

    grid = _from_file(arms) if arms else _from_options(policies, without)
    base, options = _for_all(set_, dotted(context.args), trials)
    loaded = load_study(study, base)
    if detect is not None and not 0 < detect < 1:
        raise UserError(f"--detect {detect:g}: give a gap of the objective between 0 and 1, such as 0.02.")
    searches = run_arms(
        loaded,
        base,
        options,
        grid,
        seeds,
        test,
        fresh_items,
        lambda s: [progress_of(s, StudyParts(s).budget)],
    )
    from lamdagent.results.compare import compare as compare_states

    found = compare_states(loaded.body.study, searches, detect)
    write_outputs(found, to or loaded.root / f"{found.study}.comparison", "comparison", as_json=as_json)


def _for_all(given: list[str], options: list[str], trials: int | None) -> tuple[list[str], list[str]]:
    """The overrides of all arms, those of the budget among them; and the options for arms whose policy knows them."""
    base = [*given, *(option for option in options if option.startswith("budget."))]
    bounded = any(option.startswith(BUDGETS) for option in base)
    base.append(f"budget.trials={trials or ('null' if bounded else TRIALS)}")
    return base, [option for option in options if option not in base]


def _from_options(policies: str, without: list[str]) -> dict[str, Arm]:
    kinds = [kind.strip() for kind in policies.split(",") if kind.strip()]
    grid: dict[str, Arm] = {kind: [f"policy.kind={kind}"] for kind in kinds}
    grid |= {f"without-{type}": [f"policy.kind={kinds[0]}", f"-actions.{type}"] for type in without}
    if len(grid) < 2:
        raise UserError("nothing to compare: give two --policies, or --without ACTION, or a file of --arms.")
    return grid


def _from_file(file: Path) -> dict[str, Arm]:
    from lamdagent.study.config import Document

    data = Document(file).data
    if not all(isinstance(changes, dict) for changes in data.values()) or len(data) < 2:
        raise UserError(f"{file}: expected two arms or more, each a mapping such as `agent: {{policy.kind: agent}}`.")
    return {name: [f"{k}={json.dumps(v)}" for k, v in changes.items()] for name, changes in data.items()}
