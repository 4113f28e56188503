"""Journals of every release still fold. A new release adds a file: GOLDEN=write pytest tests/golden"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

import lamdagent
from lamdagent.core.budget import Budget
from lamdagent.core.events import Event, SearchStopped, StudyOpened, Told
from lamdagent.core.search import Search, run
from lamdagent.core.state import reduce_events
from lamdagent.core.types import Failed
from lamdagent.memories.reflection import Reflection
from lamdagent.policies.agent.policy import Agent
from lamdagent.policies.random import Random
from lamdagent.results.ledger import ledger_of
from lamdagent.study.journal import MemoryJournal, from_json, kind_of, to_json
from lamdagent.testing import toy
from lamdagent.testing.fake_chat import FakeClient, fake_chat

HERE = Path(__file__).parent
TRIALS = 12


def write_journal_of_this_release() -> None:
    journal, chat = MemoryJournal(), fake_chat(FakeClient())
    toy.open_toy(journal)
    policy, memory = Agent(chat=chat, fallback=Random()), Reflection(chat=chat)
    search = Search(
        journal=journal, action_types=toy.ACTION_TYPES, policy=policy, memory=memory,
        budget=Budget(trials=TRIALS), chat=chat,
    )  # fmt: skip
    run(search, toy.inline())
    rows = [json.dumps([kind_of(event), json.loads(to_json(_placeless(event)))]) for event in journal.read()]
    (HERE / f"journal-{lamdagent.__version__}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _placeless(event: Event) -> Event:
    """An event without the end of a log, which names paths of the machine it was written on."""
    if isinstance(event, Told) and isinstance(event.outcome, Failed):
        return replace(event, outcome=replace(event.outcome, log_tail="Traceback (most recent call last): …"))
    return event


if os.environ.get("GOLDEN") == "write":
    write_journal_of_this_release()


@pytest.mark.parametrize("file", sorted(HERE.glob("journal-*.jsonl")), ids=lambda file: file.stem)
def test_a_journal_of_an_earlier_release_still_folds(file: Path) -> None:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    state = reduce_events(from_json(kind, json.dumps(body)) for kind, body in rows)
    assert len(state.trials) == TRIALS
    assert all(trial.outcome is not None for trial in state.trials)
    assert len(state.memories) == TRIALS
    assert state.ranked()
    assert state.tokens > 0


def test_what_a_language_model_was_granted_and_stopped_by_keeps_its_meaning_under_its_new_name() -> None:
    config = {"study": "old", "budget": {"trials": 3, "tokens": 900}, "models": {"tokens": {"path": "m"}}}
    opened = from_json("Opened", json.dumps({"config": config, "seed": 0, "goals": []}))
    assert isinstance(opened, StudyOpened)
    assert opened.config == {**config, "budget": {"trials": 3, "llm_tokens": 900}}
    assert from_json("SearchStopped", '{"reason": "tokens"}') == SearchStopped(reason="llm_tokens")


def test_what_a_trial_of_before_trained_on_is_not_known() -> None:
    rows = [json.loads(line) for line in (HERE / "journal-0.1.0.jsonl").read_text(encoding="utf-8").splitlines()]
    ledger = ledger_of(reduce_events(from_json(kind, json.dumps(body)) for kind, body in rows))
    assert (ledger.trials, ledger.unknown) == (TRIALS, TRIALS)
    assert ledger.train_rows is ledger.train_tokens is ledger.train_flops is ledger.gpu_s is None


def test_there_is_a_journal_of_this_release() -> None:
    assert (HERE / f"journal-{lamdagent.__version__}.jsonl").exists()
