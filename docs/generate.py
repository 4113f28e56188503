"""Write docs/config.md and docs/cli.md from the code; with --check, only say whether they are up to date."""

from __future__ import annotations

import sys
import types
import typing
from pathlib import Path
from typing import Any

import typer.main
from pydantic_core import PydanticUndefined

from lamdagent.core.metrics import METRICS
from lamdagent.study import registry
from lamdagent.study.config import schema
from lamdagent.ui.cli.app import app

DOCS = Path(__file__).parent


def config_page() -> str:
    parts = [
        "# The study file",
        "One strict YAML mapping: an unknown key, a wrong type or a missing file is an error with file and line. "
        "Relative paths start from the study file's folder. Any value can be overridden: `--set KEY.KEY=VALUE` or "
        "`--KEY.KEY VALUE`; an entry of `tasks` is named by its `task` or its index.",
        table(schema.Body),
        "## models.NAME",
        table(schema.ModelEntry),
        "## datasets.NAME",
        "Rows are `prompt`+`completion`, `messages`, `text`, or preferences (`prompt`+`chosen`+`rejected`, which `sft` "
        "refuses); alpaca (`instruction`, `input`, `output`) and sharegpt (`conversations`) columns are converted. "
        "`columns` maps other names: a value is a column's name, or a Jinja template over the row's columns, as in "
        'lm-eval: `{prompt: "{{question}}\\nAnswer:", completion: " {{choices[answer]}}"}`. Loss is on completions '
        "only; of `messages`, on each assistant turn, through the model's own chat template.",
        table(schema.DatasetEntry),
        "## tasks[]",
        "An lm-eval task by name, or the user's own rows (`path`). The search reads the validation side only: the "
        "validation split of an lm-eval task that has a test split too, else one fixed half of the only split it has. "
        "The objective is the mean of the scores, each divided by its `max_score`, weighted by `weight`.",
        table(schema.TaskEntry),
        "Metrics of own rows:",
        "\n".join(f"- `{name}`: {what}" for name, what in METRICS.items()),
        "## budget",
        table(schema.BudgetEntry),
        "## execution",
        table(schema.Execution),
    ]
    for family, title in (
        ("actions", "actions.{}"),
        ("policies", "policy: kind: {}"),
        ("memories", "memory: kind: {}"),
    ):
        for name in registry.BUILT_IN[family]:
            config = registry.find(family, name).Config
            parts += [f"## {title.format(name)}", doc(config), table(config)]
            for inner in nested(config):
                parts += [f"### {title.format(name)}: {inner.__name__.lower()}", doc(inner), table(inner)]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(model: Any) -> str:
    rows = []
    for name, info in model.model_fields.items():
        default = "required" if info.default is PydanticUndefined else f"`{shown(info.default)}`"
        rows.append(f"| `{name}` | {kind(info.annotation)} | {default} | {info.description} |")
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows]) if rows else ""


def shown(default: Any) -> str:
    if hasattr(default, "model_dump"):
        return "see below"
    return (
        {None: "unset", True: "true", False: "false"}.get(default, str(default)) if is_plain(default) else str(default)
    )


def is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def kind(annotation: Any) -> str:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{a}`" for a in args)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(kind(a) for a in args if a is not type(None))
    if origin is list:
        return f"list of {kind(args[0])}"
    if origin is dict:
        return f"mapping to {kind(args[1])}"
    return {"str": "text", "int": "integer", "float": "number", "bool": "true/false", "Any": "options"}.get(
        annotation.__name__, "mapping"
    )


def nested(config: Any) -> list[Any]:
    found: list[Any] = []
    for info in config.model_fields.values():
        for part in walk(info.annotation):
            if hasattr(part, "model_fields") and part not in found:
                found += [part, *nested(part)]
    return found


def walk(annotation: Any) -> list[Any]:
    args = [a for a in typing.get_args(annotation) if not isinstance(a, str)]
    return [annotation, *(inner for a in args for inner in walk(a))]


def doc(model: Any) -> str:
    return " ".join((model.__doc__ or "").split())


def cli_page() -> str:
    group: Any = typer.main.get_command(app)
    parts = ["# Commands", " ".join((group.help or "").split())]
    for name, command in group.commands.items():
        arguments = " ".join(p.name.upper() for p in command.params if p.param_type_name == "argument")
        parts += [f"## lamdagent {name} {arguments}", "\n\n".join(map(str.strip, (command.help or "").split("\n\n")))]
        rows = []
        for p in command.params:
            label = ", ".join(f"`{o}`" for o in p.opts) if p.param_type_name == "option" else f"`{p.name}`"
            default = (
                "" if p.default in (None, False, (), []) or callable(p.default) else f" Default: `{plain(p.default)}`."
            )
            rows.append(f"- {label}: {getattr(p, 'help', '') or ''}{default}")
        parts.append("\n".join(rows))
    parts.append("Exit codes: 0 done; 1 a check found something; 2 something the user can mend; 130 stopped by Ctrl-C.")
    return "\n\n".join(parts) + "\n"


def plain(default: Any) -> Any:
    return getattr(default, "value", default)


def main() -> None:
    stale = []
    for name, text in (("config.md", config_page()), ("cli.md", cli_page())):
        file = DOCS / name
        if "--check" not in sys.argv:
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        sys.exit(f"docs/{', docs/'.join(stale)}: not what the code says; run: make docs")


if __name__ == "__main__":
    main()
