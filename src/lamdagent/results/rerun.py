"""Derived studies: pipelines of one study done again under one change, as a study of its own.

A derived study is the study as its journal tells it, but for its name, the policy `replay` with a plan in its run
folder, and the change. It runs, stops, goes on and shares artifacts like any other, since it is one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lamdagent.core.errors import UserError
from lamdagent.core.plan import Plan, PlanStatus
from lamdagent.core.state import State, reduce_events
from lamdagent.study.config import Document, Study
from lamdagent.study.config.schema import study_of
from lamdagent.study.journal import read_journal

PLAN_FILE = "plan.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyChange:
    """What a derived study has otherwise: rows by dataset, paths by model, the seed. `label` ends its name."""

    label: str
    limits: Mapping[str, int] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """A derived study that was run to its end. `status` says where its plan stands in it."""

    study: str
    state: State
    status: PlanStatus


def require_begun(study: Study) -> None:
    """Nothing for a study that has begun.

    Raises:
        UserError: it has not.
    """
    if not (study.folder / "journal.sqlite").exists():
        raise UserError(f"{study.folder}: no search has begun here. Begin it with: lamdagent run {study.file}")


def load_state(study: Study) -> State:
    """The state of a study that has begun.

    Raises:
        UserError: it has not.
    """
    require_begun(study)
    return reduce_events(read_journal(study.folder))


def derive_study(study: Study, state: State, plan: Mapping[str, Any], change: StudyChange) -> Study:
    """A study that does a plan of another study under a change, with its plan written to its run folder.

    The search is taken from the journal, so that it is the one that made the pipelines; how trials are run (workers,
    threads, device) and what is done about leaks, from the study file as it is now. Models and datasets that the plan
    does not use are left out.
    Nothing races: every model is asked all the items that a race may ask for.

    Raises:
        ConfigError: the change makes no valid study.
    """
    name = f"{study.body.study}.{change.label}"
    data: dict[str, Any] = json.loads(json.dumps(state.config)) | {"study": name, "root": study.body.root}
    read = Plan.of(plan, f"the plan of {name}")
    data["models"] = {n: entry for n, entry in data["models"].items() if n in _with_bases(data["models"], read)}
    data["datasets"] = {n: entry for n, entry in data["datasets"].items() if n in read.used("dataset")}
    for dataset, limit in change.limits.items():
        data["datasets"][dataset]["limit"] = limit
    for model, path in change.models.items():
        data["models"][model] |= {"path": path, "revision": None}
    if change.seed is not None:
        data["seed"] = change.seed
    _name_settings(data["actions"], plan)
    evaluation = data.get("evaluation") or {}
    data["evaluation"] = {"items": evaluation.get("max_items") or evaluation.get("items")}
    data["execution"] = study.body.execution.model_dump(mode="json") | {"dtype": data["execution"]["dtype"]}
    if study.body.contamination != "fail":  # more rows may hold evaluation items that the fewer did not
        data["contamination"] = study.body.contamination
    place = Path(study.body.root) / name / PLAN_FILE
    data |= {
        "policy": {"kind": "replay", "from": str(place)},
        "memory": {"kind": "table"},
        "budget": {"trials": None},  # the policy ends with its plan
    }
    derived = study_of(Document.of(study.file, data))
    write_plan(plan, study.home / place.expanduser())
    return derived


def write_plan(plan: Mapping[str, Any], file: Path) -> None:
    """Write a plan (or a study that follows one) where it is not written yet, whole or not at all."""
    text = yaml.safe_dump(dict(plan), sort_keys=False, allow_unicode=True)
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def _name_settings(actions: dict[str, Any], plan: Mapping[str, Any]) -> None:
    """Write the varied settings of a plan among the named ones: a policy may have gone beyond what the study leaves free."""
    for name, leaf in plan["objects"].items():
        own = leaf.get("name", name)
        settings = actions.get(leaf.get("action", ""), {}).get("hyperparameters")
        if (
            leaf["kind"] == "hyperparameters"
            and isinstance(settings, dict)
            and own not in settings
            and "values" in leaf
        ):
            settings[own] = dict(leaf["values"])


def _with_bases(models: Mapping[str, Any], plan: Plan) -> set[str]:
    """The models that a plan uses and those that they were fine-tuned from."""
    found: set[str] = set()
    left = plan.used("model")
    while left:
        name = left.pop()
        if name in models and name not in found:
            found.add(name)
            left += [base] if (base := models[name].get("base")) else []
    return found
