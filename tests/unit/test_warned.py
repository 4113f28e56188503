"""What libraries warn of reaches the user."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lamdagent.core.action_type import Context
from lamdagent.core.budget import Budget
from lamdagent.core.events import Scored, Told
from lamdagent.core.observers import Observers
from lamdagent.core.search import Search, run
from lamdagent.core.types import Object, Split
from lamdagent.evaluation.evaluator import Evaluation
from lamdagent.memories.table import Table
from lamdagent.policies.random import Random
from lamdagent.results.leaderboard import leaderboard
from lamdagent.runners.inline import Inline
from lamdagent.runners.warned import CHARS, MOST, Warned, hearing_warnings
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy
from lamdagent.ui.terminal.plain import Plain
from lamdagent.ui.terminal.progress import SearchProgress


def test_what_loggers_and_the_warnings_module_say_is_heard_once_by_library_and_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_on: list[object] = []
    monkeypatch.setattr(warnings, "showwarning", lambda *what: passed_on.append(what))
    with hearing_warnings() as warned:
        for step in (3, 4):
            logging.getLogger("trl.trainer").warning("loss of step %d is odd", step)
        logging.getLogger("peft").info("nothing to see")
        logging.getLogger("innocent").warning("of a library that is not listened to")
        warnings.showwarning("an odd value\nin two lines", UserWarning, __file__, 1)
    logging.getLogger("trl").warning("after the job")
    assert warned.texts == ("trl: loss of step 3 is odd", "test_warned: UserWarning: an odd value in two lines")
    assert "loss of step 3 is odd" in caplog.text
    assert len(passed_on) == 1


def test_what_is_heard_is_bounded_and_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_0123456789")
    with hearing_warnings() as warned:
        logging.getLogger("transformers").warning("hf_0123456789 %s", "x" * 1000)
        for word in "abcdefghijklmnopqrstuvwxyz":
            logging.getLogger("transformers").warning(word)
    assert len(warned.texts) == MOST
    assert max(map(len, warned.texts)) <= CHARS
    assert "[HF_TOKEN]" in warned.texts[0]


def test_a_call_of_a_logger_whose_arguments_do_not_fit_does_not_fail_the_job(
    capsys: pytest.CaptureFixture[str],
) -> None:
    warned = Warned()
    warned.handle(logging.LogRecord("transformers.x", logging.WARNING, __file__, 1, "text", (FutureWarning,), None))
    assert warned.texts == ()
    assert "Logging error" in capsys.readouterr().err


def test_what_our_own_use_of_a_library_makes_it_say_is_left_to_the_log() -> None:
    with hearing_warnings() as warned:
        logging.getLogger("transformers").warning("`torch_dtype` is deprecated! Use `dtype` instead!")
    assert warned.texts == ()


class Warns(toy.ToyStep):
    """Warns at each step, of another number each time."""

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        logging.getLogger("peft").warning("rank %d is high", seed % 100)
        return super().execute(inputs, seed, ctx)


class Noisy(toy.ToyTask):
    """Warns whenever a model is scored."""

    def values(self, model: Object, split: Split, ctx: Context, n: int | None = None) -> Sequence[float]:
        logging.getLogger("lm_eval").warning("a prompt was cut")
        return super().values(model, split, ctx, n)


def test_the_journal_the_screen_and_show_have_each_warning_once() -> None:
    types = {"step": Warns()}
    evaluation = Evaluation(tasks=[Noisy("near-east", (1.5, 0.5)), toy.TASKS[1]], goals=toy.GOALS)
    screen, journal = io.StringIO(), MemoryJournal(*toy.first_events())
    plain = Plain(SearchProgress(Budget(trials=4)), screen)
    for trials in (2, 4):  # the second is a run that goes on
        search = Search(
            journal=journal, action_types=types, policy=Random(), memory=Table(), budget=Budget(trials=trials)
        )
        runner = Inline(replace(toy.toolkit(types), evaluation=evaluation))
        state = run(search, runner, Observers([plain]))
    (base,) = [event for event in journal.read() if isinstance(event, Scored)]
    told = [event.outcome.warnings for event in journal.read() if isinstance(event, Told)]
    assert base.warnings == ("lm_eval: a prompt was cut",)
    assert [len(warnings) for warnings in told] == [1, 0, 0, 0]
    assert told[0][0].startswith("peft: rank ")
    assert screen.getvalue().count("warning of lm_eval: a prompt was cut") == 1
    assert screen.getvalue().count("warning of peft: rank ") == 1
    shown = "\n".join(
        str(part) for section in leaderboard("toy", state, toy.Unwritten()).sections() for part in section.parts
    )
    assert f"warnings:\n  base: lm_eval: a prompt was cut\n  trial 0: {told[0][0]}" in shown
