"""Shorter pipelines that are as good, and pipelines with other training seeds, in the world of mixtures."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from lamdagent.core.budget import Budget
from lamdagent.core.plan import Plan, follow, plan_data
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Object, ObjectId, Score
from lamdagent.policies.replay import Replay
from lamdagent.results.repetition import repetition
from lamdagent.results.rerun import Rerun
from lamdagent.results.simplification import Simplification, simplified
from lamdagent.results.trial import trial_detail
from lamdagent.study.journal import MemoryJournal, SqliteJournal
from lamdagent.testing import mixtures, toy
from lamdagent.ui.render.markdown import markdown

Step = tuple[str, str, Sequence[str], str]
USELESS: tuple[Step, ...] = (
    ("a", "base", ("sort", "call", "words"), "firm"),
    ("b", "a", ("words",), "gentle"),
    ("c", "b", ("facts", "reverse"), "firm×0.9"),
)
PLENTY = Budget(trials=200)


def plan_of(steps: Sequence[Step]) -> dict[str, Any]:
    """A plan of steps in a row: what each makes, of which model, on which datasets, under which setting."""
    used = {
        "model": {"base"},
        "dataset": {d for step in steps for d in step[2]},
        "hyperparameters": {s[3] for s in steps},
    }
    return {
        "result": steps[-1][0],
        "objects": {name: {"kind": kind} for kind, names in used.items() for name in names},
        "steps": [
            {
                "make": make,
                "action": "mix",
                "inputs": {"model": [model], "dataset": list(datasets), "hyperparameters": [setting]},
            }
            for make, model, datasets, setting in steps
        ],
    }


class Items:
    """Keeps the items of every model that it is shown."""

    def __init__(self) -> None:
        self.pool: dict[ObjectId, Object] = {}

    def values(self, object_id: ObjectId, score: Score) -> Sequence[float]:
        context: Any = None
        return mixtures.TASKS[mixtures.SKILLS.index(score.task)].values(self.pool[object_id], score.split, context)


def shorter(trials: int = 20, steps: Sequence[Step] = USELESS) -> tuple[Simplification, State, list[str]]:
    """A pipeline made shorter, the derived study, and what was remade for what."""
    search = mixtures.search(Replay(plan=Plan.of(plan_of(steps), "here")), budget=PLENTY)
    journal, items, asked = MemoryJournal(*mixtures.first_events()), Items(), list[str]()
    artifacts: Any = items
    ended: list[State] = []

    def remake(plan: Mapping[str, Any], label: str) -> Rerun:
        asked.append(label)
        read = Plan.of(plan, "here")
        state = mixtures.search(Replay(plan=read), budget=PLENTY, journal=journal)
        items.pool |= state.pool
        ended.append(state)
        return Rerun(
            study="derived", state=state, status=follow(read, state, ActionSpace(state, mixtures.ACTION_TYPES))
        )

    whole = search.trials[-1].choice.action.id
    found = simplified("mixtures", "runs/derived", search, whole, mixtures.ACTION_TYPES, artifacts, remake, trials)
    return found, ended[-1], asked


def test_steps_and_datasets_that_gain_nothing_are_dropped_and_the_others_are_kept() -> None:
    found, derived, _ = shorter()
    action = derived.trials[found.trial].choice.action
    seen = {derived.pool[i].name for i in action.object_ids}
    model = derived.trial_of(action.inputs["model"][0])
    assert model is not None
    seen |= {derived.pool[i].name for i in model.choice.action.object_ids}
    assert seen & {o.name for o in mixtures.CLEAN} == {"sort", "call", "facts", "reverse"}
    assert {"firm", "firm×0.9"} <= seen and "gentle" not in seen
    assert (found.cost.steps, found.found_cost.steps) == (3, 2)
    assert found.cost.rows is not None and found.found_cost.rows is not None
    assert found.found_cost.rows < found.cost.rows
    assert {drop.without.split(" in ")[0] for drop in found.tried if drop.dropped} >= {"words"}


def test_the_cheapest_shorter_pipeline_is_tried_first_and_what_lost_once_is_not_tried_again() -> None:
    found, _, asked = shorter()
    assert asked[0] == "model-2" and asked[1] == "without model-0"
    kept = [drop.without for drop in found.tried if not drop.dropped]
    assert all(drop.lost is not None and drop.lost.value > 0 for drop in found.tried if not drop.dropped)
    assert len(kept) == len(set(kept))


def test_no_more_shorter_pipelines_are_made_than_allowed_and_it_says_how_many_are_left() -> None:
    found, _, asked = shorter(trials=1)
    assert len(asked) == 2 and len(found.tried) == 1 and found.left > 1
    assert f"{found.left} more could be tried: --trials {1 + found.left}" in markdown(found)
    assert "nothing was dropped: model-2 stays as it is" in markdown(found)


def test_the_result_says_how_it_is_exported() -> None:
    found, _, _ = shorter()
    assert f"lamdagent export runs/derived {found.trial} --to FOLDER" in markdown(found)


def test_of_one_step_on_one_dataset_nothing_can_be_dropped() -> None:
    found, _, asked = shorter(steps=(("a", "base", ("sort",), "firm"),))
    assert (found.tried, found.left, asked) == ((), 0, ["model-0"])
    assert "there is nothing to drop" in markdown(found)


def test_where_a_pipeline_gains_nothing_on_its_base_model_that_is_said() -> None:
    found, _, _ = shorter(steps=(("a", "base", ("words",), "gentle"),))
    assert found.no_better_than == "base"
    assert "base as it was given loses nothing either" in markdown(found)
    assert shorter(trials=1)[0].no_better_than is None


def repeated(root: Path, seeds: Sequence[int], steps: Sequence[Step] = USELESS, trials: int = 200) -> State:
    """A search, and its last trial made again with other seeds in studies beside its run folder."""
    search = mixtures.search(Replay(plan=Plan.of(plan_of(steps), "here")), budget=PLENTY)
    plan = plan_data(search, [search.trials[-1].choice.action.id])
    for seed in seeds:
        folder = root / f"mine.repeat-{len(steps) - 1}-seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "plan.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")
        journal = SqliteJournal(folder / "journal.sqlite", writer=True)
        journal.append(*mixtures.first_events(seed=seed))
        mixtures.search(Replay(plan=Plan.of(plan, "here")), budget=Budget(trials=trials), journal=journal)
        journal.close()
    return search


def test_the_spread_over_other_seeds_stands_beside_the_error_over_items(tmp_path: Path) -> None:
    search = repeated(tmp_path, [1, 2, 3])
    found = repetition("mine", search, search.trials[2], tmp_path / "mine")
    assert found is not None and found.objective is not None
    values = [value.value for value in found.seeds.values() if value is not None]
    assert list(found.seeds) == ["1", "2", "3"] and len(set(values)) > 1
    assert found.mean == pytest.approx(statistics.fmean(values)) and found.sd == pytest.approx(statistics.stdev(values))
    assert found.sd_low is not None and found.sd_high is not None and found.sd is not None
    assert found.sd_low == pytest.approx(0.5207 * found.sd, rel=1e-3)
    assert found.sd_high == pytest.approx(6.2847 * found.sd, rel=1e-3)
    assert found.items_stderr == pytest.approx(found.objective.stderr, rel=0.2)
    detail = trial_detail("mine", search, search.trials[2], toy.Unwritten(), repeated=found)
    assert found.words in markdown(detail) and "of 3 other training seeds; sd 0.0" in found.words


def test_a_trial_that_was_not_repeated_has_no_spread(tmp_path: Path) -> None:
    search = repeated(tmp_path, [1])
    assert repetition("mine", search, search.trials[1], tmp_path / "mine") is None


def test_a_seed_whose_pipeline_is_not_done_has_no_score_and_one_seed_no_spread(tmp_path: Path) -> None:
    search = repeated(tmp_path, [1])
    repeated(tmp_path / "cut", [2], trials=2)
    (tmp_path / "cut" / "mine.repeat-2-seed-2").rename(tmp_path / "mine.repeat-2-seed-2")
    found = repetition("mine", search, search.trials[2], tmp_path / "mine")
    assert found is not None
    assert found.seeds["1"] is not None and found.seeds["2"] is None and found.sd is None
    assert "of 1 of 2 other training seeds" in found.words
    none = replace(found, seeds={"2": None}, mean=None)
    assert none.words == "none of 1 other training seeds has a score"
