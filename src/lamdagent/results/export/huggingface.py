"""Hand a made model over: a plain Hugging Face folder, its pipeline, and a model card."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from lamdagent.core.format import with_both
from lamdagent.core.intervals import score_interval
from lamdagent.core.pipeline import Pipeline, node_label, pipeline_of, render
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State
from lamdagent.core.text import fenced, in_one_line
from lamdagent.core.types import ObjectiveValue, Score, Trial
from lamdagent.objects.artifacts import disk_full_as_user_error
from lamdagent.results.export.pipeline_file import recipe_data

CARD = """---
{front}---

# {name}

Trial {number} of the lamdagent study {study}: a search over post-training pipelines as in
[LaMDAgent](https://arxiv.org/abs/2505.21963).

## Scores

Validation scores with their standard errors and 95 % intervals, over the draw of items. The pipeline was selected by these
scores, so they are somewhat too good.

{scores}

## Lineage

{lineage}

`pipeline.yaml` holds the same with every id and setting. `lamdagent replay pipeline.yaml --to FOLDER` makes the model
again from nothing; where its data lies elsewhere, add `--set datasets.NAME.path=FILE`.

## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(".")
tokenizer = AutoTokenizer.from_pretrained(".")
```
"""


def export_model(state: State, trial: Trial, artifacts: ArtifactStore, to: Path, *, study: str, home: Path) -> None:
    """Write the model of a trial to a folder.

    Args:
        home: the folder that the study's relative paths start from.

    Raises:
        UserError: the disk is full.
    """
    object_id = trial.choice.action.id
    pipeline = pipeline_of(state, object_id)
    with disk_full_as_user_error(to):
        shutil.copytree(artifacts.open(object_id) / "weights", to, dirs_exist_ok=True)
        recipe = recipe_data(state, object_id, artifacts, home=home, to=to)
        data = {**recipe, "scores": _scores(state, object_id)}
        (to / "pipeline.yaml").write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
        (to / "README.md").write_text(model_card(state, trial, pipeline, study), encoding="utf-8")


def model_card(state: State, trial: Trial, pipeline: Pipeline, study: str) -> str:
    """The README of an exported model, as the hub shows it."""
    leaves = [node.object for node in pipeline.nodes() if node.type is None]
    front = {
        "library_name": "transformers",
        "base_model": [_source(o.uri) for o in leaves if o.kind == "model"],
        "datasets": [_source(o.uri) for o in leaves if o.kind == "dataset"],
        "tags": ["lamdagent", *sorted({node.type for node in pipeline.nodes() if node.type})],
    }
    return CARD.format(
        front=yaml.safe_dump(front, sort_keys=False),
        name=in_one_line(f"{study}-{trial.number}"),
        number=trial.number,
        study=in_one_line(study),
        scores=_table(state, pipeline),
        lineage=fenced(render(pipeline, lambda node: node_label(state, node))),
    )


def _table(state: State, pipeline: Pipeline) -> str:
    root = state.pool[pipeline.object.root]
    columns = (("this model", pipeline.object), (f"base ({root.name})", root))
    by_task = [{s.task: s for s in state.scores.get(obj.id, ())} for _, obj in columns]
    rows = [
        "| task | " + " | ".join(in_one_line(name) for name, _ in columns) + " |",
        "|---|" + "---|" * len(columns),
        "| objective | " + " | ".join(_objective(state.objective(obj.id)) for _, obj in columns) + " |",
    ]
    for goal in state.goals:
        cells = (_cell(scores.get(goal.task), goal.max_score) for scores in by_task)
        rows.append(f"| {in_one_line(goal.task)} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _objective(found: ObjectiveValue | None) -> str:
    return "-" if found is None else with_both(found.value, found.stderr, found.low, found.high)


def _cell(score: Score | None, best: float) -> str:
    if score is None:
        return "-"
    low, high = score_interval(score, best) or (None, None)
    return f"{with_both(score.value, score.stderr, low, high)}, n={score.n}"


def _scores(state: State, object_id: str) -> dict[str, Any]:
    return {
        s.task: {"split": s.split, "value": s.value, "stderr": s.stderr, "n": s.n}
        for s in state.scores.get(object_id, ())
    }


def _source(uri: str) -> str:
    return uri.removeprefix("hf://").rpartition("@")[0] if uri.startswith("hf://") else uri
