"""Prompts are files: short, in plain words, each replaceable by one of the same name in the user's folder."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from lamdagent.core.errors import UserError
from lamdagent.core.templates import BadTemplate, Template


def render(package: str, name: str, own: Path | None, **values: Any) -> str:
    """A prompt with its values filled in (Jinja).

    Args:
        package: where the shipped `prompts/` folder lies.
        own: the user's folder; what it lacks, and includes, is taken from the shipped ones.
    Raises:
        UserError: the user's template cannot be filled in.
    """
    from jinja2 import FunctionLoader

    def place_of(name: str) -> Any:
        mine = own / name if own is not None else None
        return mine if mine is not None and mine.is_file() else files(package) / "prompts" / name

    try:
        text = place_of(name).read_text(encoding="utf-8")
        parts = FunctionLoader(lambda part: place_of(Path(part).name).read_text(encoding="utf-8"))
        return Template(text, trim_blocks=True, lstrip_blocks=True, loader=parts).render(values).strip()
    except (BadTemplate, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{place_of(name)}: {error}. It may use: {', '.join(sorted(values))}.") from error
