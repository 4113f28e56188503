"""A result on the terminal, or as plain lines where there is none."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from lamdagent.core.text import printable
from lamdagent.results.result import Facts, Part, Picture, Section, Table, Verbatim

EXTRA_WIDTH = 30  # narrower than this, a last column that may be left out is
FACTS_WIDTH, FACTS_INDENT = 110, 9


def print_sections(sections: Sequence[Section], console: Console | None = None) -> None:
    """Print all but the pictures."""
    console = console or Console()
    readable = [s for s in sections if not all(isinstance(part, Picture) for part in s.parts)]
    for place, section in enumerate(readable):
        if place:
            console.print()
        if section.heading:
            console.print(as_text(section.heading), style="bold")
        for part in section.parts:
            _print(part, console)


def as_text(text: str) -> Text:
    """What rich shows letter by letter: no markup, no `:emoji:`, nothing that a terminal would act on."""
    return Text(printable(text))


def _print(part: Part, console: Console) -> None:
    match part:
        case str() | Verbatim():
            console.print(as_text(part if isinstance(part, str) else part.text), soft_wrap=True)
        case Table():
            _print_table(part, console)
        case Facts():
            console.print(as_text("\n".join(_facts(part))), soft_wrap=True)
        case Picture():
            pass  # a terminal draws none; the files that a command writes hold them


def _print_table(part: Table, console: Console) -> None:
    heads, *rows = cells = [list(map(printable, row)) for row in (part.heads, *part.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    kept = len(widths) - part.last_is_extra
    extra = part.last_is_extra and (
        not console.is_terminal or console.width >= sum(widths[:kept]) + 2 * kept + EXTRA_WIDTH
    )
    if not console.is_terminal:  # a pipe or a file has no width: nothing is cut or folded there
        console.width = max(console.width, sum(widths) + 2 * len(widths))
    table = RichTable(box=None, pad_edge=False, header_style="bold")
    for place, (head, width) in enumerate(zip(heads[: kept + extra], widths, strict=False)):
        fixed = place < kept and part.last_is_extra
        table.add_column(
            Text(head),
            no_wrap=fixed,
            min_width=width if fixed else None,
            overflow="fold",
            justify="right" if head == "#" else "left",
        )
    for place, row in enumerate(rows):
        table.add_row(*map(Text, row[: kept + extra]), style="bold" if place in part.strong else None)
    console.print(table)
    for note in part.notes:
        console.print(as_text(note), style="dim", soft_wrap=True)


def _facts(part: Facts) -> list[str]:
    """Each on the line of its name where all are short, else wrapped below it."""
    if all("\n" not in what and len(name) + len(what) + 4 <= FACTS_WIDTH for name, what in part.rows):
        return [f"  {name}: {what}" for name, what in part.rows]
    indent = " " * FACTS_INDENT
    return [
        line
        for name, what in part.rows
        for line in (
            name,
            *(
                textwrap.fill(one, FACTS_WIDTH, initial_indent=indent, subsequent_indent=indent,
                              break_long_words=False, break_on_hyphens=False)
                for one in what.split("\n")
            ),
        )
    ]  # fmt: skip
