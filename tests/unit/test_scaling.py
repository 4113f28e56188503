"""Whether an order holds: on the toy world, and on items made for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamdagent.actions.sft import SftHyperparameters
from lamdagent.core.errors import ConfigError, UserError
from lamdagent.core.plan import Plan, follow, plan_data
from lamdagent.core.settings import setting_object
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Score, TaskWeight
from lamdagent.policies.replay import Replay
from lamdagent.results.order import item_agreement
from lamdagent.results.rerun import Rerun, StudyChange, derive_study
from lamdagent.results.result import pictures
from lamdagent.results.scale_changes import chosen, data_changes, model_change
from lamdagent.results.scaling import Scaling, scaling, told
from lamdagent.study.config import load_study
from lamdagent.study.config.settings import settings_of
from lamdagent.testing import toy
from lamdagent.ui.plots import save
from lamdagent.ui.render.markdown import markdown

STUDY = """
study: cheap
models: {base: {path: models/base}, kin: {path: models/kin, base: base}, unused: {path: models/unused}}
datasets:
  east: {path: east.jsonl, limit: 10}
  north: {path: north.jsonl, limit: 20}
  south: {path: south.jsonl}
actions: {sft: {hyperparameters: {slow: {}}}}
tasks: [{task: own, path: own.jsonl}]
evaluation: {items: 10, max_items: 40}
policy: {kind: greedy}
"""


class Kept:
    """Artifacts that keep the items of every score."""

    def values(self, object_id: str, score: Score) -> list[float]:
        return [score.value + 0.1 * (-1) ** i for i in range(score.n)]


def kept() -> Any:
    return Kept()


def again(state: State, picked: dict[str, str], stretched: float) -> Rerun:
    """The pipelines done again, every objective's distance from 1 stretched or (below 0) turned round."""
    plan = Plan.of(plan_data(state, picked.values()), "here")
    done = toy.search(Replay(plan=plan), trials=100)
    scores = {
        i: tuple(replace(s, value=0.5 + stretched * (s.value - 0.5)) for s in group) for i, group in done.scores.items()
    }
    done = replace(done, scores=scores)
    return Rerun(study="toy.scale", state=done, status=follow(plan, done, ActionSpace(done, toy.ACTION_TYPES)))


def scaled(*stretches: float, count: int = 5) -> Scaling:
    state = toy.grown(40)
    picked = chosen(state, count, 0)
    arms = {f"{k + 2}x": again(state, picked, stretch) for k, stretch in enumerate(stretches)}
    return scaling("toy", state, picked, count, arms, kept())


def test_pipelines_with_made_datasets_are_done_again_their_datasets_first() -> None:
    state = toy.grown(60, makes_data=True)
    made = {obj.id for obj in state.of_kind("dataset") if obj.made_by is not None}
    on_made = {
        o.name: o.id for o, _ in state.ranked() if (t := state.trial_of(o.id)) and made & {*t.choice.action.object_ids}
    }
    plan = Plan.of(plan_data(state, on_made.values()), "here")
    assert {step.action for step in plan.steps} == {"step", "mean", "blend"}
    assert not {obj.name for obj in state.pool.values() if obj.id in made} & {*plan.used("dataset")}, (
        "no limit of theirs"
    )
    done = toy.search(Replay(plan=plan), trials=len(plan.steps), makes_data=True)
    status = follow(plan, done, ActionSpace(done, toy.DATA_ACTION_TYPES))
    data = scaling("toy", state, on_made, 3, {"2x": Rerun(study="toy.2x", state=done, status=status)}, kept())
    assert len(data.pipelines) > 3
    assert all(row.replayed == {"2x": row.original} and not row.lost for row in data.pipelines)
    assert data.arms["2x"].flips == ()


def test_an_order_that_holds_agrees_in_full_and_every_gap_is_safe() -> None:
    arm = scaled(0.5).arms["2x"]
    assert arm.agreement is not None
    assert arm.agreement.tau == pytest.approx(1.0)
    assert arm.flips == ()
    assert arm.safe_gap == pytest.approx(min(pair.gap for pair in arm.pairs if pair.gap > 1e-9))


def test_an_order_that_is_turned_round_disagrees_in_full_and_no_gap_is_safe() -> None:
    data = scaled(0.5, -0.5)
    arm = data.arms["3x"]
    assert arm.agreement is not None
    assert arm.agreement.tau == pytest.approx(-1.0)
    assert len(arm.flips) == sum(pair.gap > 1e-9 for pair in arm.pairs)
    assert arm.safe_gap is None
    assert data.safe_gap is None
    assert sum(band.flipped for band in data.bands) == len(arm.flips)
    text = markdown(data)
    assert "2x: rank agreement tau-b 1.00" in text
    assert "now trails by" in text
    assert "no gap was always kept" in text


def test_a_pipeline_that_is_lost_has_no_score_and_the_reason_is_named(tmp_path: Path) -> None:
    state = toy.grown(40)
    picked = chosen(state, 3, 0)
    done = again(state, picked, 1.0)
    gone = next(iter(picked))
    ids = {n: i for n, i in done.status.ids.items() if n != gone}
    done = replace(done, status=replace(done.status, ids=ids, unreachable={gone: "it failed (oom): too large"}))
    data = scaling("toy", state, picked, 3, {"2x": done}, kept())
    assert data.pipelines[0].replayed == {"2x": None}
    assert data.pipelines[0].lost == {"2x": "it failed (oom): too large"}
    assert len(data.arms["2x"].pairs) == 1
    assert f"{gone} has no score at 2x: it failed (oom): too large" in markdown(data)
    save(pictures(data.sections())[0], tmp_path / "scale.png")
    assert (tmp_path / "scale.png").stat().st_size > 10_000


def test_the_best_are_taken_and_others_are_drawn_by_the_studys_seed() -> None:
    state = toy.grown(40)
    best = [obj.name for obj, _ in state.ranked() if obj.made_by is not None]
    picked = chosen(state, 3, 4)
    assert list(picked)[:3] == best[:3]
    assert len(picked) == 7
    assert chosen(state, 3, 4) == picked
    assert set(chosen(state, 3, 1000)) == set(best)
    with pytest.raises(UserError, match="an order takes 2 or more pipelines"):
        chosen(state, 1, 0)


def a_study(tmp_path: Path) -> tuple[Any, State, dict[str, Any]]:
    (tmp_path / "study.yaml").write_text(STUDY)
    for name, rows in (("east", 45), ("north", 100), ("south", 30)):
        (tmp_path / f"{name}.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * rows)
    study = load_study(tmp_path / "study.yaml")
    steps = [
        {"make": "model-0", "action": "sft",
         "inputs": {"model": ["kin"], "dataset": ["east"], "hyperparameters": ["slow"]}},
    ]  # fmt: skip
    objects = {
        "kin": {"kind": "model"}, "east": {"kind": "dataset"}, "north": {"kind": "dataset"},
        "slow": {"kind": "hyperparameters"},
    }  # fmt: skip
    return study, State(config=study.dump()), {"result": "model-0", "objects": objects, "steps": steps}


def test_too_few_rows_are_named_with_the_largest_factor(tmp_path: Path) -> None:
    study, state, plan = a_study(tmp_path)
    with pytest.raises(UserError, match=r"east: 45 rows there, limit 10, 5x takes 50; largest factor: 4") as error:
        data_changes(study, state, Plan.of(plan, "here"), [2, 5])
    assert "north" not in str(error.value)
    plan["objects"]["south"] = {"kind": "dataset"}
    with pytest.raises(UserError, match="south: no limit, so the study trained on all its 30 rows; largest factor: 1"):
        data_changes(study, state, Plan.of(plan, "here"), [2])


def test_a_derived_study_changes_the_rows_and_nothing_that_the_scores_depend_on(tmp_path: Path) -> None:
    study, state, plan = a_study(tmp_path)
    (change,) = data_changes(study, state, Plan.of(plan, "here"), [4])
    derived = derive_study(study, state, plan, change)
    assert derived.body.study == "cheap.scale-data-4"
    assert derived.body.datasets["east"].limit == 40
    assert set(derived.body.models) == {"base", "kin"}, "what is used, and what that descends from"
    assert set(derived.body.datasets) == {"east", "north"}
    assert derived.tasks == study.tasks
    assert derived.body.evaluation.items == 40, "as many as a race may ask for"
    assert derived.body.evaluation.max_items is None
    assert derived.policy[0] == "replay"
    assert (derived.folder / "plan.yaml").exists()
    assert derive_study(study, state, plan, change).dump() == derived.dump()


def test_leaks_are_treated_as_in_the_search_unless_the_study_file_now_says_otherwise(tmp_path: Path) -> None:
    study, state, plan = a_study(tmp_path)
    dropped = State(config={**state.config, "contamination": "drop"})
    assert derive_study(study, dropped, plan, StudyChange(label="again")).body.contamination == "drop"
    warned = load_study(study.file, ["contamination=warn"])
    assert derive_study(warned, dropped, plan, StudyChange(label="again")).body.contamination == "warn"


def test_another_base_model_takes_the_place_of_one_that_is_used(tmp_path: Path) -> None:
    study, state, plan = a_study(tmp_path)
    change = model_change(study, Plan.of(plan, "here"), ["kin=org/large-model"])
    assert derive_study(study, state, plan, change).body.models["kin"].path == "org/large-model"
    assert change.label.startswith("scale-kin-large-model-")
    with pytest.raises(UserError, match=r"no model 'kim'. Did you mean 'kin'\?"):
        model_change(study, Plan.of(plan, "here"), ["kim=x"])
    with pytest.raises(UserError, match="expected NAME=PATH"):
        model_change(study, Plan.of(plan, "here"), ["kin"])


def test_a_study_without_tasks_is_for_a_replay_only(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY.replace("tasks: [{task: own, path: own.jsonl}]", "tasks: []"))
    with pytest.raises(ConfigError, match=r"study.yaml:9: tasks: expected 1 or more entries"):
        load_study(tmp_path / "study.yaml")
    assert load_study(tmp_path / "study.yaml", ["policy={kind: replay, from: x}"]).goals == ()


def test_changes_of_nothing_make_a_study_that_repeats(tmp_path: Path) -> None:
    study, state, plan = a_study(tmp_path)
    derived = derive_study(study, state, plan, StudyChange(label="attribute-0"))
    assert derived.body.datasets["east"] == study.body.datasets["east"]


def test_a_setting_that_goes_beyond_what_is_free_is_named_in_a_derived_study(tmp_path: Path) -> None:
    study, state, plan = a_study(tmp_path)
    given = SftHyperparameters(num_train_epochs=8)
    plan["objects"]["slow×8"] = {"kind": "hyperparameters", "action": "sft", "values": given.model_dump(mode="json")}
    plan["steps"][0]["inputs"]["hyperparameters"] = ["slow×8"]
    found = settings_of(derive_study(study, state, plan, StudyChange(label="again")).actions["sft"])
    assert set(found) == {"slow", "slow×8"}
    assert setting_object("sft", "slow×8", found["slow×8"]).id == setting_object("sft", "other", given).id


def test_another_seed_is_all_that_repeating_changes(tmp_path: Path) -> None:
    study, state, plan = a_study(tmp_path)
    again, other = (derive_study(study, state, plan, StudyChange(label="again", seed=seed)) for seed in (None, 7))
    assert (again.body.seed, other.body.seed) == (0, 7)
    assert again.dump() | {"seed": 7} == other.dump()


GOALS = (TaskWeight(task="a"),)


def items(*means: float, n: int = 200) -> list[dict[str, Any]]:
    """Models that get so many of the same items right: the first ones."""
    return [{"a": (np.arange(n) < mean * n).astype(float)} for mean in means]


def test_agreement_over_items_is_sure_of_wide_gaps_and_not_of_narrow_ones() -> None:
    wide = item_agreement(items(0.2, 0.5, 0.8), items(0.3, 0.6, 0.9), GOALS, seed=0)
    assert (wide.tau, wide.low, wide.high) == (1.0, 1.0, 1.0)
    rng = np.random.default_rng(0)
    cheap, full = ([{"a": (rng.random(100) < 0.5).astype(float)} for _ in range(4)] for _ in range(2))
    narrow = item_agreement(cheap, full, GOALS, seed=0)
    assert narrow.low <= narrow.tau <= narrow.high
    assert narrow.high - narrow.low > 0.5
    assert item_agreement(items(0.2, 0.8), items(0.8, 0.2), GOALS, seed=0).tau == -1.0


def test_identical_truths_that_noise_reorders_are_not_said_to_disagree() -> None:
    covered, measured_tau = 0, []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        cheap, full = (
            [{"a": (rng.random(200) < chance).astype(float)} for chance in np.linspace(0.45, 0.55, 6)] for _ in range(2)
        )
        found = item_agreement(cheap, full, GOALS, seed=seed)
        covered += found.high >= 1.0 - 1e-9
        measured_tau.append(found.tau)
    assert np.mean(measured_tau) < 0.75
    assert covered >= 11


def test_a_pair_changes_places_only_where_the_items_tell_both_gaps() -> None:
    assert told(0.1, 0.2, -0.2, -0.1) and told(-0.2, -0.1, 0.1, 0.2)
    assert not told(-0.1, 0.2, -0.2, -0.1) and not told(0.1, 0.2, -0.2, 0.1) and not told(0.1, 0.2, 0.1, 0.2)
    assert not told(None, None, -0.2, -0.1)


def test_agreement_over_items_needs_an_order() -> None:
    with pytest.raises(ValueError, match="not all equal"):
        item_agreement(items(0.5, 0.5), items(0.2, 0.8), GOALS, seed=0)
    with pytest.raises(ValueError, match="at least 2 pipelines"):
        item_agreement(items(0.5), items(0.5), GOALS, seed=0)
