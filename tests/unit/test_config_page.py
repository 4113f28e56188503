"""docs/config.md says what a study file takes: each of its keys loads, with the default it names; none is missing."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.errors import ConfigError
from lamdagent.study import registry
from lamdagent.study.config import Document
from lamdagent.study.config.schema import Body, study_of

PAGE = (Path(__file__).parents[2] / "docs" / "config.md").read_text(encoding="utf-8")
NOTHING = object()

MINIMAL: dict[str, Any] = {
    "study": "s",
    "models": {"base": {"path": "base"}, "other": {"path": "other"}},
    "datasets": {"rows": {"path": "rows.jsonl"}},
    "actions": {"sft": {"hyperparameters": {"one": {}}}, "ties": {"hyperparameters": {"one": {}}}},
    "tasks": [{"task": "gsm8k", "metric": "exact_match"}],
    "policy": {"kind": "random"},
    "memory": {"kind": "table"},
    "budget": {"trials": 5},
}
# What stands in the study, in place of MINIMAL's, before a section's keys can be set; or one key of it.
ASKED = [{"task": "gsm8k", "metric": "exact_match"}]
OWN_ROWS = [{"task": "mine", "path": "items.jsonl"}]
AGENT = {"kind": "agent", "model": "local"}
JUDGE: dict[str, Any] = {"model": "local", "rubric": "judge.md"}
JUDGED = {"task": "chat", "kind": "judge", "path": "prompts.jsonl", "judge": JUDGE}
PRICED = {**JUDGED, "judge": {**JUDGE, "price": {"input": 1.0, "output": 1.0}}}
NEEDS: dict[tuple[str, str], dict[str, Any]] = {
    ("tasks[] (kind: rows)", ""): {"tasks": OWN_ROWS},
    ("tasks[] (kind: lm_eval)", ""): {"tasks": ASKED},
    ("tasks[] (kind: judge)", ""): {"tasks": [JUDGED]},
    ("tasks[].judge (kind: judge)", ""): {"tasks": [JUDGED]},
    ("tasks[].judge.price (kind: judge)", ""): {"tasks": [PRICED]},
    ("guards[]", ""): {"guards": [{"task": "gsm8k"}]},
    ("evaluation", "max_items"): {"evaluation": {"items": 2}},
    ("policy (kind: agent)", ""): {"policy": AGENT},
    ("policy.price (kind: agent)", ""): {"policy": {**AGENT, "price": {"input": 1.0, "output": 1.0}}},
    ("policy (kind: replay)", ""): {"policy": {"kind": "replay", "from": "pipeline.yaml"}},
    ("observers[] (kind: jsonl)", ""): {"observers": [{"kind": "jsonl", "path": "x.jsonl"}]},
    ("memory (kind: reflection)", ""): {"policy": AGENT, "memory": {"kind": "reflection"}},
}
NEEDED_BY_ITS_METHOD = {("actions.merge.hyperparameters.NAME", key) for key in ("weight", "t")}
MERGED = ("actions.merge.hyperparameters.NAME", "")
METHOD_OF = {
    "": {"method": "karcher"},
    "weight": {"method": "linear", "weight": 1.0},
    **{key: {"method": "ties", "weight": 1.0} for key in ("density", "normalize", "rescale", "lambda", "int8_mask")},
    "gamma": {"method": "breadcrumbs", "weight": 1.0, "density": 0.5},
    "epsilon": {"method": "ram"},
    "t": {"method": "slerp", "t": 0.5},
    "select_topk": {"method": "sce"},
    "filter_wise": {"method": "model_stock"},
    **{key: {"method": "nuslerp", "weight": 1.0} for key in ("nuslerp_flatten", "nuslerp_row_wise", "base_model")},
    **{key: {"method": "multislerp", "weight": 1.0} for key in ("normalize_weights", "eps")},
    **{key: {"method": "ramplus_tl"} for key in ("r", "alpha")},
}
"""A setting of `merge` that each of its keys may stand in; "" is for those that every method has."""
NEEDS |= {
    (MERGED[0], key): {"actions": {"merge": {"hyperparameters": {"one": setting}}}}
    for key, setting in METHOD_OF.items()
}
NEEDS[("actions.merge", "")] = NEEDS[MERGED]
# A value for each key whose default is no value, and whose type alone does not give one that may stand.
EXAMPLES: dict[tuple[str, str], Any] = {
    ("", "models"): MINIMAL["models"],
    ("", "actions"): MINIMAL["actions"],
    ("", "tasks"): MINIMAL["tasks"],
    ("models.NAME", "base"): "other",
    ("guards[]", "task"): "gsm8k",
    ("actions.sft", "hyperparameters"): {"one": {}},
    ("actions.ties", "hyperparameters"): {"one": {}},
    ("actions.merge", "hyperparameters"): {"one": {"method": "karcher"}},
    ("actions.merge.hyperparameters.NAME", "method"): "karcher",
    ("policy (kind: agent)", "price"): {"input": 1.0, "output": 1.0},
    ("tasks[] (kind: judge)", "judge"): JUDGE,
    ("tasks[].judge (kind: judge)", "price"): {"input": 1.0, "output": 1.0},
    ("tasks[].judge (kind: judge)", "base_url"): "http://127.0.0.1:8000/v1",
    ("policy (kind: agent)", "base_url"): "http://127.0.0.1:8000/v1",
}
BY_TYPE: dict[str, Any] = {
    "text": "x",
    "integer": 2,
    "number": 0.5,
    "true/false": True,
    "mapping": {},
    "list of number": [0.5, 8],
}


@dataclass(frozen=True)
class Row:
    section: str
    key: str
    type: str
    default: str


def rows(page: str) -> Iterator[Row]:
    section = ""
    for line in page.splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ") if line.startswith("##") else ""
        elif line.startswith("| `"):
            key, type_, default, _ = (cell.strip() for cell in line.strip("|").split(" | ", 3))
            yield Row(section, key.strip("`"), type_, default)


def problems(page: str) -> list[str]:
    """What on a page is not what a study file takes."""
    documented = list(rows(page))
    found = [p for row in documented for p in wrong(row)]
    known = {(section, key) for section, keys in fields().items() for key in keys}
    shown = {(row.section, row.key) for row in documented}
    found += [f"{section or 'study'}: no row for {key}" for section, key in sorted(known - shown)]
    links = set(re.findall(r"\]\(#([^)]*)\)", page))
    anchors = {re.sub(r"[^\w\- ]", "", row.section.lower()).replace(" ", "-") for row in documented}
    return found + [f"a link to #{link}, which is no section" for link in sorted(links - anchors)]


@cache
def wrong(row: Row) -> tuple[str, ...]:
    """Set the key to a value that may stand there, and to its documented default: both load, the second as if unset."""
    where = f"{row.section or 'study'}: {row.key}"
    value = default_of(row)
    try:
        if value is NOTHING:
            load(with_key(row, example(row)))
        if row.default == "required" or (row.section, row.key) in NEEDED_BY_ITS_METHOD:
            return (f"{where} is said to be required, and a study without it loads",) if not refused(row) else ()
        default = {} if row.default == "its defaults" else None if value is NOTHING else value
        if load(with_key(row, NOTHING)) != load(with_key(row, default)):
            return (f"{where} has another default than {row.default}",)
    except (ConfigError, KeyError, TypeError) as error:
        return (f"{where}: {error}",)
    return ()


def default_of(row: Row) -> Any:
    if row.default in ("required", "unset", "its defaults"):
        return NOTHING
    return Document.of(Path("page"), {}, [f"value={row.default.strip('`')}"]).data["value"]


def example(row: Row) -> Any:
    if (row.section, row.key) in EXAMPLES:
        return EXAMPLES[row.section, row.key]
    first = row.type.split(" or ")[0].split(",")[0]
    return first.strip("`") if first.startswith("`") else BY_TYPE[first]


def with_key(row: Row, value: Any) -> dict[str, Any]:
    """A minimal study that has the row's section, its key set to a value, or left out."""
    study = copy.deepcopy({**MINIMAL, **NEEDS.get((row.section, row.key), NEEDS.get((row.section, ""), {}))})
    place, _, condition = row.section.partition(" ")
    kind = condition.strip("()").removeprefix("kind: ")
    holder: Any = study
    for i, part in enumerate(place.replace("[]", ".[]").split(".") if place else []):
        if part == "[]":
            holder = holder[0]
        elif part == "NAME":
            holder = holder[next(iter(holder))]
        else:
            holder = holder.setdefault(part, {})
        if i == 0 and kind and isinstance(holder, dict) and holder.get("kind") != kind:
            holder.clear()
            holder["kind"] = kind
    if value is NOTHING:
        holder.pop(row.key, None)
    else:
        holder[row.key] = value
    return study


def load(data: dict[str, Any]) -> dict[str, Any]:
    study = study_of(Document.of(Path("page"), data))
    return {**study.dump(), "root": study.body.root}


def refused(row: Row) -> bool:
    try:
        load(with_key(row, NOTHING))
    except ConfigError:
        return True
    return False


def fields() -> dict[str, set[str]]:
    """Every section and its keys, from the JSON schemas that pydantic makes of the models."""
    found: dict[str, set[str]] = {}
    in_schema(Body.model_json_schema(), "", "", found)
    for family, place in (("actions", "actions.{}"), ("policies", "policy"), ("memories", "memory")):
        for name in registry.BUILT_IN[family]:  # type: ignore[index]
            schema = registry.find(family, name).Config.model_json_schema()  # type: ignore[arg-type]
            condition = "" if family == "actions" else f" (kind: {name})"
            in_schema(schema, place.format(name), condition, found)
    return {section: keys for section, keys in found.items() if keys}


def in_schema(schema: dict[str, Any], place: str, condition: str, found: dict[str, set[str]]) -> None:
    definitions = schema.get("$defs", {})

    def visit(node: dict[str, Any], place: str) -> None:
        if "$ref" in node:
            node = definitions[node["$ref"].rsplit("/", 1)[1]]
        for arm in [*node.get("anyOf", []), *node.get("allOf", [])]:
            visit(arm, place)
        if isinstance(node.get("additionalProperties"), dict):
            visit(node["additionalProperties"], f"{place}.NAME")
        if "items" in node:
            visit(node["items"], f"{place}[]")
        if "properties" in node:
            found[place + condition] = set(node["properties"])
            for key, inner in node["properties"].items():
                visit(inner, f"{place}.{key}" if place else key)

    visit(schema, place)


@pytest.mark.xdist_group("config_page")
def test_every_key_of_the_page_loads_with_its_default_and_no_key_is_missing() -> None:
    assert len(list(rows(PAGE))) > 90
    assert problems(PAGE) == []


@pytest.mark.xdist_group("config_page")  # what each row loads as is computed once
@pytest.mark.parametrize(
    ("true", "planted", "says"),
    [
        ("| `from` |", "| `from_` |", "unknown key 'from_'"),
        ("| `learning_rate` | number | `2e-05` |", "| `learning_rate` | number | `3e-05` |", "another default"),
        ("| `weight` | number | `1.0` |", "| `wait` | number | `1.0` |", "unknown key 'wait'"),
        ("| `trials` | integer |", "| trials | integer |", "budget: no row for trials"),
        ("## evaluation\n", "## evaluations\n", "unknown key 'evaluations'"),
        ("(#evaluation)", "(#evaluate)", "no section"),
        ("| `seed` | integer | `0` |", "| `seed` | integer | required |", "said to be required"),
        ("| `path` | text | required | local", "| `path` | text | unset | local", "is missing"),
    ],
)
def test_a_wrong_key_default_or_link_planted_in_the_page_is_found(true: str, planted: str, says: str) -> None:
    assert true in PAGE
    assert says in "\n".join(problems(PAGE.replace(true, planted, 1)))


def test_every_example_and_need_is_of_a_row_of_the_page() -> None:
    documented = {(row.section, row.key) for row in rows(PAGE)}
    assert set(EXAMPLES) <= documented
    assert set(NEEDS) <= documented | {(section, "") for section, _ in documented}
