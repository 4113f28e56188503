"""Does what was found cheaply hold: the best pipelines on more data, or on another base model, in the same order?

Source: LaMDAgent (arXiv 2505.21963, section 5) searches on little data or a small model and scales the best pipelines
up; it finds that gaps of more than 5 points hold and gaps of less than 3 may flip.
"""

from __future__ import annotations

import itertools
import os
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lamdagent.core.errors import UserError, nearest
from lamdagent.core.format import recipe
from lamdagent.core.plan import Plan, PlanStatus
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State
from lamdagent.core.types import ObjectId, ObjectiveValue, content_id
from lamdagent.evaluation.ranking import items_of
from lamdagent.results.rerun import StudyChange
from lamdagent.study.config import Study
from lamdagent.study.initial_pool import row_count

BANDS = ((0.0, 0.03), (0.03, 0.05), (0.05, None))
"""Gaps of the objective, in the paper's bands: below 3 points, 3 to 5, 5 and more."""


def chosen(state: State, top: int, others: int) -> dict[str, ObjectId]:
    """The `top` made models by validation and `others` drawn from the rest by the study's seed; ids by name.

    Raises:
        UserError: fewer than two, so that there is no order to keep.
    """
    made = [obj for obj, _ in state.ranked() if obj.made_by is not None]
    rest = made[top:]
    drawn = random.Random(f"{state.seed}:scale").sample(rest, min(others, len(rest)))
    picked = [*made[:top], *(obj for obj in rest if obj in drawn)]
    if len(picked) < 2:
        raise UserError(
            f"{len(made)} scored trials, of which --top {top} --random {others} takes {len(picked)}: an order takes 2 or "
            "more pipelines. Go on with the search, or take more."
        )
    return {obj.name: obj.id for obj in picked}


def data_changes(study: Study, state: State, plan: Plan, factors: Sequence[int]) -> list[StudyChange]:
    """A change for each factor: every dataset of the plan that many times as large as its `limit`.

    Raises:
        UserError: a dataset has no limit, or too few rows.
    """
    lines, limits = [], {}
    for name in plan.used("dataset"):
        entry = state.config["datasets"][name]
        rows, limit = row_count(study, entry), entry.get("limit")
        limits[name] = min(limit or rows, rows)
        if limit is None:
            lines.append(f"  {name}: no limit, so the study trained on all its {rows:,} rows; largest factor: 1")
        elif limit * max(factors) > rows:
            needed = f"{max(factors)}x takes {limit * max(factors):,}"
            lines.append(
                f"  {name}: {rows:,} rows there, limit {limit:,}, {needed}; largest factor: {max(1, rows // limit)}"
            )
    if lines:
        raise UserError(
            f"{study.file}: not enough rows for --data {','.join(map(str, factors))}:\n" + "\n".join(lines) + "\n"
            "Give smaller factors or more rows; a search to be scaled needs a `limit` on every dataset "
            f"(such as --set datasets.{plan.used('dataset')[0]}.limit=100 for a new study)."
        )
    return [
        StudyChange(label=f"scale-data-{k}", limits={name: k * limit for name, limit in limits.items()})
        for k in factors
    ]


def model_change(study: Study, plan: Plan, given: Sequence[str]) -> StudyChange:
    """Other base models, given as `NAME=PATH`: a path from the study file's folder or from here, or a hub id.

    Raises:
        UserError: not of that form, or a model that the plan does not use.
    """
    models = {}
    for one in given:
        name, equals, path = one.partition("=")
        if not equals or not path:
            raise UserError(f"--model {one}: expected NAME=PATH, such as base=Qwen/Qwen3-0.6B.")
        if name not in plan.used("model"):
            raise UserError(f"--model {one}: the pipelines use no model {name!r}. {nearest(name, plan.used('model'))}")
        local = Path(path).expanduser()
        if not (study.home / local).exists() and local.exists():
            path = os.path.relpath(local, study.home)
        models[name] = path
    stems = "-".join(f"{name}-{re.sub(r'[^A-Za-z0-9.]+', '-', Path(path).name)}" for name, path in models.items())
    return StudyChange(label=f"scale-{stems}-{content_id(models)[:4]}", models=models)


def scale_data(
    study: str,
    state: State,
    picked: Mapping[str, ObjectId],
    top: int,
    arms: Mapping[str, Any],
    artifacts: ArtifactStore,
) -> dict[str, Any]:
    """All of a scaling as JSON values.

    Args:
        arms: by label such as `2x`: the derived study's name, its `State` and its `PlanStatus`.
    """
    cheap = items_of(state.scores, picked.values(), artifacts)
    found = {label: _arm(state, picked, cheap, artifacts, *arm) for label, arm in arms.items()}
    kept = [arm["safe_gap"] for arm in found.values()]
    return {
        "study": study,
        "goals": [{"task": g.task, "weight": g.weight, "max_score": g.max_score} for g in state.goals],
        "pipelines": [
            {
                "name": name,
                "picked": "top" if place < top else "random",
                "how": recipe(state, object_id),
                "original": _objective(state.objective(object_id)),
                "replayed": {label: arm["objectives"][name] for label, arm in found.items()},
                "lost": {label: arm["lost"][name] for label, arm in found.items() if name in arm["lost"]},
            }
            for place, (name, object_id) in enumerate(picked.items())
        ],
        "base": {
            obj.name: {
                "original": _objective(state.objective(obj.id)),
                "replayed": {label: arm["base"].get(obj.name) for label, arm in found.items()},
            }
            for obj in state.of_kind("model")
            if obj.made_by is None
        },
        "arms": {
            label: {key: value for key, value in arm.items() if key not in ("objectives", "lost", "base")}
            for label, arm in found.items()
        },
        "safe_gap": max(kept) if kept and None not in kept else None,
        "bands": _bands([pair for arm in found.values() for pair in arm["pairs"]]),
    }


def _arm(
    state: State, picked: Mapping[str, ObjectId], cheap: Mapping[ObjectId, Any], artifacts: ArtifactStore,
    name: str, replay: State, followed: PlanStatus,
) -> dict[str, Any]:  # fmt: skip
    """One replay of the pipelines: objectives, what was lost and why, and how the order was kept."""
    from lamdagent.results.statistics import safe_gap

    objectives = {n: replay.objective(followed.ids[n]) if n in followed.ids else None for n in picked}
    both = [n for n in picked if objectives[n] is not None and state.objective(picked[n]) is not None]
    full = items_of(replay.scores, [followed.ids[n] for n in both], artifacts)
    pairs = [_pair(a, b, state, replay, picked, followed, cheap, full) for a, b in itertools.combinations(both, 2)]
    before = [_value(state, picked[n]) for n in both]
    after = [_value(replay, followed.ids[n]) for n in both]
    return {
        "study": name,
        "objectives": {n: _objective(objective) for n, objective in objectives.items()},
        "lost": {n: followed.unreachable.get(n, "it was not done") for n in picked if objectives[n] is None},
        "base": {o.name: _objective(replay.objective(o.id)) for o in replay.of_kind("model") if o.made_by is None},
        "agreement": _agreement(state, [picked[n] for n in both], [followed.ids[n] for n in both], cheap, full),
        "pairs": pairs,
        "flips": [pair for pair in pairs if pair["flipped"]],
        "safe_gap": safe_gap(before, after) if len(both) > 1 else None,
    }


def _pair(
    a: str,
    b: str,
    state: State,
    replay: State,
    picked: Mapping[str, ObjectId],
    followed: PlanStatus,
    cheap: Any,
    full: Any,
) -> dict[str, Any]:
    """Two pipelines, the better one first: by how much it led, and by how much it leads in the replay."""
    if _value(state, picked[a]) < _value(state, picked[b]):
        a, b = b, a
    gap = _value(state, picked[a]) - _value(state, picked[b])
    now = _value(replay, followed.ids[a]) - _value(replay, followed.ids[b])
    return {
        "better": a,
        "worse": b,
        "gap": gap,
        "interval": _interval(state, cheap, picked[a], picked[b]),
        "replayed_gap": now,
        "replayed_interval": _interval(state, full, followed.ids[a], followed.ids[b]),
        "flipped": gap * now < 0,
    }


def _interval(state: State, items: Mapping[ObjectId, Any], a: ObjectId, b: ObjectId) -> list[float] | None:
    """The paired 95 % interval of a gap; None where the items are not kept, or too few."""
    from lamdagent.evaluation.statistics import difference

    if a not in items or b not in items:
        return None
    try:
        found = difference(items[a], items[b], state.goals, seed=state.seed)
    except ValueError:
        return None
    return [found.low, found.high]


def _agreement(
    state: State,
    before: Sequence[ObjectId],
    after: Sequence[ObjectId],
    cheap: Mapping[str, Any],
    full: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Rank agreement with its interval over items; None where there is no order, or the items are not kept."""
    from lamdagent.results.statistics import item_agreement

    if any(i not in cheap for i in before) or any(i not in full for i in after):
        return None
    try:
        found = item_agreement([cheap[i] for i in before], [full[i] for i in after], state.goals, seed=state.seed)
    except ValueError:
        return None
    return {"tau": found.tau, "low": found.low, "high": found.high, "n": found.n}


def _bands(pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How many of the pairs whose original gap lies in each band changed places. Pairs that were equal do not count."""
    rows = []
    for low, high in BANDS:
        inside = [p for p in pairs if p["gap"] > 0 and p["gap"] >= low and (high is None or p["gap"] < high)]
        rows.append({"from": low, "to": high, "pairs": len(inside), "flipped": sum(p["flipped"] for p in inside)})
    return rows


def _value(state: State, object_id: ObjectId) -> float:
    found = state.objective(object_id)
    assert found is not None
    return found.value


def _objective(objective: ObjectiveValue | None) -> dict[str, float | None] | None:
    return None if objective is None else {"value": objective.value, "stderr": objective.stderr}
