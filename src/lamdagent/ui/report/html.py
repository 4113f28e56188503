"""Self-contained HTML pages: a report, its pictures inline SVG, and the sheets of other results."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

from lamdagent.results.report import NORMAL_95
from lamdagent.ui.report.markdown import Table, by_task, diagnosis, ranking, summary

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .25rem .75rem; text-align: left; vertical-align: top }
tr + tr td { border-top: 1px solid #ddd } pre { background: #f6f6f6; padding: 1rem; overflow-x: auto }
svg, img { max-width: 100%; height: auto }
"""
BASE, MODEL = "#9aa5b1", "#1f6fb2"


def page(data: Mapping[str, Any]) -> str:
    """The whole page."""
    title = html.escape(f"Report of the study {data['study']}")
    parts = [f"<h1>{title}</h1>", *(f"<p>{html.escape(p)}</p>" for p in summary(data).split("\n\n"))]
    parts += ["<h2>The search</h2>", _svg(_curve, data), "<h2>The best on the sealed test</h2>", _table(ranking(data))]
    for model in data["models"]:
        parts += [f"<h2>{html.escape(model['name'])}, task by task</h2>", f"<p>{html.escape(model['how'])}</p>"]
        parts += [_svg(_bars, model), _table(by_task(model))]
    parts += ["<h2>What may have gone wrong</h2>", _table(diagnosis(data))]
    if data["lineage"]:
        parts += ["<h2>How the best by validation was made</h2>", f"<pre>{html.escape(data['lineage'])}</pre>"]
    return _whole(title, parts)


def sheet(title: str, text: str, picture: bytes) -> str:
    """One page of a text in fixed columns and a PNG picture."""
    source = base64.b64encode(picture).decode()
    shown = html.escape(title)
    return _whole(
        shown,
        [f"<h1>{shown}</h1>", f'<img alt="" src="data:image/png;base64,{source}">', f"<pre>{html.escape(text)}</pre>"],
    )


def _whole(title: str, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _table(content: Table) -> str:
    heads, rows = content
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _svg(draw: Any, data: Mapping[str, Any]) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "lamdagent", "svg.fonttype": "none"}):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes, data)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _curve(axes: Any, data: Mapping[str, Any]) -> None:
    points = data["curve"]
    trials, values = [p["trial"] for p in points], [p["value"] for p in points]
    errors = [p["stderr"] or 0.0 for p in points]
    axes.errorbar(trials, values, yerr=errors, fmt="o", ms=4, lw=1, color=MODEL, label="trial, with its standard error")
    axes.step(trials, [p["best"] for p in points], where="post", color="#333", lw=1.2, label="best so far")
    axes.set(xlabel="trial", ylabel="objective on validation")
    axes.legend(frameon=False)


def _bars(axes: Any, model: Mapping[str, Any]) -> None:
    tasks = list(model["tasks"])
    base = next((a for a in model["against"] if a["is"] == "base model" and a["tasks"]), None)
    errors = [NORMAL_95 * (model["tasks"][t]["test"]["stderr"] or 0.0) for t in tasks]
    places = range(len(tasks))
    if base is not None:
        axes.bar(
            [p - 0.2 for p in places], [base["tasks"][t]["test"] for t in tasks], 0.4, color=BASE, label=base["name"]
        )
    values = [model["tasks"][t]["test"]["value"] for t in tasks]
    axes.bar([p + 0.2 for p in places], values, 0.4, yerr=errors, color=MODEL, label=f"{model['name']}, 95 % interval")
    axes.set_xticks(list(places), tasks)
    axes.set(ylabel="score on the test")
    axes.legend(frameon=False)
