"""A made dataset is no model: it has no score of its own, and is worth what the models trained on it gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.errors import ContractViolation, UserError
from lamdagent.core.events import Asked, Event, Told
from lamdagent.core.evidence import dataset_gains, evidence_table, gains, labels
from lamdagent.core.format import recipe, result
from lamdagent.core.pipeline import node_label, pipeline_of, render
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Object
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.policies.agent import describe
from lamdagent.runners.inline import Inline
from lamdagent.study.journal import SqliteJournal, from_json, kind_of, to_json
from lamdagent.study.read import ReadStudy, made_model, made_trial
from lamdagent.testing import toy
from lamdagent.testing.contracts.runner import blend_job


@pytest.fixture(scope="module")
def state() -> State:
    return toy.grown(40, seed=3, models=2, makes_data=True)


def made_datasets(state: State) -> list[Object]:
    return [obj for obj in state.of_kind("dataset") if obj.made_by is not None]


def test_only_models_have_scores(state: State) -> None:
    made = made_datasets(state)
    assert made
    assert set(state.scores) <= {obj.id for obj in state.of_kind("model")}


def test_a_journal_that_holds_empty_scores_of_a_dataset_gives_it_no_entry(state: State) -> None:
    trial = next(t for t in state.trials if t.choice.action.type == "blend")
    assert trial.outcome is not None
    turn: list[Event] = [Asked(number=0, choice=trial.choice), Told(number=0, outcome=trial.outcome)]
    stored = [(kind_of(event), to_json(event)) for event in turn]
    assert '"scores":[]' in stored[1][1].replace(" ", "")
    folded = reduce_events([*toy.first_events(makes_data=True), *(from_json(*row) for row in stored)])
    assert trial.choice.action.id in folded.pool
    assert folded.scores == {}


def test_a_dataset_is_worth_the_mean_gain_of_the_models_trained_on_it(state: State) -> None:
    found = dataset_gains(state)
    trained = {obj.id for obj in made_datasets(state)} & set(found)
    assert trained, "the toy search trained on no dataset that it made"
    for object_id in trained:
        own = [g.value for g in gains(state) if object_id in g.trial.choice.action.object_ids]
        assert found[object_id].n == len(own)
        assert found[object_id].value == pytest.approx(sum(own) / len(own))


def test_a_single_gain_keeps_the_error_of_its_own(state: State) -> None:
    alone = [(i, found) for i, found in dataset_gains(state).items() if found.n == 1]
    assert alone
    for object_id, found in alone:
        (gain,) = [g for g in gains(state) if object_id in g.trial.choice.action.object_ids]
        assert found.stderr == gain.stderr


def test_the_evidence_names_what_was_made_and_what_came_of_it(state: State) -> None:
    text = evidence_table(state)
    best = max((o for o in made_datasets(state) if o.id in dataset_gains(state)), key=lambda o: _gain(state, o))
    assert f"- {best.name} {dataset_gains(state)[best.id]}: {recipe(state, best.id, labels(state))}" in text
    assert "no model trained on them yet" in text


def _gain(state: State, obj: Object) -> float:
    return dataset_gains(state)[obj.id].value


def test_a_search_that_makes_no_data_says_nothing_of_it() -> None:
    assert "Made datasets" not in evidence_table(toy.grown(40, seed=3, models=2))


def test_what_was_never_tried_together_is_said_for_any_action_that_trains() -> None:
    text = evidence_table(toy.grown(5))
    assert "Never tried together: " in text
    assert "with wild" in text


def test_a_made_dataset_has_a_recipe_a_result_and_a_line_in_the_lineage(state: State) -> None:
    made = next(obj for obj in made_datasets(state) if obj.id in dataset_gains(state))
    trial = state.trial_of(made.id)
    assert trial is not None
    names = [state.pool[i].name for i in trial.choice.action.object_ids]
    assert recipe(state, made.id) == f"blend({' + '.join(names)})"
    assert result(state, trial) == "1 row, vector"
    tree = render(pipeline_of(state, made.id), lambda node: node_label(state, node))
    assert tree.startswith(f"blend → {made.name}: 1 row, vector; models trained on it gained ")


def test_an_agent_is_told_of_a_made_dataset_how_it_was_made_and_what_it_is_worth(state: State) -> None:
    for obj in made_datasets(state):
        told, found = describe(state, obj, labels(state)), dataset_gains(state).get(obj.id)
        assert recipe(state, obj.id, labels(state)) in told
        assert ("no model was trained on it yet" in told) == (found is None)


class Careless(toy.ToyBlend):
    """Forgets what every dataset must say of itself."""

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Any) -> Mapping[str, Any]:
        return {"x": [0.0, 0.0], "rows": "many"}


def test_an_action_that_leaves_out_what_its_object_must_have_is_told_what_is_missing() -> None:
    runner = Inline(toy.toolkit({"blend": Careless()}))
    runner.submit(blend_job())
    with pytest.raises(ContractViolation, match=r"'blend' makes a dataset.* no rows \(int\), format \(str\)"):
        runner.wait()


def test_an_object_taken_for_another_kind_is_a_breach_that_names_it() -> None:
    east = toy.vector("east", (1.0, 0.0))
    assert east.dataset["rows"] == 1
    with pytest.raises(ContractViolation, match="dataset 'east' was taken for a model"):
        _ = east.model


def test_what_takes_a_model_says_where_the_rows_of_a_made_dataset_are(tmp_path: Path) -> None:
    state = toy.grown(12, models=2, makes_data=True)
    study = ReadStudy(name="toy", folder=tmp_path / "runs" / "toy", home=tmp_path, state=state)
    data = next(t for obj in state.of_kind("dataset") if (t := state.trial_of(obj.id)) is not None)
    model = next(t for obj in state.of_kind("model") if (t := state.trial_of(obj.id)) is not None)
    assert made_trial(study, str(data.number)) == data
    assert made_model(study, str(model.number)) == model
    with pytest.raises(UserError, match=rf"trial {data.number} made the dataset dataset-{data.number}.*data\.jsonl"):
        made_model(study, str(data.number))


def test_export_of_a_made_dataset_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from lamdagent.ui.cli.app import app

    folder = tmp_path / "runs" / "toy"
    journal = SqliteJournal(folder / "journal.sqlite", writer=True)
    toy.open_toy(journal, makes_data=True)
    state = toy.grown(12, makes_data=True)
    for trial in state.trials:
        assert trial.outcome is not None
        asked, told = Asked(number=trial.number, choice=trial.choice), Told(number=trial.number, outcome=trial.outcome)
        journal.append(asked, told)
    journal.close()
    data = next(t for obj in state.of_kind("dataset") if (t := state.trial_of(obj.id)) is not None)
    with LocalArtifacts(tmp_path / "runs" / "artifacts").write(data.choice.action.id, {}) as made:
        (made / "data.jsonl").write_text('{"text": "a row"}\n')
    ended = CliRunner().invoke(app, ["export", str(folder), str(data.number), "--to", str(tmp_path / "out")])
    assert isinstance(ended.exception, UserError)
    assert "this takes a model" in str(ended.exception)
    assert not (tmp_path / "out").exists()
