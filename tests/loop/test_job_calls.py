"""What actions and tasks ask a language model in their jobs is paid once, journalled once, and held to the budget."""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.action_type import ActionType
from lamdagent.core.budget import Budget
from lamdagent.core.errors import BudgetSpent, ContractViolation
from lamdagent.core.events import LLMCalled, Told
from lamdagent.core.jobs import Job, WorkerSpec
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.protocols import Journal, Runner
from lamdagent.core.search import Search, run
from lamdagent.core.spent import Spent
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Action, Failed, Made
from lamdagent.memories.table import Table
from lamdagent.policies.random import Random
from lamdagent.runners.calls import CallFolder, JobLog
from lamdagent.runners.inline import Inline
from lamdagent.runners.job import JobContext
from lamdagent.runners.process import Process
from lamdagent.study.config import load_study
from lamdagent.study.journal import MemoryJournal
from lamdagent.study.parts import StudyParts
from lamdagent.testing import toy
from lamdagent.testing.advised import Direction, ToyAdvised
from lamdagent.testing.contracts.runner import outcomes
from lamdagent.testing.fake_chat import FakeClient, fake_chat
from tests.loop.test_killed import Killed, Mortal
from tests.study_file import STUDY

TRIALS = 5
WORKER = (sys.executable, str(Path(__file__).parents[1] / "contracts" / "toy_worker.py"))
SECRET = "sk-nobody-may-write-this-down"
CALL = LLMCall(key="k", trial=0, purpose="advice", model="m", system="", prompt="p", answer="{}", tokens_in=7, job=0)


def go(
    journal: Journal,
    folder: Path,
    client: FakeClient,
    *,
    budget: Budget = Budget(trials=TRIALS),
    artifacts: Any = None,
    capacity: int = 1,
    runner: Runner | None = None,
) -> State:
    """Search with an action that asks, in this process unless a runner is given."""
    toy.open_toy(journal, seed=3, models=2)
    types: Mapping[str, ActionType] = {"advised": ToyAdvised(fake_chat(client, budget=budget))}
    calls = CallFolder(folder)
    toolkit = replace(toy.toolkit(types), calls=calls, artifacts=artifacts or toy.Unwritten())
    search = Search(
        journal=journal, action_types=types, policy=Random(), memory=Table(), budget=budget, calls=calls
    )  # fmt: skip
    return run(search, runner or Inline(toolkit, capacity=capacity, answered=search.record))


def tokens_of(calls: Any) -> int:
    return Spent.on(calls).tokens


def test_a_trial_costs_what_its_job_asked(tmp_path: Path) -> None:
    client = FakeClient(usd_per_token=0.001)
    state = go(MemoryJournal(), tmp_path, client)
    assert len(client.asked) == len(state.llm_calls) == 2 * TRIALS
    for trial in state.trials:
        own = state.calls_of_job(trial.number)
        assert [call.trial for call in own] == [trial.number] * 2
        assert trial.outcome is not None
        assert trial.outcome.cost.tokens == tokens_of(own) > 0
        assert trial.outcome.cost.usd == pytest.approx(0.001 * tokens_of(own))
    assert state.tokens == tokens_of(state.llm_calls)
    assert state.spent_by_search == Spent()


def test_a_price_that_is_not_known_is_not_zero(tmp_path: Path) -> None:
    state = go(MemoryJournal(), tmp_path, FakeClient())
    assert {trial.outcome.cost.usd for trial in state.trials if trial.outcome} == {None}


@pytest.mark.parametrize("capacity", [1, 2])
@pytest.mark.parametrize("written", [False, True], ids=["before", "after"])
def test_killed_at_any_append_no_question_is_asked_twice(written: bool, capacity: int, tmp_path: Path) -> None:
    whole = go(MemoryJournal(), tmp_path / "whole", FakeClient(), capacity=capacity)
    for at in itertools.count():
        journal, client, artifacts = MemoryJournal(), FakeClient(), toy.Unwritten()
        given: dict[str, Any] = {"artifacts": artifacts, "capacity": capacity}
        folder = tmp_path / str(at)
        try:
            go(Mortal(journal, at=at, written=written), folder, client, **given)
        except Killed:
            ended = go(journal, folder, client, **given)
        else:
            break
        assert toy.without_costs(ended) == toy.without_costs(whole), f"killed at append {at}"
        assert set(Counter(prompt for _, prompt in client.asked).values()) == {1}, f"asked twice, killed at {at}"
        assert len([e for e in journal.read() if isinstance(e, LLMCalled)]) == 2 * TRIALS, f"killed at append {at}"
        assert ended.tokens == whole.tokens
        costs = [[t.outcome.cost.tokens for t in s.trials if t.outcome] for s in (ended, whole)]
        assert costs[0] == costs[1], f"killed at append {at}"
    assert at > 4 * TRIALS


def test_a_driver_that_dies_after_the_artifact_was_written_journals_what_it_cost(tmp_path: Path) -> None:
    whole, client = go(MemoryJournal(), tmp_path / "whole", FakeClient()), FakeClient()
    journal, artifacts, deaf = MemoryJournal(), toy.Unwritten(), fake_chat(client)
    toolkit = replace(
        toy.toolkit({"advised": ToyAdvised(deaf)}), calls=CallFolder(tmp_path / "calls"), artifacts=artifacts
    )
    toy.open_toy(journal, seed=3, models=2)
    types: Mapping[str, ActionType] = {"advised": ToyAdvised(deaf)}
    budget = Budget(trials=TRIALS)
    search = Search(journal=journal, action_types=types, policy=Random(), memory=Table(), budget=budget)
    with pytest.raises(Killed):  # its runner tells nobody of answers, as where the driver is dead
        run(search, _DiesWhenDone(toolkit))
    assert len(client.asked) == 2
    assert not reduce_events(journal.read()).llm_calls
    ended = go(journal, tmp_path / "calls", client, artifacts=artifacts)
    assert toy.without_costs(ended) == toy.without_costs(whole)
    assert len(client.asked) == 2 * TRIALS


class _DiesWhenDone(Inline):
    def wait(self, timeout_s: float | None = None) -> Any:
        ended = super().wait(timeout_s)
        if any(isinstance(key, int) for key, _ in ended):
            raise Killed
        return ended


def test_a_spent_budget_leaves_the_trial_open_and_a_larger_one_goes_on_with_it(tmp_path: Path) -> None:
    whole = go(MemoryJournal(), tmp_path / "whole", FakeClient())
    journal, client, artifacts = MemoryJournal(), FakeClient(), toy.Unwritten()
    bound = tokens_of(whole.llm_calls[:3]) + 10  # the second question of the second trial is not affordable
    stopped = go(
        journal, tmp_path / "calls", client, budget=Budget(trials=TRIALS, llm_tokens=bound), artifacts=artifacts
    )
    assert stopped.stopped is not None
    assert stopped.stopped.reason == "llm_tokens"
    assert "budget.llm_tokens" in stopped.stopped.message
    assert stopped.tokens <= bound
    (open_trial,) = stopped.running
    assert open_trial.number == len(stopped.trials) - 1 < TRIALS - 1
    assert not any(isinstance(e, Told) and isinstance(e.outcome, Failed) for e in journal.read())
    again = go(journal, tmp_path / "calls", client, budget=Budget(trials=TRIALS, llm_tokens=bound), artifacts=artifacts)
    assert again.running == stopped.running
    ended = go(journal, tmp_path / "calls", client, artifacts=artifacts)
    assert toy.without_costs(ended) == toy.without_costs(whole)
    assert len(client.asked) == 2 * TRIALS


def test_a_budget_in_usd_stops_jobs_too(tmp_path: Path) -> None:
    client = FakeClient(usd_per_token=0.001)
    state = go(MemoryJournal(), tmp_path, client, budget=Budget(trials=TRIALS, usd=0.25))
    assert state.stopped is not None
    assert state.stopped.reason == "usd"
    assert 0 < state.usd <= 0.25


def test_no_trial_can_be_told_as_failed_by_a_budget(tmp_path: Path) -> None:
    types: Mapping[str, ActionType] = {"advised": ToyAdvised(fake_chat(FakeClient()))}
    journal = MemoryJournal(*toy.first_events())
    search = Search(journal=journal, action_types=types, policy=Random(), memory=Table())
    search.ask()
    with pytest.raises(ContractViolation, match="stays open"):
        search.tell(0, Failed(cause="llm_tokens", message="spent"))


def test_jobs_count_what_other_jobs_and_the_search_spend(tmp_path: Path) -> None:
    first, second = (
        JobLog(Job(key=key, action=None, objects=(), spent=Spent(tokens=100)), CallFolder(tmp_path), lambda call: None)
        for key in range(2)
    )
    assert second.spent.tokens == 100
    first.record(CALL)
    assert second.spent.tokens == 107


def test_with_two_workers_at_once_the_budget_is_passed_by_one_answer_at_most(tmp_path: Path) -> None:
    both = threading.Barrier(2)
    bound, answer = 60, '{"direction": "east"}'

    class Slow(FakeClient):
        def complete(self, **asked: Any) -> Any:
            both.wait(timeout=10)  # each has found the next question affordable before either is answered
            return replace(super().complete(**asked), text=answer, tokens_in=12, tokens_out=8)

    spent: list[BudgetSpent] = []

    def ask(job: int) -> None:
        chat = fake_chat(Slow(), budget=Budget(llm_tokens=bound))
        log = JobLog(Job(key=job, action=None, objects=()), CallFolder(tmp_path), lambda call: None)
        try:
            for turn in range(9):
                prompt = f"{job}-{turn}" * 6
                chat.bound(log).ask(purpose="a", system="", prompt=prompt, schema=Direction, max_tokens=8)
        except BudgetSpent as error:
            spent.append(error)
            both.abort()
        except threading.BrokenBarrierError:
            pass

    threads = [threading.Thread(target=ask, args=(job,)) for job in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = Spent.on(CallFolder(tmp_path).of()).tokens
    assert spent
    assert took <= bound + 20


def test_what_is_told_twice_is_journalled_once_and_a_lost_folder_is_written_again(tmp_path: Path) -> None:
    journal = MemoryJournal(*toy.first_events())
    given: dict[str, Any] = {"action_types": toy.ACTION_TYPES, "policy": Random(), "memory": Table()}
    search = Search(journal=journal, calls=CallFolder(tmp_path), **given)
    for _ in range(2):
        search.record(CALL)
    assert search.state.llm_calls == (CALL,)
    Search(journal=journal, calls=CallFolder(tmp_path / "new"), **given)
    assert list(CallFolder(tmp_path / "new").of()) == [CALL]


def test_a_job_that_asks_where_no_answer_is_kept_is_a_mistake_of_the_plug_in() -> None:
    job = Job(key=0, action=None, objects=())
    with pytest.raises(ContractViolation, match="keeps no answers"):
        JobContext(job, toy.toolkit(), lambda progress: None).asking(fake_chat(FakeClient()))


def test_a_study_keeps_answers_in_its_own_folder_and_its_runners_tell_what_journals_them(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    parts = StudyParts(load_study(tmp_path / "study.yaml"))
    heard: list[LLMCall] = []
    for runner in (parts.runner(), parts.runner(inline=True)):  # made before the search that journals
        parts.record_with(heard.append)
        runner._answered(CALL)  # type: ignore[attr-defined]
    assert heard == [CALL, CALL]
    parts.calls.write(CALL)
    assert list((parts.study.folder / "calls").glob("k-*.json"))
    assert parts.toolkit.calls is parts.calls
    assert list(StudyParts.told(parts.worker_spec).calls.of()) == [CALL]


# Workers in processes of their own.


def through_workers(
    journal: Journal, folder: Path, *, budget: Budget = Budget(trials=TRIALS), capacity: int = 1
) -> State:
    toy.open_toy(journal, seed=3, models=2)
    types: Mapping[str, ActionType] = {"advised": ToyAdvised(fake_chat(FakeClient()))}
    search = Search(
        journal=journal,
        action_types=types,
        policy=Random(),
        memory=Table(),
        budget=budget,
        calls=CallFolder(folder / "calls"),
    )
    spec = WorkerSpec(
        study={"calls": str(folder / "calls"), "tokens": budget.llm_tokens, "asked": str(folder / "asked")},
        file="s.yaml",
    )
    runner = Process(spec, logs=folder / "logs", capacity=capacity, answered=search.record, command=WORKER)
    try:
        return run(search, runner)
    finally:
        runner.close()


def asked_of_workers(folder: Path) -> list[str]:
    return (folder / "asked").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_LLM_KEY", SECRET)


@pytest.mark.usefixtures("key")
def test_what_a_worker_asks_is_heard_before_its_job_ends(tmp_path: Path) -> None:
    heard: list[LLMCall] = []
    study = {"calls": str(tmp_path / "calls"), "tokens": None, "asked": str(tmp_path / "asked")}
    runner = Process(
        WorkerSpec(study=study, file="s.yaml"), logs=tmp_path / "logs", answered=heard.append, command=WORKER
    )
    base = toy.point("base", (0.0, 0.0))
    action = Action(type="advised", version=1, inputs={"model": (base.id,)})
    try:
        ((_, outcome),) = outcomes(runner, [Job(key=4, action=action, objects=(base,))])
    finally:
        runner.close()
    assert isinstance(outcome, Made)
    assert [(call.trial, call.job, call.purpose) for call in heard] == [(4, 4, "advice")] * 2
    assert set(heard) == set(CallFolder(tmp_path / "calls").of())


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("capacity", [1, 2])
def test_what_workers_ask_is_journalled_by_the_driver(capacity: int, tmp_path: Path) -> None:
    journal = MemoryJournal()
    state = through_workers(journal, tmp_path, capacity=capacity)
    assert all(isinstance(trial.outcome, Made) for trial in state.trials)
    assert len(state.llm_calls) == 2 * TRIALS
    assert len(asked_of_workers(tmp_path)) == len(set(asked_of_workers(tmp_path))) == 2 * TRIALS
    if capacity == 1:
        told = [type(e).__name__ for e in journal.read() if isinstance(e, LLMCalled | Told)]
        assert told[:3] == ["LLMCalled", "LLMCalled", "Told"]
        here = go(MemoryJournal(), tmp_path / "inline", FakeClient())
        assert toy.without_costs(state) == toy.without_costs(here)


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("at", [4, 5])
def test_a_driver_killed_while_workers_ask_pays_for_nothing_twice(at: int, tmp_path: Path) -> None:
    whole, journal = go(MemoryJournal(), tmp_path / "whole", FakeClient()), MemoryJournal()
    with pytest.raises(Killed):
        through_workers(Mortal(journal, at=at, written=False), tmp_path)
    ended = through_workers(journal, tmp_path)
    assert toy.without_costs(replace(ended, llm_calls=())) == toy.without_costs(replace(whole, llm_calls=()))
    assert {call.key for call in ended.llm_calls} == {call.key for call in whole.llm_calls}
    assert len(ended.llm_calls) == len(asked_of_workers(tmp_path)) == len(set(asked_of_workers(tmp_path)))


@pytest.mark.usefixtures("key")
def test_workers_stop_at_the_budget_and_go_on_when_it_is_raised(tmp_path: Path) -> None:
    whole, journal = go(MemoryJournal(), tmp_path / "whole", FakeClient()), MemoryJournal()
    bound = tokens_of(whole.llm_calls[:3]) + 10
    stopped = through_workers(journal, tmp_path, budget=Budget(trials=TRIALS, llm_tokens=bound))
    assert stopped.stopped is not None
    assert stopped.stopped.reason == "llm_tokens"
    assert len(stopped.running) == 1
    ended = through_workers(journal, tmp_path)
    assert toy.without_costs(ended) == toy.without_costs(whole)
    assert len(asked_of_workers(tmp_path)) == 2 * TRIALS


@pytest.mark.usefixtures("key")
def test_the_key_of_a_language_model_is_neither_sent_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    send = Process._send

    def noted(runner: Process, slot: Any, message: Mapping[str, Any]) -> None:
        sent.append(json.dumps(message))
        send(runner, slot, message)

    monkeypatch.setattr(Process, "_send", noted)
    journal = MemoryJournal()
    state = through_workers(journal, tmp_path)
    assert state.llm_calls, "a worker without the key would have answered nothing"
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {file.parent.name for file in files} >= {"calls", "logs"}
    assert not [file for file in files if SECRET in file.read_text(encoding="utf-8", errors="replace")]
    assert len(sent) > TRIALS
    assert not any(SECRET in text for text in [*sent, *map(repr, journal.read())])
