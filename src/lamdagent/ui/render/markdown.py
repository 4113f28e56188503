"""A result as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from lamdagent.core.text import fenced, for_markdown, in_one_line
from lamdagent.results.result import Facts, Part, Picture, Result, Section, Table, Verbatim


def markdown(result: Result) -> str:
    """The whole result, to read or to paste. Pictures are left to the files beside it."""
    blocks = [f"# {in_one_line(result.title)}"]
    for section in result.sections():
        blocks += markdown_section(section)
    return "\n\n".join(blocks) + "\n"


def markdown_section(section: Section) -> list[str]:
    """The blocks of one section."""
    heading = [f"## {in_one_line(section.heading)}"] if section.heading else []
    return [*heading, *(block for part in section.parts if (block := _block(part)))]


def _block(part: Part) -> str:
    match part:
        case str():
            # Two spaces at the end keep a line break, which Markdown would take for a space.
            return for_markdown(part).replace("\n", "  \n")
        case Table():
            return "\n\n".join([_table(part.heads, part.rows), *map(for_markdown, part.notes)])
        case Facts():
            return "\n".join(f"- **{in_one_line(name.strip())}**: {in_one_line(what)}" for name, what in part.rows)
        case Verbatim():
            return fenced(part.text)
        case Picture():
            return ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(map(in_one_line, heads)), ["---"] * len(heads), *(list(map(in_one_line, cells)) for cells in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
