"""A made dataset is no model: it has no score of its own, and is worth what the models trained on it gained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.budget import Budget
from lamdagent.core.errors import ContractViolation, UserError
from lamdagent.core.events import Asked, Event, Told
from lamdagent.core.evidence import dataset_gains, evidence_table, gains, labels
from lamdagent.core.format import recipe, result
from lamdagent.core.pipeline import Pipeline, node_label, pipeline_of, render
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Made, Object
from lamdagent.memories.reflection import Reflection
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.objects.datasets.readers import rows_digest
from lamdagent.policies.agent.menu import describe
from lamdagent.policies.agent.policy import Agent
from lamdagent.policies.random import Random
from lamdagent.results.export.pipeline_file import study_data
from lamdagent.results.trial import trial_detail
from lamdagent.results.variants import variants
from lamdagent.results.verify import verify_study
from lamdagent.runners.inline import Inline
from lamdagent.study.journal import SqliteJournal, from_json, kind_of, to_json
from lamdagent.study.read import ReadStudy, made_model, made_trial
from lamdagent.testing import toy
from lamdagent.testing.contracts.runner import blend_job
from lamdagent.testing.fake_chat import FakeClient, fake_chat
from lamdagent.ui.render.markdown import markdown
from lamdagent.ui.terminal.progress import SearchProgress


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


def test_a_trial_that_made_a_dataset_shows_its_first_rows_and_what_it_is_worth(state: State, tmp_path: Path) -> None:
    made = next(obj for obj in made_datasets(state) if obj.id in dataset_gains(state))
    trial, store = state.trial_of(made.id), LocalArtifacts(tmp_path)
    assert trial is not None
    assert trial_detail("toy", state, trial, store).rows is None
    with store.write(made.id, {}) as folder:
        (folder / "data.jsonl").write_text("".join(f'{{"text": "{"long " * n}"}}\n' for n in (1, 2, 100, 4)))
    detail = trial_detail("toy", state, trial, store)
    assert detail.rows is not None
    assert [len(row) for row in detail.rows] == [17, 22, 300]
    shown = markdown(detail)
    assert f"models trained on it gained {dataset_gains(state)[made.id]}" in shown
    assert '{"text": "long "}' in shown


def test_the_terminal_says_what_a_made_dataset_holds_and_what_was_left_out_of_it(state: State) -> None:
    trial = next(t for obj in made_datasets(state) if (t := state.trial_of(obj.id)) is not None)
    assert isinstance(trial.outcome, Made)
    words, outcome = SearchProgress(Budget()), trial.outcome
    assert words.verdict(trial.number, outcome, state) == f"trial {trial.number}: 1 row, vector"
    meta = {**outcome.object.meta, "dropped": 3}
    outcome = replace(outcome, object=replace(outcome.object, meta=meta))
    assert words.verdict(trial.number, outcome, state).endswith("1 row, vector; 3 with evaluation items left out")


def test_without_a_step_that_makes_data_the_dataset_stands_in_that_models_gained_most_on(state: State) -> None:
    gained = dataset_gains(state)
    whole = next(
        pipeline_of(state, obj.id)
        for obj in state.of_kind("model")
        if any(
            n.type == "blend" and all(c.object.id in gained for c in n.children)
            for n in pipeline_of(state, obj.id).nodes()
        )
    )
    without = {v.without.object.id: v for v in variants(whole, state, toy.DATA_ACTION_TYPES) if v.dataset is None}
    blend = next(n for n in whole.nodes() if n.type == "blend" and all(c.object.id in gained for c in n.children))
    best = max(blend.children, key=lambda child: gained[child.object.id].value)
    found = without[blend.object.id]
    assert found.notes[0].startswith(f"in place of {blend.object.name} stands {best.object.name}, the one that models")
    assert found.pipeline is not None
    assert blend.object.id not in {node.object.id for node in found.pipeline.nodes()}


def test_what_takes_no_data_to_make_data_cannot_be_left_out_and_says_why(state: State) -> None:
    whole = next(
        pipeline_of(state, obj.id)
        for obj in state.of_kind("model")
        if any(n.type == "blend" for n in pipeline_of(state, obj.id).nodes())
    )
    blend = next(n for n in whole.nodes() if n.type == "blend")

    def taught(node: Pipeline) -> Pipeline:
        inputs = {slot: tuple(map(taught, group)) for slot, group in node.inputs.items()}
        return replace(node, inputs={} if node.object.id == blend.object.id else inputs)

    found = variants(taught(whole), state, toy.DATA_ACTION_TYPES)
    (without,) = [v for v in found if v.without.object.id == blend.object.id]
    assert without.pipeline is None
    assert without.notes == ("blend takes no dataset, so nothing can stand in the place of what it made",)


def test_a_recipe_names_the_rows_that_a_step_left_out_and_its_study_leaves_them_out_again(tmp_path: Path) -> None:
    step = {"make": "dataset-0", "id": "d", "action": "blend", "seed": 0, "rows": "digest", "leave_out": [1, 3],
            "inputs": {"datasets": ["a", "b"]}}  # fmt: skip
    recipe = {"seed": 0, "actions": {"blend": {}}, "objects": {}, "steps": [step], "dtype": "auto", "machine": {}}
    assert study_data(recipe, tmp_path)["leave_out"] == {"d": [1, 3]}
    del step["leave_out"]
    assert "leave_out" not in study_data(recipe, tmp_path)


def test_rows_are_verified_against_the_digest_in_the_journal(state: State, tmp_path: Path) -> None:
    made, store, digest = made_datasets(state)[0], LocalArtifacts(tmp_path), rows_digest()
    digest.update(b'{"text": "a"}\n')
    trial = state.trial_of(made.id)
    assert trial is not None
    record = {"action": dataclasses.asdict(trial.choice.action)}
    with store.write(made.id, record) as folder:
        (folder / "data.jsonl").write_text('{"text": "a"}\n')

    def problems(**meta: Any) -> tuple[str, ...]:
        obj = replace(made, meta={**made.meta, **meta})
        return verify_study("toy", State(pool={obj.id: obj}), store, tmp_path).problems

    assert problems(digest=digest.hexdigest()) == ()
    assert problems(digest="other") == (f"dataset {made.name}: its rows do not give its digest",)
    assert problems(digest=digest.hexdigest(), rows=2) == (
        f"dataset {made.name}: it has 1 rows, and 2 were made",
    )  # fmt: skip


def test_an_agent_is_told_what_makes_data_and_a_reflecting_model_what_made_data_is_worth(state: State) -> None:
    client = FakeClient()
    Agent(chat=fake_chat(client), fallback=Random()).select(state, toy.space(state), 1)
    (system, prompt), *_ = client.asked
    assert "An action of type blend makes a new dataset instead." in system
    assert "Takes 2 dataset (datasets). Makes a dataset. Done" in prompt
    assert "step: " in prompt and "(hyperparameters). Done" in prompt
    client = FakeClient()
    Reflection(chat=fake_chat(client)).update(state, state.trials[-1])
    assert "A made dataset has no score of its own" in client.asked[0][1]
