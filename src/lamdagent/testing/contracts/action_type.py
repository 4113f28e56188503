"""The contract of `lamdagent.core.action_type.ActionType`."""

from __future__ import annotations

import copy
import itertools
import sys
import time
from collections.abc import Mapping, Sequence
from typing import get_args

from lamdagent.core.action_type import ActionType, cost_of, why_refused
from lamdagent.core.training import Training
from lamdagent.core.types import Kind, Object

KINDS = get_args(Kind)
Inputs = Mapping[str, Sequence[Object]]


class ActionTypeContract:
    """Slots that can be filled, and refusals that may be asked for a million times."""

    def action_type(self) -> ActionType:
        raise NotImplementedError

    def admitted(self) -> Sequence[Inputs]:
        """Objects that go together."""
        raise NotImplementedError

    def refused(self) -> Sequence[Inputs]:
        """Objects of the slots' kinds that a slot does not accept, or that do not go together."""
        return ()

    def test_its_name_and_version_can_stand_in_a_journal(self) -> None:
        type = self.action_type()
        assert type.name.replace("-", "_").isidentifier()
        assert isinstance(type.version, int)
        assert type.version >= 1
        assert type.makes in KINDS

    def test_its_slots_are_well_formed(self) -> None:
        slots = self.action_type().slots
        assert slots
        assert len({slot.name for slot in slots}) == len(slots)
        for slot in slots:
            assert slot.name.isidentifier()
            assert slot.kind in KINDS
            assert 1 <= slot.at_least <= slot.at_most

    def test_the_examples_fill_its_slots(self) -> None:
        slots = self.action_type().slots
        for inputs in (*self.admitted(), *self.refused()):
            assert set(inputs) == {slot.name for slot in slots}
            for slot in slots:
                assert slot.at_least <= len(inputs[slot.name]) <= slot.at_most
                assert {obj.kind for obj in inputs[slot.name]} == {slot.kind}

    def test_it_admits_what_goes_together(self) -> None:
        type, admitted = self.action_type(), self.admitted()
        assert [why_refused(type, inputs) for inputs in admitted] == [None] * len(admitted)

    def test_it_refuses_the_rest_in_words(self) -> None:
        for inputs in self.refused():
            reason = why_refused(self.action_type(), inputs)
            assert isinstance(reason, str)
            assert len(reason) > 10

    def test_the_order_within_an_unordered_slot_changes_nothing(self) -> None:
        type = self.action_type()
        for inputs in (*self.admitted(), *self.refused()):
            turned = {s.name: inputs[s.name] if s.ordered else inputs[s.name][::-1] for s in type.slots}
            assert (why_refused(type, turned) is None) == (why_refused(type, inputs) is None)

    def test_asking_is_pure(self) -> None:
        type = self.action_type()
        for inputs in (*self.admitted(), *self.refused()):
            before = copy.deepcopy(inputs)
            asked = [why_refused(each, inputs) for each in (type, type, self.action_type())]
            assert len(set(asked)) == 1
            assert inputs == before

    def test_what_it_will_train_on_is_known_or_none_and_pure(self) -> None:
        type = self.action_type()
        for inputs in self.admitted():
            before = copy.deepcopy(inputs)
            foreseen = [cost_of(each, inputs) for each in (type, type, self.action_type())]
            assert isinstance(foreseen[0], Training)
            assert foreseen[0] == foreseen[1] == foreseen[2]
            assert all(n is None or n >= 0 for n in (foreseen[0].rows, foreseen[0].tokens, foreseen[0].flops))
            assert inputs == before

    def test_asking_is_cheap_and_loads_no_torch(self) -> None:
        type, had_torch, began = self.action_type(), "torch" in sys.modules, time.process_time()
        for inputs in itertools.islice(itertools.cycle((*self.admitted(), *self.refused())), 1000):
            why_refused(type, inputs)
        for inputs in itertools.islice(itertools.cycle(self.admitted()), 1000):
            cost_of(type, inputs)
        assert time.process_time() - began < 1.0, "an action space asks for every pair of models"
        assert ("torch" in sys.modules) == had_torch
