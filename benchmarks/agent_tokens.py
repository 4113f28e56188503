"""How many tokens an agent's questions take a trial, with one question and with two: no model is asked.

    python benchmarks/agent_tokens.py

A fake model answers with what the schema allows, so what it chooses says nothing; the prompts are those that a real one
would read. Tokens are estimated as for servers that report none (rather too many than too few).
"""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean
from typing import Literal

from lamdagent.core.budget import Budget
from lamdagent.core.search import Search, run
from lamdagent.llm.usage import estimated_tokens
from lamdagent.memories.reflection import Reflection
from lamdagent.policies.agent.policy import Agent
from lamdagent.policies.random import Random
from lamdagent.policies.surrogate.policy import Surrogate
from lamdagent.runners.inline import Inline
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import mixtures
from lamdagent.testing.fake_chat import FakeClient, fake_chat

TRIALS = 30
SEEDS = 3


def tokens_by_purpose(questions: Literal[1, 2], seed: int, *, advice: bool) -> dict[str, float]:
    """Mean tokens of questions a trial, by what was asked for, over a search of 30 trials with notes."""
    journal, chat = MemoryJournal(*mixtures.first_events(seed=seed)), fake_chat(FakeClient())
    adviser = Surrogate(candidates=2000) if advice else None
    search = Search(
        journal=journal, action_types=mixtures.ACTION_TYPES, memory=Reflection(chat=chat), budget=Budget(trials=TRIALS),
        policy=Agent(chat=chat, fallback=Random(), questions=questions, advice=adviser), chat=chat,
    )  # fmt: skip
    state = run(search, Inline(mixtures.toolkit()))
    found: dict[str, float] = defaultdict(float)
    for call in state.llm_calls:
        if call.error is None:  # what is asked again says more of the fake model than of the question
            found[call.purpose] += estimated_tokens(call.system, call.prompt) / TRIALS
    return dict(found)


def main() -> None:
    for advice in (False, True):
        for questions in (2, 1):
            seeds = [tokens_by_purpose(questions, seed, advice=advice) for seed in range(SEEDS)]
            purposes = sorted({purpose for found in seeds for purpose in found})
            means = {purpose: fmean(found.get(purpose, 0.0) for found in seeds) for purpose in purposes}
            parts = ", ".join(f"{purpose} {mean:,.0f}" for purpose, mean in means.items())
            with_it = " with advice" if advice else ""
            print(
                f"questions: {questions}{with_it}: {sum(means.values()):,.0f} tokens in a trial ({parts})", flush=True
            )


if __name__ == "__main__":
    main()
