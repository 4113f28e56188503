"""What the model sees, word for word. After a change that is meant: GOLDEN=write pytest tests/golden"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lamdagent.core.space import ActionSpace
from lamdagent.memories.reflection import Reflection
from lamdagent.policies.agent import Agent
from lamdagent.policies.random import Random
from lamdagent.testing import toy
from lamdagent.testing.fake_chat import FakeClient, fake_chat

HERE = Path(__file__).parent
CASES = {"empty": 0, "with_failures": 12, "large": 300}


@pytest.mark.parametrize("case", CASES)
def test_prompts_are_as_they_were(case: str) -> None:
    state, client = toy.grown(CASES[case]), FakeClient()
    Agent(chat=fake_chat(client), fallback=Random()).select(state, ActionSpace(state, toy.ACTION_TYPES), 1)
    if state.trials:
        Reflection(chat=fake_chat(client)).update(state, state.trials[-1])
    shown = "\n\n".join(f"##### system\n{system}\n\n##### prompt\n{prompt}" for system, prompt in client.asked) + "\n"
    file = HERE / f"{case}.txt"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(shown, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == shown
