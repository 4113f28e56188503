"""Failure signatures of toy searches: what is planted is found, and searches without faults are rarely accused."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lamdagent.core.action_type import ActionType
from lamdagent.core.budget import Budget
from lamdagent.core.events import Event, HoldoutOpened
from lamdagent.core.events import Tested as OnTest
from lamdagent.core.protocols import Policy
from lamdagent.core.search import Search, run
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Action, Choice, Score, Slot
from lamdagent.llm.chat import NoReply, Reply
from lamdagent.memories.table import Table
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.policies.agent.policy import Agent
from lamdagent.policies.moves import seeded
from lamdagent.policies.random import Random
from lamdagent.results.diagnosis import diagnose
from lamdagent.results.diagnosis.answers import CUT_OFF, NO_ANSWER, NOT_OFFERED, REPEATED, UNREADABLE, cause
from lamdagent.results.diagnosis.chance import turns_of
from lamdagent.results.diagnosis.signature import Diagnosis, Signature
from lamdagent.results.holdout import holdout_results_of
from lamdagent.results.leaders import leaders, to_test
from lamdagent.results.repetition import spread_over
from lamdagent.results.report import report
from lamdagent.results.result import dumps
from lamdagent.runners.inline import Inline
from lamdagent.study.journal import MemoryJournal, SqliteJournal, from_json
from lamdagent.testing import toy
from lamdagent.testing.fake_chat import FakeClient, Line, fake_chat, obliging
from lamdagent.ui.cli.app import app
from lamdagent.ui.render.html import page
from lamdagent.ui.render.markdown import markdown

GOLDEN = Path(__file__).parents[1] / "golden"


Types = Mapping[str, ActionType]


def searched(
    policy: Policy, trials: int, *, seed: int = 0, models: int = 1, types: Types = toy.ACTION_TYPES, chat: Any = None
) -> tuple[Event, ...]:
    """The journal of a toy search."""
    journal = MemoryJournal(*toy.first_events(seed=seed, models=models))
    search = Search(
        journal=journal, action_types=types, policy=policy, memory=Table(), budget=Budget(trials=trials), chat=chat
    )
    run(search, Inline(toy.toolkit(types)))
    return tuple(journal.read())


@lru_cache(maxsize=64)
def at_random(trials: int, seed: int = 0, models: int = 1) -> tuple[Event, ...]:
    return searched(Random(), trials, seed=seed, models=models)


def asked(script: Sequence[Line], trials: int) -> tuple[Event, ...]:
    chat = fake_chat(FakeClient(script), max_failures=10_000)
    return searched(Agent(chat=chat, fallback=Random()), trials, chat=chat)


def found(events: Sequence[Event], name: str, types: Types = toy.ACTION_TYPES) -> Signature:
    return {s.name: s for s in diagnose(events, types, "S.yaml")}[name]


def verdicts(events: Sequence[Event], types: Types = toy.ACTION_TYPES) -> dict[str, str]:
    return {s.name: s.verdict for s in diagnose(events, types, "S.yaml")}


class Only:
    """Draws among the steps that fit; as `random` does where there are none and, unless `always`, now and then."""

    name = "only"

    def __init__(self, fits: Callable[[State, Action], bool], *, always: bool = True) -> None:
        self._fits, self._always = fits, always

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        rng = seeded(state)
        fitting = [action for action in space.of_type("step") if self._fits(state, action)]
        action = rng.choice(fitting) if fitting and (self._always or rng.random() < 0.6) else space.sample(rng)
        return [] if action is None else [Choice(action=action, reason="", by=self.name)]


def with_names(*names: str) -> Callable[[State, Action], bool]:
    return lambda state, action: set(names) <= {state.pool[i].name for i in action.object_ids}


class Climb:
    """Goes to the best point of the toy world in three steps, then draws at random."""

    name = "climb"

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        steps = [{"base", "east", "fast"}, {"model-0", "east", "slow"}, {"model-1", "north", "slow"}]
        if len(state.trials) >= len(steps):
            return Random().select(state, space, n)
        wanted = steps[len(state.trials)]
        action = next(a for a in space.of_type("step") if {state.pool[i].name for i in a.object_ids} == wanted)
        return [Choice(action=action, reason="", by=self.name)]


class Lose:
    """Takes a model far away from everything it could."""

    name, version = "lose", 1
    makes: Any = "model"
    slots = (Slot(name="model", kind="model"),)

    def validate(self, inputs: Any) -> str | None:
        return "it is lost already" if min(inputs["model"][0].meta["x"]) < -1 else None

    def execute(self, inputs: Any, seed: int, ctx: Any) -> Mapping[str, Any]:
        (model,) = inputs["model"]
        return {"x": [-2.4, -2.4], "root": model.meta["root"]}


def as_test(known: Sequence[Score]) -> tuple[Score, ...]:
    return tuple(replace(s, split="test", task_id="test") for s in known)


def test_random_searches_are_not_accused_of_how_they_choose() -> None:
    """Of 20 random searches of 30 trials none alarms, and at most 1 (5 %) are to be watched."""
    told = [verdicts(at_random(30, seed)) for seed in range(20)]
    for name in ("mode collapse", "favourites", "unusable answers"):
        counted = Counter(found[name] for found in told)
        assert counted["alarm"] == counted["unknown"] == 0, name
        assert counted["watch"] <= 1, name


def test_studies_of_three_trials_are_unknown_and_never_alarm() -> None:
    for seed in range(20):
        assert set(verdicts(at_random(3, seed)).values()) == {"unknown", "ok"}
    small = verdicts(asked(["no"] * 1000, 3))
    assert set(small.values()) == {"unknown"}


def test_a_study_that_has_not_begun_is_unknown() -> None:
    for events in ((), toy.first_events(), at_random(0)):
        assert set(verdicts(events).values()) <= {"unknown", "ok"}
        assert verdicts(events)["plateau"] == "unknown"


def test_a_collapsed_policy_is_found() -> None:
    policy = Only(with_names("south-west", "slow"))
    signature = found(searched(policy, 24, models=3), "mode collapse")
    assert signature.verdict == "alarm"
    assert "repeat the pattern" in signature.measured
    assert "lamdagent compare S.yaml" in signature.advice
    types = next(figure for figure in signature.figures if "action types" in figure.label)
    assert types.low is not None
    assert types.value < types.low <= (types.high or 0.0) <= 1.0
    assert types.range_of == "even draws"


def test_a_favourite_whose_results_are_poor_is_found_and_said_to_be_no_better() -> None:
    signature = found(searched(Only(with_names("south-west"), always=False), 50, models=3), "favourites")
    assert signature.verdict == "alarm"
    assert "Dataset south-west was chosen" in signature.measured
    assert "chosen often although the results are not better" in signature.measured


def test_an_action_that_forgets_is_found_and_named() -> None:
    types: Types = {**toy.ACTION_TYPES, "lose": Lose()}
    signature = found(searched(Random(), 40, models=3, types=types), "forgetting", types)
    assert signature.verdict == "alarm"
    assert "leave lose out of a next study" in signature.advice
    assert "guards:" in signature.advice
    (figure,) = [figure for figure in signature.figures if figure.label == "worst change by lose"]
    assert figure.value < 0 < (figure.stderr or 0.0)


def test_an_agent_that_only_falls_back_is_found() -> None:
    signature = found(asked(["no"] * 1000, 12), "unusable answers")
    assert signature.verdict == "alarm"
    assert signature.measured.startswith("The fallback chose 12 of 12 trials (74% to 100%)")
    assert "36 of 36 answers (90% to 100%) were of no use (not as asked for 36)" in signature.measured
    assert "3.00 a trial" in signature.measured
    assert "policy.output" in signature.advice
    assert "lamdagent show S.yaml 0 --transcript" in signature.advice


def test_an_agent_whose_answers_can_be_used_is_not_accused_of_them() -> None:
    signature = found(asked([], 12), "unusable answers")
    assert signature.verdict == "ok"
    assert signature.measured.startswith("The fallback chose 0 of 12 trials")
    assert "2 of 24 answers" in signature.measured  # the fake model once names what was tried before


def test_why_an_answer_was_of_no_use_is_told_apart_in_the_words_of_the_chat() -> None:
    step, mean = '{"reason": "r", "type": "step"}', '{"reason": "r", "type": "mean"}'
    first = json.dumps({"reason": "r", "model": "M0", "dataset": "east", "hyperparameters": "slow"})
    twice = json.dumps({"reason": "r", "models": ["M0", "M0"]})
    cut = Reply(text='{"reason": "so lo', finish="length")
    script: list[Line] = [NoReply("HTTP 503"), "", first, step, first, step, obliging, mean, cut, twice]
    llm_calls = reduce_events(asked(script, 3)).llm_calls
    told = [cause(e) for e in llm_calls if e.error]
    assert told == [NO_ANSWER, UNREADABLE, REPEATED, UNREADABLE, CUT_OFF, NOT_OFFERED]


def test_a_planted_plateau_is_found() -> None:
    signature = found(searched(Climb(), 80), "plateau")
    assert signature.verdict == "alarm"
    assert signature.measured.startswith("77 of 80 trials ago: the last of 2 improvements beyond noise")
    assert "came with trial 2" in signature.measured
    assert found(searched(Climb(), 19), "plateau").verdict == "unknown"


def test_a_sealed_test_stays_sealed_and_the_command_that_opens_it_is_named() -> None:
    signature = found(at_random(30), "validation overfitting")
    assert signature.verdict == "unknown"
    assert signature.advice.startswith("lamdagent report S.yaml")


def test_a_diagnosis_is_a_pure_function_of_the_journal() -> None:
    events = at_random(30)
    assert diagnose(events, toy.ACTION_TYPES, "S") == diagnose(list(events), toy.ACTION_TYPES, "S")
    found = Diagnosis(study="S", signatures=diagnose(events, toy.ACTION_TYPES, "S"))
    assert len(json.loads(dumps(found))["signatures"]) == 6


def test_even_draws_are_from_the_menu_of_their_time() -> None:
    turns = turns_of(at_random(20), toy.ACTION_TYPES)
    assert turns is not None
    assert len(turns) == 20
    assert set(turns[0].drawn) == {"step"}
    base = reduce_events(toy.first_events()).of_kind("model")[0]
    assert {action.inputs["model"] for action in turns[0].drawn["step"]} == {(base.id,)}


def test_an_action_type_that_is_not_installed_leaves_choices_unknown_and_says_so() -> None:
    told = {s.name: s for s in diagnose(at_random(20), {}, "S")}
    assert told["mode collapse"].verdict == told["favourites"].verdict == "unknown"
    assert "not known here" in told["mode collapse"].measured
    assert told["plateau"].verdict != "unknown"


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("journal-*.jsonl")), ids=lambda file: file.stem)
def test_journals_of_earlier_releases_are_diagnosed(file: Path) -> None:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    events = [from_json(kind, json.dumps(body)) for kind, body in rows]
    assert len(verdicts(events)) == 6
    assert verdicts(events)["unusable answers"] == "ok"


def test_hundreds_of_trials_are_diagnosed_in_seconds() -> None:
    events = at_random(400)
    started = time.process_time()
    assert len(diagnose(events, toy.ACTION_TYPES, "S")) == 6
    assert time.process_time() - started < 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "toy"
    folder.mkdir(parents=True)
    journal = SqliteJournal(folder / "journal.sqlite", writer=True)
    journal.append(*at_random(12))
    journal.close()
    return folder


def test_show_diagnose_prints_verdicts_with_advice_and_is_data_too(folder: Path) -> None:
    shown = CliRunner().invoke(app, ["show", str(folder), "--diagnose"])
    assert shown.exit_code == 0, shown.output
    assert "UNKNOWN  validation overfitting" in shown.output
    assert "-> lamdagent report STUDY.yaml opens it" in shown.output
    data = json.loads(CliRunner().invoke(app, ["show", str(folder), "--diagnose", "--json"]).output)
    assert data["study"] == "toy"
    assert [set(s) for s in data["signatures"]] == [{"name", "verdict", "measured", "advice", "figures"}] * 6


def test_a_diagnosis_is_of_a_whole_study(folder: Path) -> None:
    refused = CliRunner().invoke(app, ["show", str(folder), "3", "--diagnose"])
    assert refused.exit_code != 0
    assert "--diagnose is about a whole study" in str(refused.exception)


def test_a_report_says_what_may_have_gone_wrong_in_markdown_html_and_json(tmp_path: Path) -> None:
    events = list(at_random(30))
    state = reduce_events(events)
    chosen = leaders(state, 6)
    ids = to_test(state, chosen)
    events += [
        HoldoutOpened(models=tuple(ids)),
        *(OnTest(object_id=i, scores=as_test(state.scores[i])) for i in ids),
    ]
    signatures = diagnose(events, toy.ACTION_TYPES, "S.yaml")
    data = report("toy", state, holdout_results_of(events), LocalArtifacts(tmp_path), chosen, signatures)
    assert [s["name"] for s in json.loads(dumps(data))["diagnosis"]] == [s.name for s in signatures]
    assert data.recommended is not None and data.recommended.words in markdown(data)
    spread = spread_over("toy", state, state.trials[data.recommended.trial], {"1": None})
    assert f"on validation: {spread.words}." in markdown(replace(data, repeated=(spread,)))
    text, html = markdown(data), page(data)
    for signature in signatures:
        assert f"| {signature.name} | {signature.verdict} | " in text
        assert f"<td>{signature.name}</td><td>{signature.verdict}</td>" in html
    assert text.count("## What may have gone wrong") == 1
