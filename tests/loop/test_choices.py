"""What a policy may choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lamdagent.core.errors import ContractViolation
from lamdagent.core.search import run
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Choice
from lamdagent.runners.inline import Inline
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy
from tests.loop.by_hand import EAST, NORTH, WILD, Chooses, choice, opened

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


@pytest.mark.parametrize("change", [{"version": 9}, {"seed": -1}])
def test_an_action_of_another_version_or_a_seed_below_the_studys_is_refused(change: dict[str, Any]) -> None:
    space = ActionSpace(toy.grown(0), toy.ACTION_TYPES)
    assert space.why_invalid(replace(choice(space, **EAST).action, **change)) is not None


def test_a_policy_may_choose_nothing_and_the_search_ends() -> None:
    state = run(opened(policy=Chooses(lambda state, space, n: [])), Inline(toy.toolkit()))
    assert state.trials == ()
