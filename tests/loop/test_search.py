from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lamdagent.core.errors import BudgetSpent, ContractViolation, JournalError, UserError
from lamdagent.core.events import Event, ObjectAdded, SearchStopped, TimeSpent, Told
from lamdagent.core.observers import Observers
from lamdagent.core.protocols import Policy
from lamdagent.core.search import Search, job_of, run
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Budget, Choice, Failed, Job, LLMCall, Made, Object, Outcome, Progress
from lamdagent.evaluation.evaluator import Evaluation
from lamdagent.memories.table import Table
from lamdagent.policies.random import Random
from lamdagent.runners.inline import Inline
from lamdagent.runners.job import Toolkit, work
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy


def opened(journal: MemoryJournal | None = None, **parts: Any) -> Search:
    journal = journal or MemoryJournal()
    toy.open_toy(journal)
    given: dict[str, Any] = {
        "action_types": toy.ACTION_TYPES,
        "policy": Random(),
        "memory": Table(),
        "budget": Budget(trials=6),
    }
    return Search(journal=journal, **{**given, **parts})


def done(job: Job, toolkit: Toolkit | None = None) -> Outcome:
    return work(job, toolkit or toy.toolkit(), lambda progress: None)


class Chooses:
    """A policy that hands out whatever it was made with."""

    name = "by hand"

    def __init__(self, choose: Callable[[State, ActionSpace, int], Sequence[Choice]]) -> None:
        self.select = choose


def choice(space: ActionSpace, type: str = "step", **names: str) -> Choice:
    """An action by the names of its objects."""
    ids = {obj.name: obj.id for slot in space.options(type).values() for obj in slot}
    inputs = {slot: [ids[name] for name in text.split("+")] for slot, text in names.items()}
    return Choice(action=space.action(type, inputs), reason="told to", by="by hand")


EAST = {"model": "base", "dataset": "east", "hyperparameters": "slow"}
NORTH = {**EAST, "dataset": "north"}
WILD = {**EAST, "hyperparameters": "wild"}


def test_ask_and_tell_by_hand_grow_the_pool() -> None:
    search = opened(policy=Chooses(lambda state, space, n: [choice(space, **EAST)]))
    (trial,) = search.ask()
    assert search.state.running == (trial,)
    told = search.tell(trial.number, done(job_of(trial, search.state)))
    assert isinstance(told.outcome, Made)
    assert search.state.running == ()
    assert search.state.pool[trial.choice.action.id].meta["x"] == [0.5, 0.0]
    assert search.state.memories == {0: search.state.memory}
    assert "1 trials ended" in search.state.memory


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


def test_the_objects_of_a_job_are_its_inputs_the_leader_and_their_base() -> None:
    journal = MemoryJournal()
    search = opened(journal)
    state = run(search, Inline(toy.toolkit()))
    merge = next(trial for trial in state.trials if trial.choice.action.type == "mean")
    job = job_of(merge, state)
    base = next(obj for obj in state.of_kind("model") if obj.name == "base")
    leader = state.ranked()[0][0]
    assert {obj.id for obj in job.objects} == {*merge.choice.action.object_ids, base.id, leader.id}


def test_a_budget_of_trials_counts_over_restarts() -> None:
    journal = MemoryJournal()
    for trials, expected in ((3, 3), (3, 3), (5, 5), (2, 5)):
        state = run(opened(journal, budget=Budget(trials=trials)), Inline(toy.toolkit()))
        assert len(state.trials) == expected


def test_a_budget_of_trials_is_not_exceeded_by_slots() -> None:
    state = run(opened(budget=Budget(trials=5)), Inline(toy.toolkit(), slots=4))
    assert len(state.trials) == 5
    assert state.running == ()


def test_a_budget_of_hours_counts_what_earlier_runs_worked() -> None:
    journal = MemoryJournal()
    toy.open_toy(journal)
    journal.append(TimeSpent(wall_s=1800.0), TimeSpent(wall_s=1799.0))
    search = opened(journal, budget=Budget(hours=1.0))
    assert search.trials_left > 0
    search.record_time(2.0)
    assert search.trials_left == 0
    assert search.ask() == ()
    assert opened(journal, budget=Budget(hours=1.0)).trials_left == 0
    assert opened(journal, budget=Budget(hours=1.1)).trials_left > 0


def test_a_policy_that_may_not_spend_more_stops_the_search_and_says_why() -> None:
    def choose(state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        if state.trials:
            raise BudgetSpent("usd", "budget.usd: 0.9 of 1 are spent")
        return [choice(space, **EAST)]

    journal = MemoryJournal()
    search = opened(journal, policy=Chooses(choose))
    state = run(search, Inline(toy.toolkit()))
    assert state.stopped == SearchStopped(reason="usd", message="budget.usd: 0.9 of 1 are spent")
    assert [type(trial.outcome) for trial in state.trials] == [Made]
    assert len(run(opened(journal), Inline(toy.toolkit())).trials) == 6


def test_a_chat_is_bound_to_the_state_and_what_it_says_is_journalled() -> None:
    class Talk:
        def bind(self, state: Callable[[], State], record: Callable[[LLMCall], None]) -> None:
            self.state, self.record = state, record

    journal, chat = MemoryJournal(), Talk()
    search = opened(journal, chat=chat)
    call = LLMCall(key="k", trial=0, purpose="type", model="m", system="", prompt="", tokens_in=3, usd=0.5)
    chat.record(call)
    assert chat.state() is search.state
    assert search.state.llm_calls == (call,)
    assert reduce_events(journal.read()) == search.state


def test_trials_that_run_when_the_hours_are_up_are_still_told() -> None:
    journal = MemoryJournal()
    (trial,) = opened(journal).ask()
    journal.append(TimeSpent(wall_s=3600.0))
    state = run(opened(journal, budget=Budget(hours=1.0)), Inline(toy.toolkit()))
    assert len(state.trials) == 1
    assert state.trials[trial.number].outcome is not None
    assert state.stopped == SearchStopped(reason="hours", message="budget.hours: all 1 are spent")


def test_a_run_journals_the_time_it_worked() -> None:
    state = run(opened(), Inline(toy.toolkit()))
    assert 0 < state.wall_s < 60


def test_a_search_without_bounds_ends_where_the_menu_does() -> None:
    kinds = {"model": toy.point("base", (0.0, 0.0)), "dataset": toy.vector("east", (1.0, 0.0))}
    journal = MemoryJournal(*(ObjectAdded(object=obj) for obj in (*kinds.values(), toy.rate("wild", 4.0))))
    search = opened(journal, budget=Budget())
    state = run(search, Inline(toy.toolkit()))
    assert [type(trial.outcome) for trial in state.trials] == [Failed]
    assert search.ask(3) == ()


def test_the_time_limit_is_the_only_bound_without_trials() -> None:
    assert opened(budget=Budget()).trials_left > 1_000_000


BREACHES: dict[str, tuple[Callable[[State, ActionSpace, int], Sequence[Choice]], str]] = {
    "an action twice": (lambda state, space, n: [choice(space, **EAST)] * 2, "twice"),
    "an unknown type": (
        lambda state, space, n: [replace(c := choice(space, **EAST), action=replace(c.action, type="stepp"))],
        "Did you mean 'step'",
    ),
    "an object that is not there": (
        lambda state, space, n: [
            replace(c := choice(space, **EAST), action=space.action("step", {**c.action.inputs, "model": ["m"]}))
        ],
        "not m",
    ),
    "what was tried before": (lambda state, space, n: [state.trials[0].choice], "already tried"),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_policy_that_breaks_its_contract_is_named_and_nothing_is_begun(breach: str) -> None:
    journal = MemoryJournal()
    opened(journal, policy=Chooses(lambda state, space, n: [choice(space, **WILD)])).ask()
    choose, words = BREACHES[breach]
    search = opened(journal, policy=Chooses(choose))
    before = list(journal.read())
    with pytest.raises(ContractViolation, match="policy 'by hand' chose what cannot be done") as caught:
        search.ask(2)
    assert words in str(caught.value)
    assert list(journal.read()) == before


def test_a_policy_that_chooses_more_than_it_was_asked_for_breaks_its_contract() -> None:
    search = opened(policy=Chooses(lambda state, space, n: [choice(space, **EAST), choice(space, **NORTH)]))
    with pytest.raises(ContractViolation, match="policy 'by hand' was asked for 1 choices and made 2"):
        search.ask(1)
    assert search.state.trials == ()


def test_the_same_merge_in_another_order_is_refused() -> None:
    state = toy.grown(1)
    space = ActionSpace(state, toy.ACTION_TYPES)
    merge = choice(space, "mean", models="base+model-0").action
    turned = replace(merge, inputs={"models": merge.inputs["models"][::-1]})
    assert space.why_invalid(merge) is None
    assert space.why_invalid(turned) is not None


@pytest.mark.parametrize("change", [{"version": 9}, {"seed": 9}])
def test_an_action_of_another_version_or_seed_is_refused(change: dict[str, int]) -> None:
    space = ActionSpace(toy.grown(0), toy.ACTION_TYPES)
    assert space.why_invalid(replace(choice(space, **EAST).action, **change)) is not None


def test_a_policy_may_choose_nothing_and_the_search_ends() -> None:
    state = run(opened(policy=Chooses(lambda state, space, n: [])), Inline(toy.toolkit()))
    assert state.trials == ()


def test_a_failing_base_model_stops_the_search_and_is_tried_again_by_the_next_run() -> None:
    class Unscorable:
        name: str = "near-east"
        ids: Mapping[Any, str] = {"validation": "broken"}

        def values(self, model: Object, split: Any, ctx: Any, n: int | None = None) -> Sequence[float]:
            raise ValueError("no such weights")

    journal, broken = MemoryJournal(), replace(toy.toolkit(), evaluation=Evaluation(tasks=[Unscorable()]))
    with pytest.raises(UserError, match=r"model 'base' \(base\) could not be scored \(error\): ValueError: no such"):
        run(opened(journal), Inline(broken))
    assert reduce_events(journal.read()).trials == ()
    assert len(run(opened(journal), Inline(toy.toolkit())).trials) == 6


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


class Scrambled:
    """Ends its jobs in any order, sometimes several at once, sometimes none."""

    def __init__(self, *, slots: int, seed: int = 0) -> None:
        self.slots, self._rng, self._toolkit = slots, random.Random(seed), toy.toolkit()
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
    journal, runner = MemoryJournal(), Scrambled(slots=2, seed=seed)
    state = run(opened(journal, budget=Budget(trials=15)), runner)
    assert runner.most_at_once == 2
    assert [trial.number for trial in state.trials] == list(range(15))
    assert all(trial.outcome is not None for trial in state.trials)
    assert set(state.memories) == set(range(15))
    assert state == reduce_events(journal.read())
    told = [event.number for event in journal.read() if isinstance(event, Told)]
    assert told != sorted(told), "the order was not tested"


class Noting:
    """An observer that keeps what it heard, and raises where it is told to."""

    def __init__(self, *, fails_at: str | None = None, with_: type[Exception] = RuntimeError) -> None:
        self.heard: list[tuple[str, Any]] = []
        self._fails_at, self._error = fails_at, with_

    def started(self, job: Job, state: State) -> None:
        self._note("started", job.key)

    def progressed(self, key: int | str, progress: Progress) -> None:
        self._note("progressed", key)

    def ended(self, key: int | str, outcome: Outcome, state: State) -> None:
        assert not isinstance(key, int) or state.trials[key].outcome == outcome
        self._note("ended", key)

    def closed(self, state: State) -> None:
        self._note("closed", state.stopped and state.stopped.reason)

    def _note(self, what: str, of: Any) -> None:
        self.heard.append((what, of))
        if what == self._fails_at:
            raise self._error("[/red] the tracker is down")


def test_every_observer_hears_of_each_job_once_in_the_state_it_left_and_at_last_why_it_ended() -> None:
    observers = [Noting(), Noting()]
    run(opened(budget=Budget(trials=4)), Inline(toy.toolkit(), slots=2), observers)
    for observer in observers:
        assert observer.heard.pop() == ("closed", "trials")
        keys = ["base", 0, 1, 2, 3]
        assert sorted(observer.heard, key=str) == sorted(itertools.product(("started", "ended"), keys), key=str)


@pytest.mark.parametrize("error", [RuntimeError, UserError], ids=["any", "user"])
@pytest.mark.parametrize("at", ["started", "progressed", "ended", "closed"])
def test_an_observer_that_raises_is_warned_of_once_and_left_out_and_the_search_goes_on(
    at: str, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    whole, broken, sound = toy.search(Random(), trials=4), Noting(fails_at=at, with_=error), Noting()
    observers = Observers([broken, sound])
    runner = toy.inline(watch=observers.progressed)
    state = toy.search(Random(), trials=4, runner=runner, observers=[observers])
    assert toy.without_costs(state) == toy.without_costs(whole)
    assert [what for what, _ in broken.heard].count(at) == 1
    assert broken.heard[-1][0] == at
    assert sound.heard[-1] == ("closed", "trials")
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "observer Noting failed" in warning.getMessage()
    assert "[/red] the tracker is down" in warning.getMessage()


def test_why_a_search_stopped_is_journalled_once_and_forgotten_when_it_goes_on() -> None:
    journal = MemoryJournal()
    for trials, times in ((2, 1), (2, 1), (3, 2)):
        state = run(opened(journal, budget=Budget(trials=trials)), Inline(toy.toolkit()))
        assert state.stopped == SearchStopped(reason="trials", message=f"budget.trials: all {trials} have begun")
        assert sum(isinstance(event, SearchStopped) for event in journal.read()) == times
    opened(journal, budget=Budget(trials=4)).ask()
    assert reduce_events(journal.read()).stopped is None


def stopped_by(error: type[BaseException], message: str = "") -> State:
    class Breaks(Inline):
        def wait(self, timeout_s: float | None = None) -> Sequence[tuple[int | str, Outcome]]:
            raise error(message)

    journal, observer = MemoryJournal(), Noting()
    with pytest.raises(error):
        run(opened(journal), Breaks(toy.toolkit()), [observer])
    state = reduce_events(journal.read())
    assert observer.heard[-1] == ("closed", state.stopped and state.stopped.reason)
    return state


def test_an_interrupt_and_an_error_are_journalled_as_why_the_search_stopped() -> None:
    interrupted, failed = stopped_by(KeyboardInterrupt).stopped, stopped_by(UserError, "the disk is full").stopped
    assert interrupted is not None
    assert interrupted.reason == "interrupted"
    assert failed == SearchStopped(reason="error", message="the disk is full")


def test_an_error_of_the_journal_itself_is_the_one_that_is_seen() -> None:
    class Full(MemoryJournal):
        full = False

        def append(self, *events: Event) -> None:
            if self.full:
                raise JournalError(f"cannot be written: {type(events[0]).__name__}")
            super().append(*events)

    journal = Full()
    search = opened(journal)
    journal.full = True
    with pytest.raises(JournalError, match="cannot be written: Scored"):
        run(search, Inline(toy.toolkit()))


def test_a_search_with_nothing_more_to_try_says_so() -> None:
    state = run(opened(policy=Chooses(lambda state, space, n: [])), Inline(toy.toolkit()))
    assert state.stopped == SearchStopped(reason="exhausted", message="policy 'by hand' finds nothing more to try")


def test_a_memory_is_told_of_a_trial_that_a_kill_kept_from_it() -> None:
    journal = MemoryJournal()
    search = opened(journal)
    (trial,) = search.ask()
    outcome = done(job_of(trial, search.state))
    assert isinstance(outcome, Made)
    journal.append(Told(number=0, outcome=outcome))
    reopened = opened(journal)
    assert set(reopened.state.memories) == {0}
    assert "1 trials ended" in reopened.state.memory


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
