"""A result as one self-contained HTML page, its pictures inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

from lamdagent.core.text import for_html
from lamdagent.results.result import Facts, Part, Picture, Result, Section, Table, Verbatim
from lamdagent.ui.plots import svg

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .25rem .75rem; text-align: left; vertical-align: top }
tr + tr td { border-top: 1px solid #ddd } pre { background: #f6f6f6; padding: 1rem; overflow-x: auto }
svg { max-width: 100%; height: auto } .strong { font-weight: bold }
"""


def page(result: Result) -> str:
    """The whole page."""
    title = for_html(result.title)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{body(result.sections())}\n</body></html>\n"
    )


def body(sections: Sequence[Section]) -> str:
    """The sections without a page around them, as a notebook shows them."""
    blocks: list[str] = []
    for section in sections:
        if section.heading:
            blocks.append(f"<h2>{for_html(section.heading)}</h2>")
        blocks += map(_block, section.parts)
    return "\n".join(blocks)


def _block(part: Part) -> str:
    match part:
        case str():
            return f"<p>{for_html(part).replace(chr(10), '<br>')}</p>"
        case Table():
            notes = "".join(f"<p><small>{for_html(note)}</small></p>" for note in part.notes)
            return _table(part) + notes
        case Facts():
            rows = [[name.strip(), what] for name, what in part.rows]
            return _table(Table(heads=(), rows=rows))
        case Verbatim():
            return f"<pre>{for_html(part.text)}</pre>"
        case Picture():
            return svg(part)


def _table(content: Table) -> str:
    head = "".join(f"<th>{for_html(cell)}</th>" for cell in content.heads)
    rows = ["".join(f"<td>{for_html(cell)}</td>" for cell in row) for row in content.rows]
    strong = [' class="strong"' if place in content.strong else "" for place in range(len(rows))]
    lines = "".join(f"<tr{mark}>{row}</tr>" for mark, row in zip(strong, rows, strict=True))
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{lines}</table>"
