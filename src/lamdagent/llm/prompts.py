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
        own: the user's folder; what it lacks is taken from the shipped ones.
    Raises:
        UserError: the user's template cannot be filled in.
    """
    mine = own / name if own is not None and (own / name).is_file() else None
    try:
        text = (mine or files(package) / "prompts" / name).read_text(encoding="utf-8")
        return Template(text, trim_blocks=True, lstrip_blocks=True).render(values).strip()
    except (BadTemplate, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{mine or name}: {error}. It may use: {', '.join(sorted(values))}.") from error
