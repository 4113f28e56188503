"""One trial: what was chosen and why, what came of it, and what it cost."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamdagent.core.evidence import MeanGain, dataset_gains
from lamdagent.core.format import (
    action_of,
    duration,
    guard_breaks,
    result,
    size,
    trained_on,
    with_interval,
)
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State, objective_of
from lamdagent.core.text import one_line
from lamdagent.core.types import Cost, Failed, Kind, Made, Object, ObjectId, Score, Status, Trial
from lamdagent.evaluation.estimates import Corrected
from lamdagent.evaluation.ranking import luck_words, without_luck
from lamdagent.results.holdout import HoldoutResults
from lamdagent.results.repetition import Repetition
from lamdagent.results.result import Facts, Part, Section, Verbatim
from lamdagent.results.scores import SideObjective, TaskScore, side_objective, task_scores

FIGURES = (
    "examples",
    "cut_examples",
    "steps",
    "first_loss",
    "last_loss",
    "held_out_loss",
    "least_loss",
    "end_rate",
    "distance",
    "dropped",
    "overlapping",
)
"""What an object's `meta` may say of how it was made."""
VERDICTS_SHOWN = 3  # of each task
ROWS_SHOWN = 3
ROW_CHARS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRecord:
    """An action with its inputs by name."""

    type: str
    """The action type."""
    inputs: Mapping[str, tuple[str, ...]]
    """The names of the inputs by slot."""
    id: str
    """The action's id, which is that of the object it makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """A trial as plain values."""

    number: int
    """Counted from 0."""
    status: Status
    """Whether it made something, failed, or was stopped from outside."""
    result: str
    """What came of it, in a few words."""
    made: str | None
    """The name of what it made."""
    kind: Kind | None
    """Whether that is a model or a dataset."""
    objective: float | None
    """The validation objective of what it made."""
    stderr: float | None
    """The standard error of that."""
    low: float | None
    """Lower end of its 95 % interval, which covers the draw of the items."""
    high: float | None
    """Upper end."""
    scores: Mapping[str, TaskScore]
    """Validation scores by task, as they were when it ended."""
    action: ActionRecord
    """What was done."""
    label: str
    """The same as one line of text."""
    broken_guards: tuple[str, ...]
    """The tasks whose guards its model breaks."""
    reason: str
    """Why it was chosen, in the policy's words."""
    by: str
    """The policy that chose it."""
    plan: str
    """What the policy planned to do after it, which binds nobody; empty where it said nothing."""
    cause: str | None
    """Why it failed or was stopped, in one word."""
    message: str | None
    """The same in a sentence."""
    cost: Cost | None
    """What it trained on, seconds, by phase too, and peak memory in bytes; null while it runs."""
    tokens: int
    """Tokens that a language model was asked and answered for it."""
    usd: float | None
    """What these cost; null where a price is not known."""
    memory: str | None
    """The memory after it."""


def trial_record(state: State, trial: Trial) -> TrialRecord:
    """The record of a trial."""
    outcome, action = trial.outcome, trial.choice.action
    asked, objective = llm_calls_for(state, trial), state.objective(action.id)
    failed = outcome if isinstance(outcome, Failed) else None
    made = outcome.object if isinstance(outcome, Made) else None
    return TrialRecord(
        number=trial.number,
        status=trial.status,
        result=result(state, trial),
        made=made.name if made else None,
        kind=made.kind if made else None,
        objective=None if objective is None else objective.value,
        stderr=None if objective is None else objective.stderr,
        low=None if objective is None else objective.low,
        high=None if objective is None else objective.high,
        scores=task_scores(outcome.scores, state.goals) if isinstance(outcome, Made) else {},
        action=ActionRecord(
            type=action.type,
            inputs={slot: tuple(state.pool[i].name for i in ids) for slot, ids in action.inputs.items()},
            id=action.id,
        ),
        label=action_of(state, trial),
        broken_guards=tuple(guard.task for guard, _ in state.broken(action.id)),
        reason=trial.choice.reason,
        by=trial.choice.by,
        plan=trial.choice.plan,
        cause=None if failed is None else failed.cause,
        message=None if failed is None else failed.message,
        cost=None if outcome is None else outcome.cost,
        tokens=sum(e.tokens_in + e.tokens_out for e in asked),
        usd=None if any(e.usd is None for e in asked if e.answer is not None) else sum(e.usd or 0.0 for e in asked),
        memory=state.memories.get(trial.number),
    )


def llm_calls_for(state: State, trial: Trial) -> tuple[LLMCall, ...]:
    """What a language model was asked for a trial."""
    return tuple(call for call in state.llm_calls if call.trial == trial.number)


def spending(tokens_in: int, tokens_out: int, usd: float | None, *, estimated: bool) -> str:
    """`1,200 tokens in, 80 out, 0.0012 USD`; None is a price that is not known."""
    price = "price unknown" if usd is None else f"{usd:.4f} USD"
    about = " (estimated from the text, where the server reported no tokens)" if estimated else ""
    return f"{tokens_in:,} tokens in, {tokens_out:,} out, {price}{about}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialDetail:
    """A trial with all that is known of it."""

    study: str
    """The study's name."""
    trial: TrialRecord
    """The trial, as in the `trials` of `show`."""
    scores: Mapping[str, TaskScore]
    """Validation scores by task as they are now: a race may have asked more items since it ended."""
    guards: str
    """Which guards its model breaks and by how much, in words; empty where it holds them all."""
    test: SideObjective | None
    """Its objective on the sealed test; null where that was not opened for it."""
    without_luck: Corrected | None
    """Its objective less the luck of having been picked from all models; null where items are not kept."""
    repeated: Repetition | None
    """What its pipeline gave with other training seeds; null where `repeat` made it with none."""
    figures: Mapping[str, Any]
    """What its object says of how it was made, such as `steps` and `last_loss`."""
    rows: tuple[str, ...] | None
    """The first rows of the dataset that it made, each cut to 300 characters; null for a model, or where they are gone."""
    verdicts: tuple[str, ...]
    """The first items that a language model judged, each with its number, the reason and the answer, cut."""
    gain: MeanGain | None
    """What models trained on its dataset gained over their best parent; null for a model, or where none was trained."""
    log_tail: str
    """The end of its log, where it failed or was stopped."""
    memory_before: str
    """The memory before it."""
    transcript: tuple[LLMCall, ...]
    """All that a language model was asked for it, and what it answered; empty unless `--transcript` was given."""
    tokens_in: int
    """Tokens that a language model was asked."""
    tokens_out: int
    """Tokens that it answered."""
    questions: int
    """How many questions these were."""
    asked: tuple[str, ...]
    """The language models that they went to."""
    estimated: bool
    """Whether tokens and USD of some are estimated from the text, since the server reported none."""

    @property
    def title(self) -> str:
        return f"trial {self.trial.number} of {self.study}"

    def sections(self) -> list[Section]:
        if self.transcript:
            return [_call(number, call) for number, call in enumerate(self.transcript, 1)]
        trial = self.trial
        parts: list[Part] = [f"trial {trial.number}: {trial.label}\nresult: {trial.result}\n{self._by()}"]
        facts = [(task, score.words) for task, score in self.scores.items()]
        facts += [("guards", self.guards)] if self.guards else []
        facts += [self._judged()] if self.test or self.without_luck else []
        facts += [("other seeds", self.repeated.words)] if self.repeated else []
        facts += [(name, str(value)) for name, value in self.figures.items()]
        parts += [Facts(rows=facts)] if facts else []
        parts += self._dataset() if trial.kind == "dataset" else []
        parts += ["the first items that were judged:", Verbatim(text="\n".join(self.verdicts))] if self.verdicts else []
        if trial.cause is not None:
            parts += [f"{trial.result}: {trial.message}", "the end of its log:", Verbatim(text=self.log_tail)]
        memories = (("Memory before", self.memory_before), ("Memory after", trial.memory or ""))
        return [
            Section(parts=parts),
            *(Section(heading=when, parts=[Verbatim(text=text)]) for when, text in memories if text),
        ]

    def _judged(self) -> tuple[str, str]:
        """Its objective as far as no item that picked it has a say: on the sealed test, else less the luck of the pick."""
        if self.test is not None:
            found = with_interval(self.test.value, self.test.low, self.test.high)
            return "sealed test", f"objective {found} (95 %): these items had no part in picking it"
        assert self.without_luck is not None
        return "without luck", luck_words(self.without_luck)

    def _dataset(self) -> list[Part]:
        """What its dataset is worth, and what it looks like."""
        worth = "no model was trained on it yet" if self.gain is None else f"models trained on it gained {self.gain}"
        if self.rows is None:
            return [f"{worth}\nits rows are not kept any more"]
        return [worth, "the first rows:", Verbatim(text="\n".join(self.rows))]

    def _by(self) -> str:
        """Who chose it and why, how long it took, and what a language model was asked."""
        trial, cost = self.trial, self.trial.cost
        lines = [f"chosen by {trial.by}: {trial.reason}"]
        lines += [f"planned: {trial.plan}"] if trial.plan else []
        if cost is not None:
            phases = ", ".join(f"{phase} {duration(s)}" for phase, s in cost.phases_s.items())
            memory = f"; peak memory {size(cost.peak_bytes)}" if cost.peak_bytes else ""
            made = f"; found already made in {duration(cost.saved_s)}" if cost.reused else ""
            lines += [trained_on(cost.training), f"took {duration(cost.wall_s)} ({phases}){memory}{made}"]
        if self.questions:
            spent = spending(self.tokens_in, self.tokens_out, trial.usd, estimated=self.estimated)
            lines.append(f"language model {' and '.join(self.asked)}: {self.questions} questions, {spent}")
        return "\n".join(lines)


def _call(number: int, call: LLMCall) -> Section:
    answer = call.answer if call.answer is not None else "none came"
    parts: list[Part] = []
    for name, text in (("system", call.system), ("prompt", call.prompt), ("answer", answer)):
        parts += [f"{name}:", Verbatim(text=text)]
    parts += [f"of no use: {call.error}"] if call.error else []
    parts += [f"asked otherwise, since the provider refused a part: {', '.join(call.adapted)}"] if call.adapted else []
    parts += [f"ended by: {call.finish}"] if call.finish else []
    return Section(heading=f"Question {number}, {call.purpose}, to {call.model}, {duration(call.wall_s)}", parts=parts)


def trial_detail(
    study: str,
    state: State,
    trial: Trial,
    artifacts: ArtifactStore,
    *,
    transcript: bool = False,
    test: HoldoutResults = HoldoutResults(),
    repeated: Repetition | None = None,
) -> TrialDetail:
    """All that is known of a trial.

    Args:
        test: what was seen of the sealed test.
        repeated: what its pipeline gave with other training seeds.
    """
    outcome, object_id, asked = trial.outcome, trial.choice.action.id, llm_calls_for(state, trial)
    made = outcome.object if isinstance(outcome, Made) else None
    meta = {} if made is None else made.meta
    earlier = [number for number in state.memories if number < trial.number]
    return TrialDetail(
        study=study,
        trial=trial_record(state, trial),
        scores=task_scores(state.scores.get(object_id, ()), state.goals),
        guards=guard_breaks(state, object_id),
        test=side_objective(objective_of(state.goals, test.scores.get(object_id, ()))),
        without_luck=without_luck(state, object_id, artifacts),
        repeated=repeated,
        figures={name: meta[name] for name in FIGURES if name in meta},
        rows=None if made is None or made.kind != "dataset" else _first_rows(made, artifacts),
        verdicts=_verdicts(object_id, state.scores.get(object_id, ()), artifacts),
        gain=dataset_gains(state).get(object_id),
        log_tail=outcome.log_tail if isinstance(outcome, Failed) else "",
        memory_before=state.memories[max(earlier)] if earlier else "",
        transcript=asked if transcript else (),
        tokens_in=sum(e.tokens_in for e in asked),
        tokens_out=sum(e.tokens_out for e in asked),
        questions=len(asked),
        asked=tuple(dict.fromkeys(call.model for call in asked)),
        estimated=any(call.estimated for call in asked),
    )


def _first_rows(dataset: Object, artifacts: ArtifactStore) -> tuple[str, ...] | None:
    try:
        with (artifacts.open(dataset.id) / "data.jsonl").open(encoding="utf-8") as rows:
            lines = [line.rstrip("\n") for line in itertools.islice(rows, ROWS_SHOWN)]
    except FileNotFoundError:
        return None
    return tuple(line if len(line) <= ROW_CHARS else line[: ROW_CHARS - 1] + "…" for line in lines)


def _verdicts(object_id: ObjectId, scores: Sequence[Score], artifacts: ArtifactStore) -> tuple[str, ...]:
    lines = []
    for score in scores:
        file = artifacts.open(object_id) / "scores" / f"{score.task_id}.{score.split}.json"
        try:
            items = json.loads(file.read_text(encoding="utf-8"))["items"] if score.task_id else []
        except (FileNotFoundError, ValueError, KeyError):  # gone or damaged: the score stands in the journal
            continue
        for item in [item for item in items if "reason" in item][:VERDICTS_SHOWN]:
            said = one_line(f"{item['value']:g}: {item['reason']} (answer: {item['answer']}")
            lines.append(f"{score.task} {said if len(said) < ROW_CHARS else said[: ROW_CHARS - 1] + '…'})")
    return tuple(lines)
