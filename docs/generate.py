"""Write docs/config.md, docs/cli.md and docs/json.md from the code; with --check, only say whether they are up to date."""

from __future__ import annotations

import json
import re
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
import yaml
from json_keys import json_page
from pydantic import BaseModel

from lamdagent.actions._mergekit import METHODS, Method
from lamdagent.core.metrics import METRICS
from lamdagent.study import registry
from lamdagent.study.config import schema
from lamdagent.ui.cli.app import app

DOCS = Path(__file__).parent


# Where a plug-in's options stand in the study file. A family that is missing here fails the page, not the reader.
PLACES = {
    "actions": "actions.{}",
    "policies": "policy (kind: {})",
    "memories": "memory (kind: {})",
    "tasks": "tasks[] (kind: {})",
    "runners": "execution.runner (kind: {})",
    "artifacts": "artifacts (kind: {})",
    "observers": "observers[] (kind: {})",
}
RELATIVE_TO = {
    "root": "the base model that all descend from",
    "first": "the first of the models",
    "may": "nothing, or with `base_model: true` the base model",
    "none": "nothing",
}


def methods_of_merge() -> str:
    """The merge methods, with what each reads."""

    def key(name: str, default: Any) -> str:
        return f"`{name}`" if default is None else f"`{name}` ({json.dumps(default)})"

    def line(name: str, method: Method) -> str:
        models = "2" if method.most == 2 else f"{method.least} or more"
        reads = ", ".join(key(*pair) for pair in {**method.each, **method.shared}.items()) or "no parameter"
        return f"- `{name}`, of {models} models, relative to {RELATIVE_TO[method.base]}: {reads}"

    return "\n".join(line(*pair) for pair in METHODS.items())


NOTES = {
    "actions.merge.hyperparameters.NAME": "A base model is merged with its descendants (WiSE-FT) by methods that are "
    "relative to nothing and by `slerp`. What `dare_*`, `della*` and `arcee_fusion` draw follows the study's seed. "
    "`passthrough` is left out: it changes the architecture.\n\nMethods, with what each reads (mergekit's default):\n\n"
    f"{methods_of_merge()}",
    "datasets.NAME": "Rows are `prompt`+`completion`, `messages`, `text`, or preferences (`prompt`+`chosen`+"
    "`rejected`, which `sft` refuses); alpaca (`instruction`, `input` or `context`, `output`) and sharegpt "
    "(`conversations`) columns are converted; `system`, `history` and `tools` beside them become turns and tools. A turn "
    "keeps its `tool_calls` and `reasoning_content`; one with `weight: 0` (or `train` or `loss: false`) is read and not "
    "learnt. Other columns are counted and said, and refused where they say what is to be learnt. "
    "`columns` maps other names: a value is a column's name, or a Jinja template over the row's columns, as in lm-eval: "
    '`{prompt: "{{question}}\\nAnswer:", completion: " {{choices[answer]}}"}`. Loss is on '
    "completions only; of `messages`, on each assistant turn, through the model's own chat template.",
    "tasks[] (kind: rows)": "The search reads the validation side only: the validation split of an lm-eval task that has "
    "a test split too, else one fixed half of the only split it has. The objective is the mean of the scores, each divided "
    "by its `max_score`, weighted by `weight`.\n\nOf rows with `choices`, `answer` is the text of "
    "the right one or its index from 0; where a text could be either, name the column "
    "`answer_text` or `answer_index`.\n\nMetrics of own rows:\n\n"
    + "\n".join(f"- `{name}`: {what}" for name, what in METRICS.items()),
}


def config_page() -> str:
    parts = [
        "# The study file",
        "One strict YAML mapping: an unknown key, a wrong type or a missing file is an error with file and line. "
        "Relative paths start from the study file's folder. Any value can be overridden: `--set KEY.KEY=VALUE` or "
        "`--KEY.KEY VALUE`; an entry of `tasks` is named by its `task` or its index.",
        table(schema.Body, ""),
    ]
    sections = [*nested(schema.Body, ""), *plugins()]
    if unused := set(NOTES) - {title for title, _ in sections}:
        raise ValueError(f"notes on sections that are not there: {', '.join(sorted(unused))}")
    for title, model in sections:
        parts += [f"## {title}", doc(model), NOTES.get(title, ""), table(model, title)]
    return "\n\n".join(part for part in parts if part) + "\n"


def plugins() -> Iterator[tuple[str, Any]]:
    """The sections of every built-in plug-in that has options: its own, and one for each mapping inside."""
    for family, known in registry.BUILT_IN.items():
        for name in known:
            config = getattr(registry.find(family, name), "Config", None)
            if config is not None:
                title = PLACES[family].format(name)
                yield from ((title, config), *nested(config, title))


def nested(model: Any, title: str) -> Iterator[tuple[str, Any]]:
    """Every model inside `model`, with its place: `budget`, `tasks[]`, `models.NAME`, `policy.price (kind: agent)`."""
    annotations = [(within(title, info.alias or name), info.annotation) for name, info in model.model_fields.items()]
    if (more := typing.get_type_hints(model).get("__pydantic_extra__")) and model.model_config.get("extra") == "allow":
        annotations.append((title, more))
    for at, annotation in annotations:
        for place, inner in models_in(annotation, at):
            yield place, inner
            yield from nested(inner, place)


def within(title: str, key: str) -> str:
    place, space, condition = title.partition(" ")
    return f"{place}.{key}{space}{condition}" if place else key


def models_in(annotation: Any, title: str) -> Iterator[tuple[str, Any]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield title, annotation
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is dict:
        yield from models_in(args[1], within(title, "NAME"))
    elif origin is list:
        place, space, condition = title.partition(" ")
        yield from models_in(args[0], f"{place}[]{space}{condition}")
    elif origin is not typing.Literal:
        for arg in args:
            yield from models_in(arg, title)


def table(model: Any, title: str) -> str:
    rows = []
    for name, info in model.model_fields.items():
        key = info.alias or name
        sections = [place for place, _ in models_in(info.annotation, within(title, key))]
        default = "required" if info.is_required() else shown(info.get_default(call_default_factory=True))
        link = f", see [{sections[0]}](#{anchor(sections[0])})" if sections else ""
        rows.append(f"| `{key}` | {kind(info.annotation)}{link} | {default} | {info.description} |")
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *rows]) if rows else ""


def anchor(title: str) -> str:
    """The name that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def shown(default: Any) -> str:
    """A default as it would be written in the file."""
    if default is None:
        return "unset"
    if isinstance(default, BaseModel):
        return "its defaults"
    if isinstance(default, bool | str):
        return f"`{json.dumps(default)}`" if default in (True, False, "") else f"`{default}`"
    if isinstance(default, dict | list):
        return f"`{yaml.safe_dump(default, default_flow_style=True, width=1000).strip()}`"
    return f"`{default}`"


def kind(annotation: Any) -> str:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return kind(args[0])
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
    for name, text in (("config.md", config_page()), ("cli.md", cli_page()), ("json.md", json_page())):
        file = DOCS / name
        if "--check" not in sys.argv:
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        sys.exit(f"docs/{', docs/'.join(stale)}: not what the code says; run: make docs")


if __name__ == "__main__":
    main()
