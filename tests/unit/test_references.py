"""Models from elsewhere as references: which can be given, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lamdagent.core.budget import Budget
from lamdagent.core.errors import UserError
from lamdagent.core.events import Referenced
from lamdagent.core.items import mean_and_error
from lamdagent.core.state import reduce_events
from lamdagent.core.types import Object
from lamdagent.policies.random import Random
from lamdagent.results.leaderboard import leaderboard
from lamdagent.results.references import references_of
from lamdagent.study.config import Document, Study
from lamdagent.study.config.schema import study_of
from lamdagent.study.initial_pool import reference
from lamdagent.testing import mixtures, toy


def study(folder: Path) -> Study:
    return study_of(
        Document.of(
            folder / "s.yaml",
            {
                "study": "s", "models": {"base": {"path": "b"}}, "actions": {"sft": {"hyperparameters": {"firm": {}}}},
                "tasks": [{"task": "t", "path": "t.jsonl"}],
            },
        )
    )  # fmt: skip


def test_a_gguf_file_and_a_folder_that_is_not_there_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x.gguf: a .gguf file must be imported first; name it under `models:`"):
        reference(study(tmp_path), "x.gguf")
    with pytest.raises(UserError, match=r"nowhere"):
        reference(study(tmp_path), str(tmp_path / "nowhere"))


def test_a_reference_is_listed_apart_with_what_the_best_found_has_more() -> None:
    state = mixtures.search(Random(), budget=Budget(trials=5))
    best = state.ranked()[0][0]
    model = Object(id="there", kind="model", name="org/model", uri="hub:org/model@1", meta={"levels": [0.5] * 4})
    values = {task.name: list(task.values(model, "validation", None)) for task in mixtures.TASKS}  # type: ignore[arg-type]
    moments = {name: mean_and_error(found) for name, found in values.items()}
    scores = tuple(
        replace(s, value=moments[s.task][0], stderr=moments[s.task][1], gain=None, gain_stderr=None, looks=())
        for s in state.scores[best.id]
    )
    state = reduce_events([Referenced(model=model, scores=scores)], state)
    (found,) = references_of("s", state, toy.Unwritten()).references
    assert (found.name, found.lead) == ("org/model", None)
    assert found.objective == pytest.approx(sum(value for value, _ in moments.values()) / 4)
    board = leaderboard("s", state, toy.Unwritten())
    assert "org/model" not in [row.name for row in board.models]
    (section,) = [s for s in board.sections() if s.heading == "References, never chosen from"]
    assert [row.name for row in board.references] == ["org/model"] and section.parts
