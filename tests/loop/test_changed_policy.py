"""A search that goes on under another policy, model or budget than it began with."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from lamdagent.core.budget import Budget
from lamdagent.core.errors import JournalError, UserError
from lamdagent.core.protocols import Journal, Policy
from lamdagent.core.search import Search, run
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import ID_FORMULA
from lamdagent.llm.chat import Chat, NoReply
from lamdagent.memories.reflection import Reflection
from lamdagent.memories.table import Table
from lamdagent.policies.agent.policy import Agent
from lamdagent.policies.evolution import Evolution
from lamdagent.policies.greedy import Greedy
from lamdagent.policies.random import Random
from lamdagent.policies.screen.policy import Screen
from lamdagent.policies.surrogate.policy import Surrogate
from lamdagent.policies.tpe import Tpe
from lamdagent.results.leaderboard import leaderboard
from lamdagent.study.changes import changes
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import mixtures, toy
from lamdagent.testing.fake_chat import FakeClient, fake_chat, obliging
from tests.study_file import STUDY, Load

__all__ = ["load"]

from tests.study_file import load

POLICIES: Mapping[str, Callable[[], Policy]] = {
    "agent": lambda: Agent(chat=fake_chat(FakeClient()), fallback=Random()),
    "evolution": Evolution,
    "greedy": Greedy,
    "random": Random,
    "screen": Screen,
    "surrogate": Surrogate,
    "tpe": Tpe,
}


def searched(journal: Journal, policy: Policy, budget: Budget, **more: Any) -> State:
    search = Search(
        journal=journal,
        action_types=toy.ACTION_TYPES,
        policy=policy,
        budget=budget,
        **{"memory": Table(), **more},
    )
    return run(search, toy.inline())


@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(POLICIES, 2)])
def test_any_policy_goes_on_where_another_stopped_and_each_trial_names_its_own(first: str, second: str) -> None:
    journal = MemoryJournal(*toy.first_events())
    searched(journal, POLICIES[first](), Budget(trials=3))
    state = searched(journal, POLICIES[second](), Budget(trials=6))
    chosen_by = {"screen": "surrogate"}  # where nothing mixes datasets
    wanted = [chosen_by.get(name, name) for name in (first, second)]
    assert [trial.choice.by for trial in state.trials] == [name for name in wanted for _ in range(3)]
    assert all(trial.outcome is not None for trial in state.trials)


@pytest.mark.parametrize("first", ["agent", "random", "surrogate"])
def test_screen_goes_on_with_looks_and_long_runs_where_others_began(first: str) -> None:
    journal = MemoryJournal(*mixtures.first_events(mixtures.CLEAN))
    for policy, trials in ((POLICIES[first](), 3), (Screen(), 12)):
        state = mixtures.search(policy, budget=Budget(trials=trials, train_rows=60_000), journal=journal)
    assert {trial.choice.by for trial in state.trials[:3]} == {first}
    assert {trial.choice.by for trial in state.trials[3:]} == {"screen"}


def test_notes_go_on_from_a_table_and_a_table_from_notes() -> None:
    journal = MemoryJournal(*toy.first_events())
    searched(journal, Random(), Budget(trials=2))
    chat = fake_chat(FakeClient())
    state = searched(journal, Random(), Budget(trials=4), memory=Reflection(chat=chat), chat=chat)
    assert "because" in state.memory
    state = searched(journal, Random(), Budget(trials=5))
    assert "Best models:" in state.memory


def test_a_cap_that_is_added_later_stops_the_search_also_below_what_is_spent() -> None:
    journal, client = MemoryJournal(*toy.first_events()), FakeClient(usd_per_token=1e-5)

    def agent(budget: Budget) -> State:
        chat = fake_chat(client, budget=budget)
        return searched(journal, Agent(chat=chat, fallback=Random()), budget, chat=chat)

    before = agent(Budget(trials=3))
    caps: dict[str, Any] = {"usd": 1e-4, "llm_tokens": 10, "hours": 1e-9, "trials": 2, "train_rows": 1, "target": -1.0}
    for cap, value in caps.items():
        state = agent(replace(Budget(trials=9), **{cap: value}))
        assert len(state.trials) == len(before.trials)
        assert state.stopped is not None
        assert state.stopped.reason == cap
    assert len(agent(Budget(trials=4)).trials) == 4


def test_who_chose_how_many_trials_is_shown_and_a_failure_costs_nothing() -> None:
    journal = MemoryJournal(*toy.first_events())
    searched(journal, Random(), Budget(trials=2))
    client = FakeClient(["no", "no", "no", NoReply("gone"), obliging], usd_per_token=1e-5)
    chat = fake_chat(client)
    state = searched(journal, Agent(chat=chat, fallback=Random()), Budget(trials=4), chat=chat)
    shown = leaderboard("toy", state, toy.toolkit().artifacts)
    assert "chosen by: random 2, random (fallback) 1, agent 1" in repr(shown.sections())
    assert not shown.unpriced
    assert shown.trials[3].usd


def test_calls_that_had_no_price_count_at_todays_where_a_cap_in_usd_comes_later() -> None:
    journal = MemoryJournal(*toy.first_events())

    def agent(client: FakeClient, budget: Budget) -> State:
        chat = fake_chat(client, budget=budget)
        return searched(journal, Agent(chat=chat, fallback=Random()), budget, chat=chat)

    before = agent(FakeClient(), Budget(trials=3))
    assert before.usd == 0.0
    cap = (before.tokens + 100) * 1e-5
    after = agent(FakeClient(usd_per_token=1e-5), Budget(trials=9, usd=cap))
    assert len(after.trials) == 3
    assert after.stopped is not None
    assert after.stopped.reason == "usd"


def test_answers_of_no_use_before_an_error_are_asked_for_again_once_the_model_is_mended() -> None:
    journal = MemoryJournal(*toy.first_events())

    def agent(client: FakeClient) -> State:
        chat = Chat(client, budget=Budget(), max_failures=3, sleep=lambda seconds: None)
        return searched(journal, Agent(chat=chat, fallback=Random()), Budget(trials=2), chat=chat)

    with pytest.raises(UserError, match="the last 3 answers of 'fake' could not be used"):
        agent(FakeClient(["no", "not so", "never"]))
    state = agent(FakeClient())
    assert [trial.choice.by for trial in state.trials] == ["agent", "agent"]


@pytest.mark.parametrize(
    "change",
    [
        "policy={kind: agent, model: local}",
        "policy={kind: agent, model: mine, base_url: 'http://127.0.0.1:1/v1', temperature: 1.0, output: tool}",
        "policy={kind: surrogate}",
        "memory={kind: table, best: 3}",
        "budget.trials=5",
        "budget.hours=1.5",
        "budget.usd=1.0",
        "budget.llm_tokens=1000",
        "budget.train_rows=1000",
        "budget.patience=3",
    ],
)
def test_policy_memory_and_budget_may_change_in_mid_study_and_the_journal_says_so(load: Load, change: str) -> None:
    began = State(config=load().dump(), id_formula=ID_FORMULA)
    (opened,) = changes(load(STUDY, change), began, [], [])
    after = reduce_events([opened])
    assert after.config == load(STUDY, change).dump() != began.config
    assert changes(load(STUDY, change), after, [], []) == []


JUDGED = STUDY.replace(
    "tasks:\n", "tasks:\n  - {task: chat, kind: judge, path: p.jsonl, judge: {model: mine, rubric: r.md}}\n"
)


@pytest.mark.parametrize(
    ("change", "free"),
    [
        ("timeout_s=9.0", True),
        ("answer_tokens=4000", True),
        ("attempts=5", True),
        ("max_failures=99", True),
        ("price={input: 1.0, output: 2.0}", True),
        ("base_url='http://127.0.0.1:1/v1'", True),
        ("model=other", False),
        ("temperature=1.0", False),
    ],
)
def test_how_a_judge_is_asked_may_change_in_mid_study_and_who_judges_may_not(
    load: Load, change: str, free: bool
) -> None:
    began = State(config=load(JUDGED).dump(), id_formula=ID_FORMULA)
    other = load(JUDGED, f"tasks.chat.judge.{change}")
    if free:
        assert len(changes(other, began, [], [])) == 1
    else:
        with pytest.raises(JournalError, match=r"tasks\.chat\.judge\."):
            changes(other, began, [], [])
