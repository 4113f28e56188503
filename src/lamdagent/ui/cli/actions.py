"""`actions`: what a search can do."""

from __future__ import annotations

import typer

from lamdagent.results.installed import installed_actions
from lamdagent.ui.cli._options import JSON_HELP
from lamdagent.ui.cli._output import show_result


def actions(
    action: str | None = typer.Argument(None, help="One action type: its settings' keys too."),
    as_json: bool = typer.Option(False, "--json", help=JSON_HELP),
) -> None:
    """List the action types that are installed, those of plug-ins too: what each takes and makes, and an example."""
    show_result(installed_actions(action), as_json=as_json)
