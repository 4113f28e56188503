"""Does a search find more than its user would by hand: its best pipeline against the best of its `by-hand` study."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lamdagent.core.errors import UserError
from lamdagent.core.format import change_with_interval, origin, with_error
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import ObjectId, Score, TaskWeight
from lamdagent.evaluation.estimates import Difference
from lamdagent.evaluation.ranking import items_of
from lamdagent.results.ledger import ledger_of
from lamdagent.results.result import Section
from lamdagent.study.config import Document, Study
from lamdagent.study.config.schema import study_of
from lamdagent.study.journal import read_journal
from lamdagent.study.read import ReadStudy, best_trial

LABEL, POLICY = "by-hand", "by-hand"
NOT_SEARCHES = (POLICY, "replay")
"""Policies of studies that are held against nothing: they are rivals themselves, or choose nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BestPipeline:
    """The best pipeline of a study, and what all trials of the study took."""

    study: str
    """The study's name."""
    model: str
    """The name of the pipeline's model."""
    how: str
    """The action that made it, in one line."""
    objective: float
    """Its validation objective."""
    stderr: float | None
    """The standard error of that."""
    trials: int
    """How many trials of the study ended."""
    train_rows: int | None
    """Rows that these trained on; null where not known."""
    train_tokens: int | None
    """Tokens that these trained on; null where not known."""

    @property
    def words(self) -> str:
        """`model-3, 0.974 ± 0.006, 2 trials, 33,600 training rows: sft …`."""
        spent = [f"{self.trials} trial{'' if self.trials == 1 else 's'}"]
        spent += [] if self.train_rows is None else [f"{self.train_rows:,} training rows"]
        spent += [] if self.train_tokens is None else [f"{self.train_tokens:,} tokens"]
        return f"{self.model}, {with_error(self.objective, self.stderr)}; {', '.join(spent)}; {self.how}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstHand:
    """The best pipeline of a search against the best that its user would have made by hand."""

    found: BestPipeline | None
    """The best of the search; null while there is none."""
    by_hand: BestPipeline | None
    """The best by hand; null where the rivals were not run."""
    validation: Difference | None
    """The objective of the found one less that by hand, on the validation items that both have; null without them."""
    test: Difference | None
    """The same on the sealed test, where `report` opened it; else null."""
    command: str
    """What runs the rivals."""

    @property
    def title(self) -> str:
        return "against the best by hand"

    def sections(self) -> list[Section]:
        return [Section(parts=[self.words])]

    @property
    def words(self) -> str:
        """What differs and what each took, in three lines; one where the rivals were not run."""
        if self.by_hand is None:
            return f"{self.title}: not run, see what that would give: {self.command}"
        if self.found is None:
            return f"{self.title}: nothing was searched yet\n  by hand  {self.by_hand.words}"
        said = [] if self.validation is None else [f"{_words(self.validation)} on validation, whose items picked both"]
        said += [] if self.test is None else [f"{_words(self.test)} on the sealed test"]
        gap = f"{self.found.objective - self.by_hand.objective:+.3f} as measured, no items in common to pair"
        first = f"{self.title}: {'; '.join(said) or gap}{' (95 %, paired)' if said else ''}"
        return f"{first}\n  found    {self.found.words}\n  by hand  {self.by_hand.words}"


def by_hand_study(study: Study, *, policy: Mapping[str, Any], budget: Mapping[str, Any]) -> Study:
    """The study of what one would try without the search: the study itself, mixing all datasets, under policy `by-hand`.

    Args:
        policy: its mapping in a study file, with its kind.
        budget: likewise; a bound that is not given is none, since the policy ends with its list.
    Raises:
        UserError: the study is no search, or not valid so.
    """
    if study.policy[0] in NOT_SEARCHES:
        raise UserError(
            f"{study.file}: policy {study.policy[0]} is no search to be held against what is made by hand. Give a study "
            f"with another policy, or run this one: lamdagent run {study.file}"
        )
    name = f"{study.body.study}.{LABEL}"
    data: dict[str, Any] = json.loads(json.dumps(study.dump())) | {"study": name, "root": study.body.root}
    if "sft" in data["actions"]:
        data["actions"]["sft"]["datasets"] = [1, "all"]
    data |= {"policy": dict(policy), "memory": {"kind": "table"}, "budget": {"trials": None, **budget}}
    return study_of(Document.of(study.file, data))


def begun(folder: Path) -> State | None:
    """The state of the study in a run folder; None where it has not begun."""
    return reduce_events(read_journal(folder)) if (folder / "journal.sqlite").exists() else None


def standing(study: ReadStudy) -> AgainstHand | None:
    """Where a search stands against its rivals, as far as these were run; None for a study that is no search."""
    rivals = begun(study.folder.with_name(f"{study.name}.{LABEL}"))
    command = f"lamdagent by-hand {study.file or 'STUDY.yaml'}"
    return against_hand(study.name, study.state, rivals, study.artifacts, command)


def against_hand(
    study: str, state: State, rivals: State | None, artifacts: ArtifactStore, command: str
) -> AgainstHand | None:
    """The same of two states."""
    if state.config.get("policy", {}).get("kind") in NOT_SEARCHES:
        return None
    found = _best(study, state)
    by_hand = None if rivals is None else _best(f"{study}.{LABEL}", rivals)
    ours, theirs = best_made(state), None if rivals is None else best_made(rivals)
    validation = None
    if ours is not None and theirs is not None and rivals is not None:
        validation = paired(state.goals, (ours, state.scores[ours]), (theirs, rivals.scores[theirs]), artifacts)
    return AgainstHand(found=found, by_hand=by_hand, validation=validation, test=None, command=command)


Scored = tuple[ObjectId, Sequence[Score]]
Tested = tuple[State, Mapping[ObjectId, Sequence[Score]]]


def on_test(against: AgainstHand, search: Tested, rivals: Tested, artifacts: ArtifactStore) -> AgainstHand:
    """The same with the difference on the sealed test, where both were scored on it.

    Args:
        search: its state, and what its models score on the test.
        rivals: likewise.
    """
    best = [(i, test[i]) for state, test in (search, rivals) if (i := best_made(state)) in test and i is not None]
    if len(best) < 2:
        return against
    return replace(against, test=paired(search[0].goals, best[0], best[1], artifacts))


def paired(goals: Sequence[TaskWeight], ours: Scored, theirs: Scored, artifacts: ArtifactStore) -> Difference | None:
    """The objective of one scored model less another's; None unless both have 2 items or more of each task in common."""
    from lamdagent.evaluation.statistics import difference

    counted = {goal.task for goal in goals if goal.weight}
    a, b = ({s.task: s.task_id for s in scores if s.task in counted} for _, scores in (ours, theirs))
    items = [next(iter(items_of({i: tuple(s)}, [i], artifacts).values()), None) for i, s in (ours, theirs)]
    if a != b or items[0] is None or items[1] is None or any(len(one[t]) < 2 for one in items if one for t in counted):
        return None
    return difference(items[0], items[1], goals, seed=0)


def best_made(state: State) -> ObjectId | None:
    """The best model that a trial made; None where none is scored."""
    trial = best_trial(state)
    return None if trial is None else trial.choice.action.id


def _best(study: str, state: State) -> BestPipeline | None:
    object_id = best_made(state)
    objective = None if object_id is None else state.objective(object_id)
    if object_id is None or objective is None:
        return None
    ledger = ledger_of(state)
    return BestPipeline(
        study=study,
        model=state.pool[object_id].name,
        how=origin(state, object_id),
        objective=objective.value,
        stderr=objective.stderr,
        trials=ledger.trials,
        train_rows=ledger.train_rows,
        train_tokens=ledger.train_tokens,
    )


def _words(found: Difference) -> str:
    return change_with_interval(found.value, found.low, found.high)
