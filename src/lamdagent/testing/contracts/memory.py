"""The contract of `lamdagent.core.protocols.Memory`."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

from lamdagent.core.events import Asked, Event, MemoryUpdated, ObjectAdded, Scored, StudyOpened, Told
from lamdagent.core.protocols import Memory
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Failed, Trial
from lamdagent.testing import toy


class MemoryContract:
    """Returns its whole text, bounded by `most_chars` however long the search."""

    most_chars = 20_000

    def memory(self) -> Memory:
        """A new memory."""
        raise NotImplementedError

    def updates(self, state: State) -> list[str]:
        """The text after each trial of a state, as the search that ran them would get it."""
        memory, now, texts = self.memory(), _begun(state), []
        for trial in state.trials:
            now = reduce_events(_turn(trial), now)
            texts.append(memory.update(now, now.trials[-1]))
            now = reduce_events([MemoryUpdated(number=trial.number, memory=texts[-1])], now)
        return texts

    def test_it_returns_text_after_every_trial(self) -> None:
        for state in (failing := toy.grown(30, models=2), toy.grown(30, models=2, makes_data=True)):
            assert any(isinstance(trial.outcome, Failed) for trial in failing.trials)
            assert all(isinstance(text, str) and text for text in self.updates(state))

    def test_its_text_stays_bounded_over_three_hundred_trials(self) -> None:
        for state in (toy.grown(300), toy.grown(300, makes_data=True)):
            lengths = [len(text) for text in self.updates(state)]
            assert max(lengths) <= self.most_chars
            assert max(lengths[200:]) <= 1.5 * max(lengths[:200]), "the text is still growing"

    def test_the_same_trials_give_the_same_text(self) -> None:
        for state in (toy.grown(20), toy.grown(20, makes_data=True)):
            again: State = pickle.loads(pickle.dumps(state))
            assert self.updates(state) == self.updates(again)

    def test_a_memory_made_anew_goes_on_from_the_state(self) -> None:
        whole = toy.grown(6)
        *earlier, last = self.updates(whole)
        before = replace(whole, memory=earlier[-1], memories=dict(enumerate(earlier)))
        assert self.memory().update(before, whole.trials[-1]) == last

    def test_trials_that_are_running_do_not_disturb_it(self) -> None:
        for state in (toy.grown(5, running=2), toy.grown(5, running=2, makes_data=True)):
            assert isinstance(self.memory().update(state, state.trials[4]), str)

    def test_it_leaves_the_state_as_it_is(self) -> None:
        state = toy.grown(5)
        before = copy.deepcopy(state)
        self.memory().update(state, state.trials[-1])
        assert state == before


def _begun(state: State) -> State:
    """A state as it was before its first trial."""
    provided = [ObjectAdded(object=obj) for obj in state.pool.values() if obj.made_by is None]
    scored = [
        Scored(object_id=b.object.id, scores=state.scores[b.object.id]) for b in provided if b.object.id in state.scores
    ]
    return reduce_events([StudyOpened(config=state.config, seed=state.seed, goals=state.goals), *provided, *scored])


def _turn(trial: Trial) -> list[Event]:
    asked = Asked(number=trial.number, choice=trial.choice)
    return [asked] if trial.outcome is None else [asked, Told(number=trial.number, outcome=trial.outcome)]
