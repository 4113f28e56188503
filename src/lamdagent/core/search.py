"""The loop: enumerate, select, execute, evaluate, remember.

Everything that happens is an event in the journal. Kill the process at any line: a Search opened again on the same
journal goes on where it stopped, and no trial is lost or run twice.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from lamdagent.core.action_type import ActionType
from lamdagent.core.budget import Budget, why_over
from lamdagent.core.errors import BudgetSpent, ContractViolation, Duplicate, JournalError, UserError
from lamdagent.core.events import (
    Asked,
    Event,
    HoldoutOpened,
    LLMCalled,
    MemoryUpdated,
    Referenced,
    Scored,
    SearchStopped,
    Tested,
    TimeSpent,
    Told,
)
from lamdagent.core.jobs import Job
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.observers import Observers
from lamdagent.core.protocols import CallStore, Chat, Journal, Memory, Policy, Runner
from lamdagent.core.space import ActionSpace
from lamdagent.core.spent import Spent
from lamdagent.core.state import State, reduce_events
from lamdagent.core.text import without_numbers
from lamdagent.core.types import Action, Cost, Failed, Made, Object, ObjectId, Outcome, Trial

RECORD_EVERY_S = 30.0


class Search:
    """Ask what to do next, tell what came of it. One process at a time may hold a journal.

    Args:
        calls: keeps what jobs are answered; what a killed process left there unjournalled is journalled.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        action_types: Mapping[str, ActionType],
        policy: Policy,
        memory: Memory,
        budget: Budget = Budget(),
        chat: Chat | None = None,
        calls: CallStore | None = None,
    ) -> None:
        self._journal, self._policy, self._memory, self._calls = journal, policy, memory, calls
        self.action_types, self.budget = action_types, budget
        self.state = reduce_events(journal.read())
        self.stopped: SearchStopped | None = None
        """Why the last `ask` gave fewer trials than it was asked for; None where it did not."""
        stopped = self.state.stopped
        self._before = len(self.state.llm_calls) if stopped is not None and stopped.reason == "error" else 0
        """So many calls were before an error that the user mended since: answers of no use among them are asked again."""
        if chat is not None:
            chat.bind(self)
        if calls is not None:
            for call in self.state.llm_calls:  # the journal is the truth: the folder may be gone, or another disk's
                if call.job is not None and call.answer is not None:
                    calls.write(call)
            self._journal_kept()
        for trial in self.state.trials:
            if trial.outcome is not None and trial.number not in self.state.memories:
                self._remember(trial)

    @property
    def space(self) -> ActionSpace:
        return ActionSpace(self.state, self.action_types, self.budget)

    def answered(self, key: str) -> LLMCall | None:
        """The journalled answer to a question of the policy or the memory; None where it was never answered."""
        for number, call in enumerate(self.state.llm_calls):
            if call.key == key and call.answer is not None and (call.error is None or number >= self._before):
                return call
        return None

    def record(self, call: LLMCall) -> None:
        """Journal what a language model said, to the search or to a job. What a job tells of twice is journalled once."""
        if call.job is None or call.answer is None or call not in self.state.llm_calls:
            self._record(LLMCalled(call=call))

    @property
    def spent(self) -> Spent:
        """What answers took over all runs, those of jobs too."""
        return Spent.on(self.state.llm_calls)

    def ask(self, n: int = 1) -> tuple[Trial, ...]:
        """Begin up to `n` trials within the budget; none where the budget or the action space is used up.

        Of choices that only one by one fit in what is left of the budget, the first that do are begun.

        Raises:
            ContractViolation: the policy chose what the action space refuses, or more than it was asked for.
        """
        space, first = self.space, len(self.state.trials)
        wanted, n, self.stopped = n, min(n, self.trials_left), None
        try:
            choices = self._policy.select(self.state, space, n) if n > 0 else ()
        except BudgetSpent as spent:
            self.stopped, choices = SearchStopped(reason=spent.bound, message=str(spent)), ()
        if len(choices) > n:
            raise ContractViolation(f"policy {self._policy.name!r} was asked for {n} choices and made {len(choices)}")
        seen: set[str] = set()
        for choice in choices:
            refusal = space.why_invalid(choice.action)
            if refusal or choice.action.id in seen:
                raise ContractViolation(f"policy {self._policy.name!r} chose what cannot be done: {refusal or 'twice'}")
            seen.add(choice.action.id)
        choices = space.affordable(choices)
        self._record(
            *(
                Asked(number=first + i, choice=choice, settings=space.joining(choice.action))
                for i, choice in enumerate(choices)
            )
        )
        if len(choices) < wanted and self.stopped is None:
            self.stopped = why_over(self.budget, self.state) or self._why_nothing_fits(space)
        return self.state.trials[first:]

    def tell(self, number: int, outcome: Outcome) -> Trial:
        """End a trial: journal its outcome, then let the memory take it in.

        Raises:
            ContractViolation: there is no such trial, it has ended already, or it cannot have made this object.
        """
        if not 0 <= number < len(self.state.trials) or self.state.trials[number].outcome is not None:
            raise ContractViolation(f"told of trial {number}, which is not running")
        if isinstance(outcome, Failed) and outcome.cause in ("llm_tokens", "usd"):
            raise ContractViolation(
                f"told that trial {number} failed by its budget; it stays open until that is raised"
            )
        if isinstance(outcome, Made):
            if outcome.object.id != (wanted := self.state.trials[number].choice.action.id):
                raise ContractViolation(f"told that trial {number} made {outcome.object.id}; its action makes {wanted}")
            outcome = replace(outcome, object=replace(outcome.object, name=f"{outcome.object.kind}-{number}"))
            # A worker looks for the same rows among those that were known when its job began; here are all.
            if (twin := outcome.object.same_rows(self.state.of_kind("dataset"))) is not None:
                message = str(Duplicate(twin.name))
                outcome = Failed(cause="duplicate", message=message, cost=outcome.cost, warnings=outcome.warnings)
        cost = self._with_calls(number, outcome.cost)
        self._record(Told(number=number, outcome=replace(self._heard(outcome), cost=cost)))
        return self._remember(self.state.trials[number])

    def record_baseline(self, model: Object, outcome: Outcome) -> Outcome:
        """Journal how a provided model scored; the outcome as it was journalled.

        Raises:
            UserError: it could not be scored; no search can start from it.
        """
        if not isinstance(outcome, Made):
            raise UserError(
                f"model {model.name!r} ({model.uri}) could not be scored ({outcome.cause}): {outcome.message}"
            )
        cost = self._with_calls(model.name, outcome.cost)
        heard = self._heard(outcome)
        self._record(Scored(object_id=model.id, scores=outcome.scores, cost=cost, warnings=heard.warnings))
        return heard

    def open_test_set(self, models: Sequence[ObjectId]) -> None:
        """Journal that the test side is about to be looked at."""
        self._record(HoldoutOpened(models=tuple(models)))

    def record_test(self, model: Object, outcome: Outcome) -> None:
        """Journal how a model scored on the test side.

        Raises:
            UserError: it could not be scored.
        """
        if not isinstance(outcome, Made):
            raise UserError(f"model {model.name!r} could not be tested ({outcome.cause}): {outcome.message}")
        self._record(Tested(object_id=model.id, scores=outcome.scores))

    def record_reference(self, model: Object, outcome: Outcome) -> None:
        """Journal how a model that is only compared with scored on the validation side.

        Raises:
            UserError: it could not be scored.
        """
        if not isinstance(outcome, Made):
            raise UserError(f"model {model.name!r} could not be scored ({outcome.cause}): {outcome.message}")
        self._record(Referenced(model=model, scores=outcome.scores, cost=outcome.cost))

    def record_time(self, wall_s: float) -> None:
        """Journal driver time, which counts against `budget.hours` over all restarts."""
        self._record(TimeSpent(wall_s=wall_s))

    def record_stop(self, stopped: SearchStopped) -> None:
        """Journal why this run ends, unless nothing happened since the journal said so."""
        if stopped != self.state.stopped:
            self._record(stopped)

    @property
    def trials_left(self) -> int:
        """How many more trials the budget lets begin."""
        if why_over(self.budget, self.state) is not None:
            return 0
        return 2**31 if self.budget.trials is None else self.budget.trials - len(self.state.trials)

    def _heard(self, outcome: Outcome) -> Outcome:
        """The outcome with those of its warnings that the study has not heard before."""
        new = [text for text in outcome.warnings if without_numbers(text) not in self.state.warnings]
        return replace(outcome, warnings=tuple(new))

    def _with_calls(self, key: int | str, cost: Cost) -> Cost:
        """The cost of a job with what it asked a language model, though it was killed before it could say so."""
        self._journal_kept([key])
        asked = self.state.calls_of_job(key)
        priced = asked and all(call.usd is not None for call in asked if call.answer is not None)
        spent = Spent.on(asked)
        return replace(cost, tokens=spent.tokens, usd=spent.usd if priced else None)

    def _journal_kept(self, jobs: Iterable[int | str] | None = None) -> None:
        for call in self._calls.of(jobs) if self._calls is not None else ():
            self.record(call)

    def _why_nothing_fits(self, space: ActionSpace) -> SearchStopped:
        for bound in sorted(space.passed):
            left, unit = max(0, getattr(space.left, bound)), bound.removeprefix("train_")
            given = getattr(self.budget, bound)
            words = f"budget.{bound}: {left:,} of {given:,} {unit} are left, too few for what is left to try"
            return SearchStopped(reason=bound, message=words)
        return SearchStopped(reason="exhausted", message=f"policy {self._policy.name!r} finds nothing more to try")

    def _remember(self, trial: Trial) -> Trial:
        self._record(MemoryUpdated(number=trial.number, memory=self._memory.update(self.state, trial)))
        return trial

    def _record(self, *events: Event) -> None:
        if events:
            self._journal.append(*events)
            self.state = reduce_events(events, self.state)


def job_of(trial: Trial, state: State) -> Job:
    """A trial as what a runner takes: its action, with what that takes, the leader, their base models, and what a made
    dataset must not repeat."""
    leader = next((obj.id for obj, _ in state.ranked()), None)
    ids = (*trial.choice.action.object_ids, *([leader] if leader else ()))
    objects = with_ancestors(state, [*ids, *(obj.id for obj in state.of_kind("dataset"))])
    asked = {i: max(s.n for s in state.scores[i]) for i in ids if state.scores.get(i)}
    return Job(
        key=trial.number,
        action=trial.choice.action,
        objects=objects,
        leader=leader,
        asked=asked,
        spent=state.spent_by_search,
        recipes=recipes_of(state, objects),
    )


def with_ancestors(state: State, ids: Iterable[ObjectId]) -> tuple[Object, ...]:
    """Objects of the pool, and all that they descend from: what they were made of, and the base models of models."""
    needed: dict[ObjectId, Object] = {}
    left = list(ids)[::-1]
    while left:
        if (object_id := left.pop()) in needed:
            continue
        needed[object_id] = obj = state.pool[object_id]
        trial, root = state.trial_of(object_id), obj.meta.get("root")
        left += [root] if isinstance(root, str) else []
        left += () if trial is None else trial.choice.action.object_ids
    return tuple(needed.values())


def recipes_of(state: State, objects: Iterable[Object]) -> dict[ObjectId, Action]:
    """The actions that made those of the objects that were made."""
    trials = (state.trial_of(obj.id) for obj in objects if obj.made_by is not None)
    return {trial.choice.action.id: trial.choice.action for trial in trials if trial is not None}


def run(search: Search, runner: Runner, observers: Observers = Observers()) -> State:
    """Score the provided models, then keep every slot busy until the budget or the action space is used up.

    Trials that an earlier process left running are submitted first. Why it ended is journalled, an error too. Where a job
    spends the last of a budget, no trial begins any more; those that run go to their end, its own stays open.
    """
    try:
        _loop(search, runner, observers)
        if search.stopped is not None:
            search.record_stop(search.stopped)
    except KeyboardInterrupt:
        search.record_stop(SearchStopped(reason="interrupted", message="interrupted from the keyboard"))
        raise
    except Exception as error:
        with contextlib.suppress(JournalError):  # the journal may be what failed; the first error is the one to see
            search.record_stop(SearchStopped(reason="error", message=str(error) or type(error).__name__))
        raise
    finally:
        observers.closed(search.state)
    return search.state


def _loop(search: Search, runner: Runner, observers: Observers) -> None:
    clock = time.monotonic()
    waiting: dict[int | str, Job] = {}
    spent: SearchStopped | None = None

    def submit(job: Job) -> None:
        waiting[job.key] = job
        runner.submit(job)
        observers.started(job, search.state)

    def collect() -> None:
        nonlocal clock, spent
        for key, outcome in runner.wait(RECORD_EVERY_S):
            job = waiting.pop(key)
            if isinstance(outcome, Failed) and (outcome.cause == "llm_tokens" or outcome.cause == "usd"):
                spent = SearchStopped(reason=outcome.cause, message=outcome.message)
                continue
            if isinstance(key, int):
                outcome = search.tell(key, outcome).outcome or outcome
            else:
                outcome = search.record_baseline(job.objects[0], outcome)
            observers.ended(key, outcome, search.state)
        now = time.monotonic()
        search.record_time(now - clock)
        clock = now

    # A gain is against the base model's items, so these are scored before models that descend from them.
    unscored = search.state.unscored
    for group in ([m for m in unscored if m.root == m.id], [m for m in unscored if m.root != m.id]):
        for model in group:
            objects = with_ancestors(search.state, [model.id])
            submit(Job(key=model.name, action=None, objects=objects, spent=search.state.spent_by_search))
        while waiting:
            collect()
        if spent is not None:
            search.stopped = spent
            return
    for trial in search.state.running:
        submit(job_of(trial, search.state))
    while True:
        for trial in search.ask(max(0, runner.capacity - len(waiting))) if spent is None else ():
            submit(job_of(trial, search.state))
        if not waiting:
            search.stopped = spent or search.stopped
            return
        collect()
