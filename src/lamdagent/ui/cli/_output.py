"""How a command hands over what it found: on the screen, and as files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from lamdagent.results.result import Result, Section, dumps, pictures


def show_result(result: Result, *, as_json: bool, sections: Sequence[Section] | None = None) -> None:
    """Print a result, or its JSON.

    Args:
        sections: what is shown of it; all where left out. The JSON is always whole.
    """
    from lamdagent.ui.render.terminal import print_sections

    if as_json:
        typer.echo(dumps(result))
    else:
        print_sections(result.sections() if sections is None else sections)


def write_outputs(result: Result, folder: Path, name: str, *, as_json: bool) -> None:
    """Write NAME.json, NAME.md, NAME.html and the pictures to a folder, and print the result or its JSON.

    One picture is NAME.png; of several, each is NAME.PICTURE.png.
    """
    from lamdagent.ui.plots import save
    from lamdagent.ui.render.html import page
    from lamdagent.ui.render.markdown import markdown

    folder.mkdir(parents=True, exist_ok=True)
    texts = {"json": dumps(result), "md": markdown(result), "html": page(result)}
    for end, text in texts.items():
        (folder / f"{name}.{end}").write_text(text, encoding="utf-8")
    drawn = pictures(result.sections())
    names = [f"{name}.png" if len(drawn) == 1 else f"{name}.{picture.name}.png" for picture in drawn]
    for picture, file in zip(drawn, names, strict=True):
        save(picture, folder / file)
    show_result(result, as_json=as_json)
    written = [*(f"{name}.{end}" for end in texts), *names]
    print(f"written: {', '.join(str(folder / file) for file in written)}", file=sys.stderr)
