"""A command: where does the best model of a study lie?"""

from __future__ import annotations

from pathlib import Path

import typer

from lamdagent.core.errors import UserError


def where(study: Path = typer.Argument(help="The study file, or its run folder.")) -> None:
    """Print the folder of the best model that a search made."""
    from lamdagent.study.read import read_study

    read = read_study(study)
    made = [model for model, _ in read.state.ranked() if model.made_by is not None]
    if not made:
        raise UserError(f"{study}: no model was made yet; lamdagent run {study}")
    typer.echo(read.artifacts.open(made[0].id))
