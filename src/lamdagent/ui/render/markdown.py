"""A result as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from lamdagent.results.result import Facts, Part, Picture, Result, Section, Table, Verbatim


def markdown(result: Result) -> str:
    """The whole result, to read or to paste. Pictures are left to the files beside it."""
    blocks = [f"# {result.title}"]
    for section in result.sections():
        blocks += markdown_section(section)
    return "\n\n".join(blocks) + "\n"


def markdown_section(section: Section) -> list[str]:
    """The blocks of one section."""
    heading = [f"## {section.heading}"] if section.heading else []
    return [*heading, *(block for part in section.parts if (block := _block(part)))]


def _block(part: Part) -> str:
    match part:
        case str():
            # Two spaces at the end keep a line break, which Markdown would take for a space.
            return part.replace("\n", "  \n")
        case Table():
            return "\n\n".join([_table(part.heads, part.rows), *part.notes])
        case Facts():
            return "\n".join(f"- **{name.strip()}**: {_one_line(what)}" for name, what in part.rows)
        case Verbatim():
            return f"```text\n{part.text}\n```"
        case Picture():
            return ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(_cell, cells)) + " |" for cells in lines)


def _cell(text: str) -> str:
    # A bar or a line break in a cell, as in an error message, would end it.
    return _one_line(text).replace("|", "\\|")


def _one_line(text: str) -> str:
    return " ".join(text.split("\n"))
