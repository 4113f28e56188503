"""The page on what `--json` prints, from the dataclasses of the results and the texts beside their fields."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from lamdagent.evaluation import estimates
from lamdagent.results.attribution import Attribution
from lamdagent.results.by_hand import AgainstHand
from lamdagent.results.comparison import Comparison
from lamdagent.results.diagnosis.signature import Diagnosis
from lamdagent.results.export.replayed import ReplayOutcome
from lamdagent.results.leaderboard import Leaderboard
from lamdagent.results.lineage import Lineage
from lamdagent.results.references import References
from lamdagent.results.repetition import Repetition
from lamdagent.results.report import Report
from lamdagent.results.scaling import Scaling
from lamdagent.results.simplification import Simplification
from lamdagent.results.trial import TrialDetail
from lamdagent.results.validation_size import ValidationSizes
from lamdagent.results.verify import Verification
from lamdagent.ui.cli.doctor import Health
from lamdagent.ui.cli.dry_run import RunPlan

COMMANDS: dict[str, type] = {
    "run, show": Leaderboard,
    "show TRIAL": TrialDetail,
    "show --diagnose": Diagnosis,
    "lineage": Lineage,
    "by-hand": AgainstHand,
    "score": References,
    "report": Report,
    "validation-size": ValidationSizes,
    "compare": Comparison,
    "scale": Scaling,
    "attribute": Attribution,
    "simplify": Simplification,
    "repeat": Repetition,
    "replay": ReplayOutcome,
    "verify": Verification,
    "run --dry-run": RunPlan,
    "doctor": Health,
}
"""Every command that takes `--json`, and what it prints."""


def json_page() -> str:
    """The page: the keys of every command, then those of the mappings inside them, each once."""
    parts = [
        "# What `--json` prints",
        "Every command that takes `--json` prints one JSON object with these keys. What is not known is `null`, never 0. "
        "`base`, `best.trial`, `best.objective` and the `number`, `status`, `objective` and `action` of `trials` in "
        "`show --json` stay as they are; other keys may still change before 1.0.",
    ]
    inner: dict[type, None] = {}
    for command, result in COMMANDS.items():
        parts += [f"## lamdagent {command}", _doc(result), _table(result)]
        inner |= dict.fromkeys(_inside(result))
    parts.append("## Inside them")
    for name, result in sorted((one.__name__, one) for one in inner):
        parts += [f"### {name}", _doc(result), _table(result)]
    return "\n\n".join(parts) + "\n"


def documented(result: type) -> dict[str, str]:
    """The text under each field of a dataclass that has one."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(result))).body
    assert isinstance(node, ast.ClassDef)
    found = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def hints(result: type) -> dict[str, Any]:
    """The fields of a dataclass with their types."""
    known = typing.get_type_hints(result, localns=vars(estimates))
    return {field.name: known[field.name] for field in dataclasses.fields(result)}


def _inside(result: type) -> list[type]:
    """The dataclasses that a dataclass holds, at any depth."""
    found: list[type] = []
    for hint in hints(result).values():
        for part in _walk(hint):
            if dataclasses.is_dataclass(part) and part not in found:
                found += [part, *(one for one in _inside(part) if one not in found)]  # type: ignore[list-item, arg-type]
    return found


def _walk(hint: Any) -> list[Any]:
    args = [] if typing.get_origin(hint) is typing.Literal else typing.get_args(hint)
    return [hint, *(inner for a in args for inner in _walk(a))]


def _table(result: type) -> str:
    texts = documented(result)
    rows = [f"| `{name}` | {_type(hint)} | {texts.get(name, '')} |" for name, hint in hints(result).items()]
    return "\n".join(["| key | type | meaning |", "|---|---|---|", *rows])


def _type(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " or ".join(f"`{a}`" for a in args)
    if origin in (types.UnionType, typing.Union):
        return " or ".join("null" if a is type(None) else _type(a) for a in args)
    if origin is not None and issubclass(origin, Mapping):
        return f"mapping to {_type(args[1])}"
    if origin is not None and issubclass(origin, Sequence):
        return f"list of {_type(args[0])}"
    if dataclasses.is_dataclass(hint):
        name = hint.__name__  # type: ignore[union-attr]
        return f"[{name}](#{name.lower()})"
    if isinstance(hint, typing.NewType):
        return _type(hint.__supertype__)
    names = {"str": "text", "int": "integer", "float": "number", "bool": "true/false", "Any": "any value"}
    return names[hint.__name__]


def _doc(result: type) -> str:
    return " ".join((result.__doc__ or "").split())
