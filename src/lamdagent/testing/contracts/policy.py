"""The contract of `lamdagent.core.protocols.Policy`."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Sequence
from dataclasses import replace

from lamdagent.core.events import ObjectAdded, StudyOpened
from lamdagent.core.protocols import Policy
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Choice
from lamdagent.testing import toy


class PolicyContract:
    """At most n different feasible choices, and the same ones for the same state."""

    def policy(self) -> Policy:
        """A new policy."""
        raise NotImplementedError

    def states(self) -> list[State]:
        """From nothing tried to much tried, with failed and running trials, several base models, and made datasets."""
        return [
            toy.grown(0),
            toy.grown(1, running=1),
            toy.grown(15, seed=5),
            toy.grown(0, makes_data=True),
            toy.grown(12, models=2, running=2, makes_data=True),
            toy.grown(25, models=3, running=3),
        ]

    def select(self, state: State, n: int) -> Sequence[Choice]:
        return self.policy().select(state, toy.space(state), n)

    def test_it_chooses_only_what_the_menu_admits(self) -> None:
        for state, n in itertools.product(self.states(), (1, 4)):
            space = toy.space(state)
            for choice in self.select(state, n):
                assert space.why_invalid(choice.action) is None

    def test_it_chooses_something_where_there_is_something(self) -> None:
        for state in self.states():
            assert self.select(state, 1), "nothing chosen from an action space that is not empty"

    def test_it_chooses_at_most_n_and_no_action_twice(self) -> None:
        for state, n in itertools.product(self.states(), (1, 2, 5)):
            ids = [choice.action.id for choice in self.select(state, n)]
            assert len(ids) <= n
            assert len(set(ids)) == len(ids)

    def test_it_says_who_chose(self) -> None:
        for choice in self.select(toy.grown(1), 2):
            assert choice.by
            assert isinstance(choice.reason, str)

    def test_the_same_state_gives_the_same_choices(self) -> None:
        for state, n in itertools.product(self.states(), (1, 3)):
            again: State = pickle.loads(pickle.dumps(state))
            assert list(self.select(state, n)) == list(self.select(again, n))

    def test_what_it_was_asked_before_changes_nothing(self) -> None:
        policy, (early, *_, late) = self.policy(), self.states()
        for state in (late, early, late):
            chosen = policy.select(state, toy.space(state), 2)
            assert list(chosen) == list(self.select(state, 2))

    def test_an_empty_menu_gives_no_choice(self) -> None:
        opened = reduce_events(toy.first_events())
        undone = {object_id: obj for object_id, obj in opened.pool.items() if obj.kind != "dataset"}
        for state in (State(), replace(opened, pool={}), replace(opened, pool=undone)):
            for n in (1, 3):
                assert list(self.select(state, n)) == []

    def test_one_action_left_is_the_most_it_can_choose(self) -> None:
        one = (toy.point("base", (0.0, 0.0)), toy.vector("east", (1.0, 0.0)), toy.rate("slow", 0.5))
        state = reduce_events(
            [StudyOpened(config={}, seed=0, goals=toy.GOALS), *(ObjectAdded(object=obj) for obj in one)]
        )
        assert len(self.select(state, 3)) == 1

    def test_it_leaves_the_state_as_it_is(self) -> None:
        for state in self.states():
            before = copy.deepcopy(state)
            self.select(state, 3)
            assert state == before

    def test_a_search_of_thirty_trials_breaks_no_contract(self) -> None:
        for makes_data in (False, True):
            state = toy.search(self.policy(), trials=30, runner=toy.inline(capacity=2), makes_data=makes_data)
            assert len(state.trials) == 30


class DataPolicyContract(PolicyContract):
    """That of a policy which comes to make data by itself, too."""

    trials = 40  # of a toy search, within which it makes data and trains on what it made

    def test_it_makes_a_dataset_and_trains_a_model_on_it(self) -> None:
        for seed in range(3):
            state = toy.search(self.policy(), trials=self.trials, seed=seed, makes_data=True)
            made = {obj.id for obj in state.of_kind("dataset") if obj.made_by is not None}
            assert made, f"no dataset was made with seed {seed}"
            models = [t.choice.action for t in state.trials if t.choice.action.id in state.pool]
            trained = [a for a in models if state.pool[a.id].kind == "model" and made & set(a.object_ids)]
            assert trained, f"no model was trained on a made dataset with seed {seed}"
