"""What `scale` does again, and under which changes: some pipelines of a search, on more rows or another base model."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Sequence
from pathlib import Path

from lamdagent.core.errors import UserError, nearest
from lamdagent.core.plan import Plan
from lamdagent.core.state import State
from lamdagent.core.types import ObjectId, content_id
from lamdagent.results.rerun import StudyChange
from lamdagent.study.config import Study
from lamdagent.study.initial_pool import row_count


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
