"""What the model sees, word for word. After a change that is meant: GOLDEN=write pytest tests/golden"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pytest
from tests.many_models import many_models, mixture

from lamdagent.core.action_type import ActionType
from lamdagent.core.budget import Budget
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.llm.usage import estimated_tokens
from lamdagent.memories.reflection import Reflection
from lamdagent.policies.agent.policy import Agent
from lamdagent.policies.random import Random
from lamdagent.testing import mixtures, toy
from lamdagent.testing.fake_chat import FakeClient, fake_chat

MOST_TOKENS = 6_000
"""Of a question, with 24 models and 24 datasets listed."""
HERE = Path(__file__).parent
CASES: dict[str, tuple[Callable[[], State], Mapping[str, ActionType], Literal[1, 2]]] = {
    "empty": (lambda: toy.grown(0), toy.ACTION_TYPES, 2),
    "with_failures": (lambda: toy.grown(12), toy.ACTION_TYPES, 2),
    "thousand": (lambda: many_models(1000), toy.ACTION_TYPES, 2),
    "one_question": (lambda: toy.grown(12), toy.ACTION_TYPES, 1),
    "several_datasets": (mixture, mixtures.ACTION_TYPES, 1),
}


@pytest.mark.parametrize("case", CASES)
def test_prompts_are_as_they_were(case: str) -> None:
    make, types, questions = CASES[case]
    state, client = make(), FakeClient()
    budget = Budget(trials=state.trials[-1].number + 5 if state.trials else 30, train_rows=200_000)
    agent = Agent(chat=fake_chat(client), fallback=Random(), questions=questions, repeats=case == "several_datasets")
    agent.select(state, ActionSpace(state, types, budget), 1)
    if state.trials:
        Reflection(chat=fake_chat(client)).update(state, state.trials[-1])
    shown = "\n\n".join(f"##### system\n{system}\n\n##### prompt\n{prompt}" for system, prompt in client.asked) + "\n"
    file = HERE / f"{case}.txt"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(shown, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == shown
    assert max(estimated_tokens(system, prompt) for system, prompt in client.asked) < MOST_TOKENS
