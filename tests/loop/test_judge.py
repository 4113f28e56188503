"""A task that a language model judges: numbers by schema, kept with their reasons, paid for once."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("lm_eval")

from lamdagent.core.budget import Budget
from lamdagent.core.errors import ConfigError, DataError, UserError
from lamdagent.core.jobs import Job
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.types import Failed, Made, Split
from lamdagent.evaluation.evaluator import Evaluation
from lamdagent.evaluation.tasks.judge import JudgeConfig, JudgedRows, JudgeTask
from lamdagent.evaluation.tasks.lm_eval import LmEvalTask
from lamdagent.llm.chat import NoReply
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.results.trial import trial_detail
from lamdagent.runners.calls import CallFolder
from lamdagent.runners.job import Toolkit, work
from lamdagent.testing import toy
from lamdagent.testing.fake_chat import FakeClient, Line, fake_chat
from lamdagent.ui.render.markdown import markdown

MODEL = toy.point("base", (0.25, 0.5))


def verdict(score: Any) -> str:
    return json.dumps({"reason": f"it is worth {score}", "score": score})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with prompts and a rubric; the model under test answers each item by its number."""

    def answers(self: Any, loaded: Any, drawn: Any, ctx: Any) -> list[dict[str, Any]]:
        return [{"item": f"chat/{i}", "value": 0.0, "answer": f"answer {i}", "target": ""} for _, i in drawn]

    monkeypatch.setattr(LmEvalTask, "_ask", answers)
    rows = [{"turns": [f"Question {i}?", "And then?"], "right": f"right {i}"} for i in range(4)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "test.jsonl").write_text(json.dumps({"turns": ["Sealed?"], "right": "yes"}) + "\n")
    (tmp_path / "judge.md").write_text("An answer is good if it is right.")
    return tmp_path


def config(**more: Any) -> JudgeConfig:
    judge = {"model": "openai:gpt-4o", "rubric": "judge.md", **more.pop("judge", {})}
    columns = {"prompt": "{{ turns[0] }}", "reference": "right"}
    given = {"task": "chat", "path": "prompts.jsonl", "test": "test.jsonl", "columns": columns, "chat": False}
    return JudgeConfig.model_validate({**given, "judge": judge, **more})


def judged(home: Path, client: FakeClient, *, budget: Budget = Budget(), **more: Any) -> JudgeTask:
    rows = JudgedRows(config=config(**more), home=home)
    section, tokens = rows.config.section, rows.config.judge.answer_tokens
    chat = fake_chat(client, budget=budget, section=section, answer_tokens=tokens)
    return JudgeTask(name="chat", source=rows, judge=lambda: chat)


def toolkit(home: Path, task: JudgeTask) -> Toolkit:
    models: Any = SimpleNamespace(load=lambda *args: None, autocast=False, device="cpu", peak_bytes=lambda: None)
    return replace(
        toy.toolkit(), artifacts=LocalArtifacts(home / "artifacts"), models=models, calls=CallFolder(home / "calls"),
        evaluation=Evaluation(tasks=[task]),
    )  # fmt: skip


def scored(home: Path, task: JudgeTask, calls: list[LLMCall] | None = None, split: Split = "validation") -> Any:
    job = Job(key="base", action=None, objects=(MODEL,), split=split)
    return work(job, toolkit(home, task), lambda progress: None, answered=(calls if calls is not None else []).append)


def test_each_answer_gets_a_number_on_the_scale_and_the_reason_is_kept(home: Path) -> None:
    client, calls = FakeClient([verdict(n) for n in (1, 4, 10, 5)]), list[LLMCall]()
    outcome = scored(home, judged(home, client), calls)
    assert isinstance(outcome, Made)
    (score,) = outcome.scores
    assert (score.value, score.n) == (5.0, 4)
    (file,) = (home / "artifacts" / MODEL.id / "scores").iterdir()
    items = json.loads(file.read_text())["items"]
    assert {item["reason"] for item in items} == {f"it is worth {n}" for n in (1, 4, 10, 5)}
    prompts = [prompt for _, prompt in client.asked]
    assert "An answer is good if it is right." in prompts[0]
    assert sorted(prompt.partition("# Question\n")[2].partition("\n")[0] for prompt in prompts) == [
        f"Question {i}?" for i in range(4)
    ]
    assert all(f"<answer>\nanswer {p.partition('Question ')[2][0]}\n</answer>" in p for p in prompts)
    assert all("# A right answer\nright " in p for p in prompts)
    assert {(call.purpose, call.job) for call in calls} == {("judge", "base")}
    assert all(call.tokens_in + call.tokens_out > 0 for call in calls)


def test_what_was_judged_is_not_asked_again(home: Path) -> None:
    client = FakeClient([verdict(5)] * 4)
    task = judged(home, client)
    assert scored(home, task).scores == scored(home, task).scores
    assert len(client.asked) == 4


def test_a_number_off_the_scale_is_asked_for_again(home: Path) -> None:
    client = FakeClient([verdict(11), *[verdict(5)] * 4])
    assert isinstance(scored(home, judged(home, client)), Made)
    assert "score: Input should be less than or equal to 10 (given: 11)" in client.asked[1][1]


def test_a_judge_that_gives_no_number_pauses_the_study_and_leaves_no_score_and_never_0(home: Path) -> None:
    silent: list[Line] = [verdict(5), "no", "no", "no", verdict(5), verdict(5)]
    with pytest.raises(UserError, match="gave no number for 1 of 4 items") as paused:
        scored(home, judged(home, FakeClient(silent)))
    assert "of tasks.chat.judge, timeout_s, answer_tokens" in str(paused.value)
    assert "under policy" not in str(paused.value)
    assert not (home / "artifacts" / MODEL.id / "scores").exists()


def test_a_new_run_asks_again_for_what_has_no_verdict_and_for_nothing_else(home: Path) -> None:
    silent: list[Line] = ["no", verdict(5), "no", "no", "no", verdict(6), verdict(7)]
    with pytest.raises(UserError, match="1 of 4 items"):
        scored(home, judged(home, FakeClient(silent)))
    mended = FakeClient([verdict(2)])
    outcome = scored(home, judged(home, mended, judge={"answer_tokens": 4000}))
    assert isinstance(outcome, Made)
    assert outcome.scores[0].value == 5.0
    assert len(mended.asked) == 1, "neither usable verdicts nor those that took two attempts are asked for again"


def test_a_provided_model_whose_judge_was_down_is_scored_once_it_is_mended(home: Path) -> None:
    with pytest.raises(UserError, match=r"is\s+tasks\.chat\.judge\.base_url its address"):
        scored(home, judged(home, FakeClient([NoReply("down")] * 3)))
    assert isinstance(scored(home, judged(home, FakeClient([verdict(5)] * 4))), Made)


def test_a_judge_at_another_temperature_or_with_another_file_is_asked_itself(home: Path) -> None:
    (home / "j.gguf").write_bytes(b"GGUF one")
    local = {"model": "local", "gguf": "j.gguf"}
    asked = []
    for judge in ({}, {"temperature": 1.0}, {"output": "tool"}, local):
        client = FakeClient([verdict(5)] * 4)
        scored(home, judged(home, client, judge=judge))
        asked.append(len(client.asked))
    assert asked == [4, 4, 4, 4]
    before = JudgedRows(config=config(judge=local), home=home).ids
    (home / "j.gguf").write_bytes(b"GGUF two")
    assert JudgedRows(config=config(judge=local), home=home).ids != before
    client = FakeClient([verdict(5)] * 4)
    scored(home, judged(home, client, judge=local))
    assert len(client.asked) == 4


def test_a_budget_that_is_spent_while_judging_leaves_the_trial_open_and_more_goes_on_with_it(home: Path) -> None:
    client, calls = FakeClient([verdict(5)] * 4), list[LLMCall]()
    outcome = scored(home, judged(home, client, budget=Budget(llm_tokens=720)), calls)
    assert isinstance(outcome, Failed)
    assert outcome.cause == "llm_tokens"
    before = len(client.asked)
    assert 0 < before < 4
    assert isinstance(scored(home, judged(home, client), calls), Made)
    assert len(client.asked) == 4, "what was judged before is taken from the study's calls"


def test_the_sealed_side_is_judged_by_the_same_route(home: Path) -> None:
    client = FakeClient([verdict(8)])
    outcome = scored(home, judged(home, client), split="test")
    assert isinstance(outcome, Made)
    assert outcome.scores[0].value == 8.0
    assert "Sealed?" in client.asked[0][1]


def test_an_id_covers_rubric_judge_and_prompts_and_nothing_else(home: Path) -> None:
    def id(**more: Any) -> str:
        return JudgedRows(config=config(**more), home=home).ids["validation"]

    same = id()
    assert id(judge={"timeout_s": 7, "attempts": 1, "base_url": "http://other/v1"}, about="Chat.", limit=2) == same
    assert id(judge={"model": "openai:gpt-4o-mini"}) != same
    assert id(judge={"scale": [1, 5]}) != same
    assert id(max_new_tokens=7) != same
    (home / "judge.md").write_text("An answer is good if it is short.")
    assert id() != same


def test_the_best_of_the_scale_is_the_maximum_of_the_task() -> None:
    assert config().max_score == 10
    assert config(judge={"scale": [0, 5]}).max_score == 5
    with pytest.raises(ValueError, match="max_score is the best number of the scale, 10"):
        config(max_score=1.0)
    with pytest.raises(ValueError, match=r"expected \[worst, best\]"):
        config(judge={"scale": [10, 1]})


def test_what_is_wrong_is_said_before_anything_starts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(Exception, match="OPENAI_API_KEY"):
        JudgedRows(config=config(), home=home).check()
    local = {"model": "openai:mine", "base_url": "http://127.0.0.1:9/v1"}
    JudgedRows(config=config(judge=local), home=home).check()
    with pytest.raises(ConfigError, match=r"judge\.rubric.*none\.md"):
        JudgedRows(config=config(judge={**local, "rubric": "none.md"}), home=home).check()
    with pytest.raises(DataError, match="a judged row needs a prompt"):
        JudgedRows(config=config(judge=local, columns={}), home=home).check()
    (home / "test.jsonl").write_text((home / "prompts.jsonl").read_text())
    with pytest.raises(DataError, match="4 test prompts are validation prompts too"):
        JudgedRows(config=config(judge=local), home=home).check()


@pytest.mark.parametrize(
    ("given", "shown"), [(0, "0"), (0.5, "0.5"), (False, "False"), (None, ""), (float("nan"), ""), ("", ""), ([], "")]
)
def test_a_reference_is_what_the_row_says_and_none_where_it_says_nothing(home: Path, given: Any, shown: str) -> None:
    (home / "prompts.jsonl").write_text(json.dumps({"turns": ["How many?"], "right": given}) + "\n")
    client = FakeClient([verdict(5)])
    scored(home, judged(home, client))
    assert client.asked[0][1].partition("# A right answer\n")[2].partition("\n")[0] == shown


@pytest.mark.parametrize("given", [["Oslo"], {"city": "Oslo"}])
def test_a_reference_that_is_no_text_is_refused(home: Path, given: Any) -> None:
    (home / "prompts.jsonl").write_text(json.dumps({"turns": ["Where?"], "right": given}) + "\n")
    local = {"model": "openai:mine", "base_url": "http://127.0.0.1:9/v1"}
    with pytest.raises(DataError, match=r"a reference is text or a number, not .*Oslo.*Map with columns"):
        JudgedRows(config=config(judge=local), home=home).check()


def test_show_has_the_first_verdicts_with_their_reasons(home: Path) -> None:
    state, store = toy.grown(1), LocalArtifacts(home / "artifacts")
    (trial,) = state.trials
    task = judged(home, FakeClient([verdict(n) for n in (1, 4, 10, 5)]))
    made = state.pool[trial.choice.action.id]
    job = Job(key=0, action=None, objects=(replace(made, made_by=None, meta={**made.meta, "root": made.id}),))
    outcome = work(job, toolkit(home, task), lambda progress: None)
    assert isinstance(outcome, Made)
    detail = trial_detail("toy", replace(state, scores={made.id: outcome.scores}), trial, store)
    assert len(detail.verdicts) == 3
    assert re.fullmatch(r"chat \d+: it is worth \d+ \(answer: answer \d\)", detail.verdicts[0])
    assert "the first items that were judged:" in markdown(detail)
