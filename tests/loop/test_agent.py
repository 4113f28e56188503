"""The language model in the loop: two questions and a note per trial, and nothing it says can break a search."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, Literal

import pytest

from lamdagent.core.budget import Budget
from lamdagent.core.errors import UserError
from lamdagent.core.events import LLMCalled, ObjectAdded
from lamdagent.core.evidence import COMPUTED, collapsed, repeats, told_notes
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.plan import plan_of_trials
from lamdagent.core.search import Search, run
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.llm.chat import NoReply
from lamdagent.llm.usage import estimated_tokens
from lamdagent.memories.reflection import Reflection
from lamdagent.memories.table import Table
from lamdagent.policies.agent.policy import Agent
from lamdagent.policies.agent.schemas import PLAN_CHARS, REASON_CHARS
from lamdagent.policies.random import Random
from lamdagent.policies.replay import Replay
from lamdagent.policies.surrogate.policy import Surrogate
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy
from lamdagent.testing.fake_chat import FakeClient, Line, fake_chat, obliging
from tests.many_models import many_models

from .test_killed import Killed, Mortal


def opened(
    client: FakeClient,
    journal: Any = None,
    *,
    budget: Budget = Budget(trials=5),
    **memory: Any,
) -> Search:
    """A toy search whose policy and memory ask a fake model."""
    journal = journal if journal is not None else MemoryJournal()
    toy.open_toy(journal)
    chat = fake_chat(client, budget=budget)
    return Search(
        journal=journal,
        action_types=toy.ACTION_TYPES,
        policy=Agent(chat=chat, fallback=Random()),
        memory=Reflection(chat=chat, **memory),
        budget=budget,
        chat=chat,
    )


def searched(client: FakeClient, **options: Any) -> State:
    return run(opened(client, **options), toy.inline())


def purposes(state: State) -> list[str]:
    """What was asked for, a question that was asked again counted once."""
    return [purpose for purpose, _ in itertools.groupby(call.purpose for call in state.llm_calls)]


def test_every_trial_asks_for_a_type_then_for_all_objects_then_for_notes_but_for_a_type_that_is_the_only_one() -> None:
    state = searched(FakeClient())
    assert len(state.trials) == 5
    assert purposes(state) == ["objects", "memory", *["type", "objects", "memory"] * 4]
    assert all(trial.choice.by == "agent" for trial in state.trials)


def test_answers_are_bound_to_what_the_menu_offers() -> None:
    client = FakeClient()
    searched(client, budget=Budget(trials=2))
    objects_schema, _, type_schema, *_ = client.schemas
    assert type_schema["properties"]["type"]["enum"] == ["step", "mean"]
    assert set(objects_schema["properties"]["dataset"]["enum"]) == set(toy.DATASETS)
    assert objects_schema["properties"]["reason"]["maxLength"] == REASON_CHARS
    assert objects_schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("", "it was empty"),
        ("I would rather not.", "it was not JSON"),
        ('{"reason": "r", "type": "stepp"}', "type: Input should be 'step' or 'mean'"),
        ('{"type": "step"}', "reason: Field required"),
        ('{"reason": "r", "type": "step", "more": 1}', "more: Extra inputs are not permitted"),
        ("[]", "the answer: "),
    ],
)
def test_an_answer_that_cannot_be_used_is_asked_for_again_with_the_reason(answer: str, told: str) -> None:
    client = FakeClient([obliging, obliging, answer])
    state = searched(client, budget=Budget(trials=2))
    assert told in client.asked[3][1]
    assert "Your last answer could not be used" in client.asked[3][1]
    assert state.trials[1].choice.by == "agent"
    assert told in (state.llm_calls[2].error or "")


def test_an_action_that_was_done_before_is_refused_in_words_the_model_can_act_on() -> None:
    def same(prompt: str, schema: Any) -> str:
        return json.dumps({"reason": "again", "model": "M0", "dataset": "east", "hyperparameters": "slow"})

    step = '{"reason": "r", "plan": "", "type": "step"}'
    client = FakeClient([same, obliging, step, same])
    state = searched(client, budget=Budget(trials=2))
    assert "already tried" in client.asked[4][1]
    assert state.trials[1].choice.by == "agent"


def test_where_no_answer_can_be_used_the_fallback_chooses_and_the_trial_says_so() -> None:
    state = searched(FakeClient(["no", "no", "no"]), budget=Budget(trials=1))
    assert state.trials[0].choice.by == "random (fallback)"
    assert "no answer of fake could be used" in state.trials[0].choice.reason
    assert [e.answer for e in state.llm_calls[:3]] == ["no"] * 3


def test_a_server_that_is_down_is_asked_again_after_a_growing_wait() -> None:
    waits: list[float] = []
    client = FakeClient([NoReply("HTTP 503"), NoReply("timed out")])
    search = opened(client, budget=Budget(trials=1))
    search._policy._chat._sleep = waits.append  # type: ignore[attr-defined]
    state = run(search, toy.inline())
    assert waits == [1.0, 2.0]
    assert [e.error for e in state.llm_calls[:2]] == ["HTTP 503", "timed out"]
    assert state.trials[0].choice.by == "agent"


@pytest.mark.parametrize("line", [IndexError("list index out of range"), OverflowError("year 10000"), None, 7])
def test_whatever_a_client_raises_or_returns_is_a_failure_that_may_pass(line: Any) -> None:
    class Odd(FakeClient):
        def complete(self, **asked: Any) -> Any:
            if len(self.asked) != 2:
                return super().complete(**asked)
            self.asked.append(("", ""))
            if isinstance(line, Exception):
                raise line
            return line

    state = searched(Odd(), budget=Budget(trials=2))
    assert [trial.choice.by for trial in state.trials] == ["agent", "agent"]
    assert type(line).__name__ in (state.llm_calls[2].error or "") or "attribute" in (state.llm_calls[2].error or "")


def test_a_provider_that_says_when_to_come_back_is_left_alone_so_long_a_minute_at_most() -> None:
    waits: list[float] = []
    search = opened(FakeClient([NoReply("429", wait_s=7.5), NoReply("429", wait_s=3600)]), budget=Budget(trials=1))
    search._policy._chat._sleep = waits.append  # type: ignore[attr-defined]
    run(search, toy.inline())
    assert waits == [7.5, 60.0]


def test_ten_failures_in_a_row_pause_the_study_ready_to_resume() -> None:
    journal = MemoryJournal()
    with pytest.raises(UserError, match=r"last 10 answers of 'fake'.*paused.*Nothing is lost"):
        run(opened(FakeClient([obliging] * 2 + [NoReply("down")] * 50), journal), toy.inline())
    state = run(opened(FakeClient(), journal), toy.inline())
    assert len(state.trials) == 5
    assert all(trial.outcome is not None for trial in state.trials)


def test_a_search_killed_after_any_append_never_asks_what_was_answered_before() -> None:
    whole_client = FakeClient()
    whole, at = searched(whole_client), 0
    while True:
        journal, clients = MemoryJournal(), [FakeClient(), FakeClient()]
        toy.open_toy(journal)
        try:
            run(opened(clients[0], Mortal(journal, at=at, written=True)), toy.inline())
            killed = False
        except Killed:
            killed = True
        state = run(opened(clients[1], journal), toy.inline())
        assert toy.without_costs(state) == toy.without_costs(whole)
        assert [q for c in clients for q in c.asked] == whole_client.asked
        if not killed:
            return
        at += 1


def test_tokens_stop_the_search_before_the_call_that_would_pass_them_also_after_a_restart() -> None:
    journal, budget = MemoryJournal(), Budget(trials=50, llm_tokens=9000)
    search = opened(FakeClient(), journal, budget=budget)
    state = run(search, toy.inline())
    assert 0 < len(state.trials) < 50
    assert state.tokens <= 9000
    assert state.stopped is not None
    assert state.stopped.reason == "llm_tokens"
    assert "budget.llm_tokens" in state.stopped.message
    again = FakeClient()
    run(opened(again, journal, budget=budget), toy.inline())
    assert again.asked == []


def test_money_stops_the_search_and_needs_a_price() -> None:
    state = searched(FakeClient(usd_per_token=1e-5), budget=Budget(trials=50, usd=0.1))
    assert 0 < len(state.trials) < 50
    assert 0 < state.usd <= 0.1
    with pytest.raises(UserError, match=r"no price is known for 'fake'.*policy\.price"):
        fake_chat(FakeClient(), budget=Budget(usd=1))


def test_notes_replace_the_old_ones_and_stand_in_the_next_prompts() -> None:
    answers: list[Line] = [obliging, '{"notes": "East helps."}']
    client = FakeClient(answers)
    state = searched(client, budget=Budget(trials=2))
    assert state.memories[0].startswith("East helps.\nPlanned at trial 1: because ")
    assert ["East helps." in prompt for _, prompt in client.asked[2:5]] == [True, False, True]
    assert "East helps." not in state.memories[1]


def test_evidence_is_computed_and_can_be_left_out() -> None:
    with_it, without = searched(FakeClient()), searched(FakeClient(), evidence=False)
    assert "Mean change of each task" in with_it.memory
    assert COMPUTED not in without.memory


def test_notes_that_cannot_be_had_leave_the_old_ones_and_add_the_result() -> None:
    client = FakeClient([obliging, '{"notes": "East helps."}', obliging, obliging, "", "", ""])
    state = searched(client, budget=Budget(trials=2))
    notes = told_notes(state.memories[1])
    assert notes.startswith("East helps.\nPlanned at trial 1: because ")
    assert "\nNot reflected on: " in notes


def test_a_reason_that_is_too_long_is_cut_and_kept_whole_in_the_transcript() -> None:
    long = json.dumps({"reason": "x" * 2000, "plan": "y" * 2000, "type": "step"})
    state = searched(FakeClient([obliging, obliging, long]), budget=Budget(trials=2))
    assert state.llm_calls[2].answer == long
    assert len(state.trials[1].choice.reason) < 2 * REASON_CHARS + 10
    assert state.trials[1].choice.plan == "y" * PLAN_CHARS


def test_models_stand_under_neutral_labels_best_first() -> None:
    client = FakeClient()
    state = searched(client, budget=Budget(trials=12))
    objects = [prompt for (_, prompt), e in zip(client.asked, state.llm_calls, strict=True) if e.purpose == "objects"]
    assert not any(name in prompt for prompt in objects for name in ("- base", "model-"))
    listed = [line for line in objects[-1].splitlines() if line.startswith("- M") and " ± " in line]
    values = [float(line.split(": ")[1].split(" ")[0]) for line in listed]
    assert len(values) > 5
    assert values == sorted(values, reverse=True)


def test_a_second_slot_is_filled_knowing_of_the_first() -> None:
    client = FakeClient()
    search = opened(client)
    (base,) = search.state.unscored
    runner = toy.inline()
    runner.submit(job_of_base(base))
    [(_, outcome)] = runner.wait()
    search.record_baseline(base, outcome)
    first, second = search.ask(2)
    assert first.choice.action.id != second.choice.action.id
    assert client.asked[0][1] != client.asked[1][1]


def job_of_base(base: Any) -> Any:
    from lamdagent.core.jobs import Job

    return Job(key=base.name, action=None, objects=(base,))


@pytest.mark.parametrize("questions", [1, 2])
def test_prompts_stay_bounded_at_a_thousand_trials_and_say_what_is_left_out(questions: Literal[1, 2]) -> None:
    state, client = many_models(1000), FakeClient()
    agent = Agent(chat=fake_chat(client), fallback=Random(), questions=questions)
    (choice,) = agent.select(state, ActionSpace(state, toy.ACTION_TYPES), 1)
    assert ActionSpace(state, toy.ACTION_TYPES).why_invalid(choice.action) is None
    assert f"(24 of {len(state.of_kind('model'))} listed)" in client.asked[-1][1]
    reflection = Reflection(chat=fake_chat(client))
    assert estimated_tokens(reflection.update(state, state.trials[-1])) < 2_000
    assert max(estimated_tokens(system, prompt) for system, prompt in client.asked) < 6_000


def test_repeats_without_gain_are_told_with_their_figures_and_counted() -> None:
    def stuck(prompt: str, schema: Any) -> str:
        properties = schema.model_json_schema()["properties"]
        if "dataset" not in properties:
            return obliging(prompt, schema) if "notes" in properties else '{"reason": "r", "type": "step"}'
        models = properties["model"].get("enum") or [properties["model"]["const"]]
        newest = max(models, key=lambda name: int(name[1:]))
        return json.dumps({"reason": "r", "model": newest, "dataset": "south-west", "hyperparameters": "slow"})

    client = FakeClient([stuck] * 100)
    state = searched(client, budget=Budget(trials=8))
    assert repeats(state) is not None
    assert "all of the pattern step(south-west, slow)" in (repeats(state) or "")
    assert any("# Warning" in prompt for _, prompt in client.asked)
    assert collapsed(state) == 3


def test_a_users_own_prompt_replaces_the_shipped_one_and_its_mistakes_are_told(tmp_path: Path) -> None:
    (tmp_path / "type.md").write_text("Pick a type. {{ standing }}")
    client, state = FakeClient(), toy.grown(2)
    space = ActionSpace(state, toy.ACTION_TYPES)
    Agent(chat=fake_chat(client), fallback=Random(), prompts=tmp_path).select(state, space, 1)
    assert client.asked[0][1].startswith("Pick a type. 2 trials so far; trial 3 ")
    (tmp_path / "type.md").write_text("{{ standng }}")
    with pytest.raises(UserError, match=r"type\.md.*standng.*It may use: memory, offers, standing"):
        Agent(chat=fake_chat(client), fallback=Random(), prompts=tmp_path).select(state, space, 1)


def test_a_replay_repeats_the_choices_of_another_study() -> None:
    past = searched(FakeClient(), budget=Budget(trials=8))
    again = toy.search(Replay(plan=plan_of_trials(past)), trials=20)
    assert [t.choice.action for t in again.trials] == [t.choice.action for t in past.trials]
    other_seed = toy.search(Replay(plan=plan_of_trials(past)), trials=20, seed=9)
    assert [t.choice.action.type for t in other_seed.trials] == [t.choice.action.type for t in past.trials]


def test_what_was_said_is_kept_with_its_trial_and_a_failed_call_costs_nothing() -> None:
    state = searched(FakeClient([NoReply("down")]), budget=Budget(trials=2))
    first = state.llm_calls[0]
    assert (first.trial, first.purpose, first.answer, first.tokens_in) == (0, "objects", None, 0)
    assert {e.trial for e in state.llm_calls} == {0, 1}
    assert state.tokens == sum(e.tokens_in + e.tokens_out for e in state.llm_calls)


def test_an_agent_whose_menu_is_empty_asks_nothing() -> None:
    client = FakeClient()
    agent = Agent(chat=fake_chat(client), fallback=Random())
    empty = State(goals=toy.GOALS)
    assert list(agent.select(empty, ActionSpace(empty, toy.ACTION_TYPES), 1)) == []
    assert client.asked == []


def test_a_table_memory_goes_with_an_agent_too() -> None:
    journal = MemoryJournal()
    toy.open_toy(journal)
    chat = fake_chat(FakeClient())
    search = Search(
        journal=journal, action_types=toy.ACTION_TYPES, policy=Agent(chat=chat, fallback=Random()),
        memory=Table(), budget=Budget(trials=3), chat=chat,
    )  # fmt: skip
    assert set(purposes(run(search, toy.inline()))) <= {"type", "objects"}
    assert reduce_events(journal.read()) == search.state


def test_an_answer_to_another_question_is_not_taken_for_this_one() -> None:
    journal = MemoryJournal()
    toy.open_toy(journal)
    stranger = LLMCall(key="elsewhere", trial=0, purpose="type", model="fake", system="", prompt="", answer="{}")
    journal.append(LLMCalled(call=stranger))
    client = FakeClient()
    run(opened(client, journal, budget=Budget(trials=1)), toy.inline())
    assert len(client.asked) == 2


def with_shortlist(client: FakeClient) -> Search:
    journal = MemoryJournal()
    toy.open_toy(journal)
    chat = fake_chat(client)
    agent = Agent(chat=chat, fallback=Random(), shortlist=Surrogate())
    return Search(
        journal=journal, action_types=toy.ACTION_TYPES, policy=agent, memory=Table(), budget=Budget(trials=6), chat=chat
    )


def test_with_a_shortlist_one_question_a_trial_chooses_among_predictions() -> None:
    client = FakeClient()
    state = run(with_shortlist(client), toy.inline())
    assert purposes(state) == ["candidate"] * 1 and len(state.llm_calls) == len(state.trials) == 6
    assert all(trial.choice.by == "agent" and " | predicted " in trial.choice.reason for trial in state.trials)
    assert "predicted" in client.asked[-1][1] and "- C1: " in client.asked[-1][1]


def test_a_candidate_that_is_not_listed_is_asked_for_again_and_then_the_fallback_chooses() -> None:
    nonsense = json.dumps({"reason": "why not", "candidate": "C99"})
    state = run(with_shortlist(FakeClient([nonsense] * 3)), toy.inline())
    assert state.trials[0].choice.by == "random (fallback)" and state.trials[1].choice.by == "agent"
    assert "C99" in (state.llm_calls[0].error or "")


def test_the_menu_does_not_offer_what_a_slot_does_not_accept() -> None:
    client, state = FakeClient(), toy.grown(1)
    nowhere = ObjectAdded(object=toy.vector("nowhere", (0.0, 0.0)))
    state = reduce_events([nowhere], state)
    space = ActionSpace(state, {"step": toy.ToyStep()})
    Agent(chat=fake_chat(client), fallback=Random()).select(state, space, 1)
    ((_, objects),) = client.asked
    assert "- north: " in objects
    assert "- nowhere: " not in objects
