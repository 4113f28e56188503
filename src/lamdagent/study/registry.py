"""Names in a study file, and the classes they stand for.

A plugin of another package registers itself by an entry point in the group `lamdagent.<family>`, such as
`lamdagent.policies`. Nothing is imported before it is named.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any, Literal

from lamdagent.core.errors import UnknownName, nearest

Family = Literal["actions", "policies", "memories", "tasks", "runners", "artifacts", "observers"]

BUILT_IN: dict[Family, dict[str, str]] = {
    "actions": {
        "sft": "lamdagent.actions.sft:Sft",
        "ties": "lamdagent.actions.ties:Ties",
        "merge": "lamdagent.actions.merge:Merge",
    },
    "policies": {
        "agent": "lamdagent.policies.agent.policy:Agent",
        "by-hand": "lamdagent.policies.by_hand:ByHand",
        "evolution": "lamdagent.policies.evolution:Evolution",
        "greedy": "lamdagent.policies.greedy:Greedy",
        "random": "lamdagent.policies.random:Random",
        "replay": "lamdagent.policies.replay:Replay",
        "screen": "lamdagent.policies.screen.policy:Screen",
        "surrogate": "lamdagent.policies.surrogate.policy:Surrogate",
        "tpe": "lamdagent.policies.tpe:Tpe",
    },
    "memories": {
        "reflection": "lamdagent.memories.reflection:Reflection",
        "table": "lamdagent.memories.table:Table",
    },
    "tasks": {
        "lm_eval": "lamdagent.evaluation.tasks.lm_eval:LmEvalTask",
        "rows": "lamdagent.evaluation.tasks.rows:RowsTask",
        "judge": "lamdagent.evaluation.tasks.judge:JudgeTask",
    },
    "runners": {
        "inline": "lamdagent.runners.inline:Inline",
        "process": "lamdagent.runners.process:Process",
    },
    "artifacts": {"local": "lamdagent.objects.artifacts:LocalArtifacts"},
    "observers": {"jsonl": "lamdagent.observers.jsonl:Jsonl"},
}
SINGULAR: dict[Family, str] = {
    "actions": "action type",
    "policies": "policy",
    "memories": "memory",
    "tasks": "kind of task",
    "runners": "runner",
    "artifacts": "artifact store",
    "observers": "observer",
}


def names(family: Family) -> dict[str, str]:
    """Every known name of a family, with the `module:Class` it stands for."""
    found = {point.name: point.value for point in entry_points(group=f"lamdagent.{family}")}
    return {**found, **BUILT_IN[family]}


def find(family: Family, name: str) -> Any:
    """The class that a name stands for.

    Raises:
        UnknownName: nothing is registered under it.
    """
    known = names(family)
    if name not in known:
        raise UnknownName(f"unknown {SINGULAR[family]} {name!r}. {nearest(name, known)}")
    module, _, attribute = known[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
