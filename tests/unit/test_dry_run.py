"""`run --dry-run` refuses what `run` would refuse, and starts and fetches nothing for it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lamdagent.core.errors import UserError
from lamdagent.core.events import ObjectAdded, StudyOpened
from lamdagent.core.types import ID_FORMULA
from lamdagent.llm import llama_cpp
from lamdagent.study.config import load_study
from lamdagent.study.journal import SqliteJournal
from lamdagent.testing import toy
from lamdagent.ui.cli.app import app
from lamdagent.ui.cli.dry_run import plan_of

pytest.importorskip("pydantic_ai")
STUDY = """\
study: mine
models: {base: {path: someone/some-model}}
actions: {ties: {hyperparameters: {half: {density: 0.5}}}}
tasks: [{task: own, path: own.jsonl}]
budget: {trials: 4}
"""
OPENAI = "{kind: agent, model: 'openai:gpt-4o-2024-08-06'}"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (tmp_path / "own.jsonl").write_text('{"prompt": "1+1=", "answer": "2"}\n{"prompt": "1+2=", "answer": "3"}\n')
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def planned(study: Path, *overrides: str) -> Any:
    return plan_of(load_study(study, overrides))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([f"policy={OPENAI}"], "OPENAI_API_KEY"),
        (["policy={kind: agent, model: 'opnai:gpt-4o'}"], "opnai"),
        (["policy={kind: agent, model: local, gguf: none.gguf}"], "none.gguf: no such file"),
        (["policy={kind: agent, model: m, base_url: 'http://127.0.0.1:1/v1'}", "budget.usd=1"], "no price is known"),
        (
            ["policy={kind: agent, model: m, base_url: 'http://me:pw@127.0.0.1:1/v1'}"],
            "must not hold a user name, password",
        ),
        (["policy={kind: replay, from: nowhere}"], "nowhere"),
        (["memory={kind: reflection}"], "memory: reflection asks the policy's language model"),
    ],
)
def test_what_cannot_be_asked_or_followed_is_refused_before_anything_is_run(
    study: Path, overrides: list[str], said: str
) -> None:
    with pytest.raises(UserError) as error:
        planned(study, *overrides)
    assert said in str(error.value)
    assert not (study.parent / "runs").exists()


def test_a_sound_policy_is_planned_without_a_question_and_a_served_model_without_a_server(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    assert planned(study, f"policy={OPENAI}").policy == "agent"
    monkeypatch.setattr(llama_cpp, "_served", lambda weights, key: pytest.fail("a server was started"))
    monkeypatch.setattr(llama_cpp, "kept_smollm2", lambda: None)
    monkeypatch.setattr("lamdagent.study.initial_pool.kept_smollm2", lambda: None)
    if importlib.util.find_spec("xllamacpp") is not None:
        plan = planned(study, "policy={kind: agent, model: local}")
        assert "SmolLM2-135M-Instruct (98 MB), for policy.model: local" in plan.to_fetch


def test_a_study_that_began_otherwise_is_refused_and_one_that_may_go_on_is_planned(study: Path) -> None:
    loaded = load_study(study)
    journal = SqliteJournal(loaded.folder / "journal.sqlite", writer=True)
    opened = StudyOpened(config=loaded.dump(), seed=0, goals=loaded.goals, id_formula=ID_FORMULA)
    journal.append(opened, ObjectAdded(object=toy.point("base", (0.0, 0.0))))
    journal.close()
    assert planned(study, "policy={kind: surrogate}", "budget.hours=2").policy == "surrogate"
    with pytest.raises(UserError, match=r"began otherwise:\n  actions\.ties\.hyperparameters\.half\.density: was 0\.5"):
        planned(study, "actions.ties.hyperparameters.half.density=0.4")
    shown = CliRunner().invoke(app, ["run", str(study), "--dry-run", "--set", "seed=3"])
    assert shown.exit_code != 0
