"""How a command hands over what it found: data, a picture, one page of both, and the table on the screen."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import typer

Data = Mapping[str, Any]


def write_outputs(
    data: Data,
    folder: Path,
    name: str,
    draw: Callable[[Data, Path], None],
    table: Callable[[Data], str],
    as_json: bool,
) -> None:
    """Write NAME.json, NAME.png and NAME.html to a folder, and print the table or the data."""
    from lamdagent.ui.report.html import sheet

    folder.mkdir(parents=True, exist_ok=True)
    as_text, picture = json.dumps(data, indent=2, ensure_ascii=False), folder / f"{name}.png"
    draw(data, picture)
    page = sheet(f"{name} of {data['study']}", table(data), picture.read_bytes())
    (folder / f"{name}.json").write_text(as_text, encoding="utf-8")
    (folder / f"{name}.html").write_text(page, encoding="utf-8")
    typer.echo(as_text if as_json else table(data))
    print(f"written: {', '.join(str(folder / f'{name}.{end}') for end in ('json', 'png', 'html'))}", file=sys.stderr)
