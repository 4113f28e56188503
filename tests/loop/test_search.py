"""Ask, tell and run: what a search keeps of its trials, and what becomes of those that fail."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lamdagent.core.budget import Budget
from lamdagent.core.errors import ContractViolation, UserError
from lamdagent.core.events import ObjectAdded, Told
from lamdagent.core.jobs import Job
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.pipeline import pipeline_of
from lamdagent.core.protocols import Policy
from lamdagent.core.search import job_of, run
from lamdagent.core.spent import Spent
from lamdagent.core.state import reduce_events
from lamdagent.core.types import Choice, Failed, Made, Object, Outcome
from lamdagent.evaluation.evaluator import Evaluation
from lamdagent.policies.random import Random
from lamdagent.runners.inline import Inline
from lamdagent.runners.job import work
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy
from lamdagent.testing.fake_chat import FakeClient, fake_chat
from tests.loop.by_hand import EAST, WILD, Chooses, choice, done, opened


def test_ask_and_tell_by_hand_grow_the_pool() -> None:
    search = opened(policy=Chooses(lambda state, space, n: [choice(space, **EAST)]))
    (trial,) = search.ask()
    assert search.state.running == (trial,)
    told = search.tell(trial.number, done(job_of(trial, search.state)))
    assert isinstance(told.outcome, Made)
    assert not search.state.running
    assert search.state.pool[trial.choice.action.id].meta["x"] == [0.5, 0.0]
    assert search.state.memories == {0: search.state.memory}
    assert "1 trial ended" in search.state.memory


def test_what_is_told_is_in_the_journal_before_anyone_sees_it() -> None:
    journal = MemoryJournal()
    search = opened(journal)
    (trial,) = search.ask()
    assert reduce_events(journal.read()) == search.state
    search.tell(trial.number, done(job_of(trial, search.state)))
    assert reduce_events(journal.read()) == search.state


@pytest.mark.parametrize("number", [-1, 1, 99])
def test_a_trial_that_does_not_run_cannot_be_told(number: int) -> None:
    search = opened()
    search.ask()
    with pytest.raises(ContractViolation, match=f"trial {number}, which is not running"):
        search.tell(number, Failed(cause="error", message="…"))


def test_a_trial_cannot_be_told_twice() -> None:
    search = opened()
    (trial,) = search.ask()
    search.tell(trial.number, Failed(cause="oom", message="…"))
    with pytest.raises(ContractViolation, match="not running"):
        search.tell(trial.number, Failed(cause="oom", message="…"))


def test_a_made_object_that_is_not_of_the_trial_is_refused() -> None:
    search = opened()
    (trial,) = search.ask()
    stranger = toy.point("stranger", (1.0, 1.0))
    with pytest.raises(ContractViolation, match=f"trial 0 made {stranger.id}"):
        search.tell(trial.number, Made(object=stranger, scores=()))
    assert search.state.running == (trial,)


def test_made_models_are_named_by_their_trial() -> None:
    state = toy.grown(12)
    for trial in state.trials:
        if isinstance(trial.outcome, Made):
            assert trial.outcome.object.name == state.pool[trial.choice.action.id].name == f"model-{trial.number}"
            assert state.trial_of(trial.outcome.object.id) == trial


def test_the_objects_of_a_job_are_its_inputs_the_leader_the_datasets_of_the_pool_and_all_these_were_made_of() -> None:
    journal = MemoryJournal()
    search = opened(journal)
    state = run(search, Inline(toy.toolkit()))
    merge = next(trial for trial in state.trials if trial.choice.action.type == "mean")
    job = job_of(merge, state)
    base = next(obj for obj in state.of_kind("model") if obj.name == "base")
    leader = state.ranked()[0][0]
    datasets = [obj.id for obj in state.of_kind("dataset")]  # none of these is made a second time
    taken = {*merge.choice.action.object_ids, base.id, leader.id, *datasets}
    made_of = {node.object.id for i in taken for node in pipeline_of(state, i).nodes()}
    assert taken <= {obj.id for obj in job.objects} == made_of
    assert set(job.recipes) == {i for i in made_of if state.trial_of(i) is not None}, "what is gone can be made again"


def test_a_chat_is_bound_to_the_search_and_what_it_says_is_journalled() -> None:
    journal, chat = MemoryJournal(), fake_chat(FakeClient())
    search = opened(journal, chat=chat)
    call = LLMCall(key="k", trial=0, purpose="type", model="m", system="", prompt="", tokens_in=3, usd=0.5)
    assert chat._log is search
    search.record(call)
    assert search.state.llm_calls == (call,)
    assert search.spent == Spent(tokens=3, usd=0.5)
    assert reduce_events(journal.read()) == search.state


def test_a_failing_base_model_stops_the_search_and_is_tried_again_by_the_next_run() -> None:
    class Unscorable(toy.ToyTask):
        def values(self, model: Object, split: Any, ctx: Any, n: int | None = None) -> Sequence[float]:
            raise ValueError("no such weights")

    journal, broken = (
        MemoryJournal(),
        replace(toy.toolkit(), evaluation=Evaluation(tasks=[Unscorable("near-east", (1.5, 0.5))])),
    )
    with pytest.raises(UserError, match=r"model 'base' \(base\) could not be scored \(error\): ValueError: no such"):
        run(opened(journal), Inline(broken))
    assert reduce_events(journal.read()).trials == ()
    assert len(run(opened(journal), Inline(toy.toolkit())).trials) == 6


def test_a_model_that_was_brought_with_its_base_is_scored_after_it_and_against_it() -> None:
    journal, base = MemoryJournal(), toy.point("base", toy.STARTS["base"])
    tuned = toy.point("tuned", (0.5, 0.5), root=base.id)
    first, *objects = toy.first_events()
    journal.append(first, ObjectAdded(object=tuned), *objects)  # a study file may name it first
    state = run(opened(journal), Inline(toy.toolkit()))
    assert list(state.scores)[:2] == [base.id, tuned.id]
    assert all(score.gain is not None for score in state.scores[tuned.id])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_not_finite_fails_the_trial_and_names_the_task(value: float) -> None:
    class Odd(toy.ToyTask):
        def values(self, model: Object, split: Any, ctx: Any, n: int | None = None) -> Sequence[float]:
            values = super().values(model, split, ctx, n)
            return values if model.made_by is None else [*values[1:], value]

    toolkit = replace(toy.toolkit(), evaluation=Evaluation(tasks=[Odd("near-east", (1.5, 0.5)), toy.TASKS[1]]))
    state = run(opened(budget=Budget(trials=1)), Inline(toolkit))
    outcome = state.trials[0].outcome
    assert isinstance(outcome, Failed)
    assert outcome.cause == "error"
    assert "task 'near-east' gave a score that is not finite" in outcome.message


def test_a_phase_without_a_name_belongs_to_the_one_before() -> None:
    class Silent(toy.ToyStep):
        def execute(self, inputs: Any, seed: int, ctx: Any) -> Mapping[str, Any]:
            ctx.progress("", 1, 2)
            return super().execute(inputs, seed, ctx)

    search = opened(policy=Chooses(lambda state, space, n: [choice(space, **EAST)]))
    (trial,) = search.ask()
    outcome = done(job_of(trial, search.state), toy.toolkit({"step": Silent()}))
    assert isinstance(outcome, Made)
    assert set(outcome.cost.phases_s) == {"load", "train", "write"}


def test_a_failure_is_reported_whole_to_who_asks_and_printed_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    search = opened(policy=Chooses(lambda state, space, n: [choice(space, **WILD)]))
    (trial,) = search.ask()
    reported: list[Exception] = []
    work(job_of(trial, search.state), toy.toolkit(), lambda progress: None, reported.append)
    assert [str(error)[:9] for error in reported] == ["the point"]
    assert capfd.readouterr() == ("", "")


def test_a_failed_trial_is_remembered_and_never_chosen_again() -> None:
    search = opened(policy=Chooses(lambda state, space, n: [choice(space, **WILD)]))
    (trial,) = search.ask()
    told = search.tell(trial.number, done(job_of(trial, search.state)))
    assert isinstance(told.outcome, Failed)
    assert "1 of them failed" in search.state.memory
    assert search.space.why_invalid(trial.choice.action) == "already tried: it failed as trial 0"


class Scrambled(Inline):
    """Ends its jobs in any order, sometimes several at once, sometimes none."""

    def __init__(self, *, capacity: int, seed: int = 0) -> None:
        super().__init__(toy.toolkit(), capacity=capacity)
        self._rng = random.Random(seed)
        self._jobs: list[Job] = []
        self.most_at_once = 0

    def submit(self, job: Job) -> None:
        self._jobs.append(job)
        self.most_at_once = max(self.most_at_once, len(self._jobs))

    def wait(self, timeout_s: float | None = None) -> list[tuple[int | str, Outcome]]:
        self._rng.shuffle(self._jobs)
        ended = [self._jobs.pop() for _ in range(self._rng.randint(0, len(self._jobs)))]
        return [(job.key, done(job, self._toolkit)) for job in ended]


@pytest.mark.parametrize("seed", range(3))
def test_slots_are_kept_busy_and_jobs_may_end_in_any_order(seed: int) -> None:
    journal, runner = MemoryJournal(), Scrambled(capacity=2, seed=seed)
    state = run(opened(journal, budget=Budget(trials=15)), runner)
    assert runner.most_at_once == 2
    assert [trial.number for trial in state.trials] == list(range(15))
    assert all(trial.outcome is not None for trial in state.trials)
    assert set(state.memories) == set(range(15))
    assert state == reduce_events(journal.read())
    told = [event.number for event in journal.read() if isinstance(event, Told)]
    assert told != sorted(told), "the order was not tested"


def test_a_memory_is_told_of_a_trial_that_a_kill_kept_from_it() -> None:
    journal = MemoryJournal()
    search = opened(journal)
    (trial,) = search.ask()
    outcome = done(job_of(trial, search.state))
    assert isinstance(outcome, Made)
    journal.append(Told(number=0, outcome=outcome))
    reopened = opened(journal)
    assert set(reopened.state.memories) == {0}
    assert "1 trial ended" in reopened.state.memory


def policies() -> Mapping[str, Policy]:
    return {
        "random": Random(),
        "first": Chooses(
            lambda state, space, n: [Choice(action=a, reason="", by="first") for a in itertools.islice(space, n)]
        ),
    }


@pytest.mark.parametrize("name", ["random", "first"])
def test_two_searches_with_one_seed_are_the_same_search(name: str) -> None:
    first, second = (toy.search(policies()[name], trials=10, seed=3) for _ in range(2))
    assert toy.without_costs(first) == toy.without_costs(second)
