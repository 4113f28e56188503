"""What the judging commands have scored: the test of the leaders, or more validation items."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from lamdagent.core.errors import UserError
from lamdagent.core.events import Event
from lamdagent.core.jobs import Job
from lamdagent.core.search import job_of, recipes_of, with_ancestors
from lamdagent.core.state import State
from lamdagent.core.types import Made, ObjectId, Outcome, Score, Split, Trial
from lamdagent.evaluation.ranking import items_of
from lamdagent.results.by_hand import (
    LABEL,
    NOT_SEARCHES,
    against_hand,
    begun,
    best_made,
    by_hand_study,
    on_test,
)
from lamdagent.results.diagnosis import diagnose
from lamdagent.results.holdout import holdout_results_of
from lamdagent.results.leaders import chosen_models, leaders, to_test
from lamdagent.results.repetition import repetition
from lamdagent.results.report import Report, report
from lamdagent.results.rerun import load_state, require_begun
from lamdagent.results.validation_size import ValidationSizes, validation_sizes
from lamdagent.study.config import Study
from lamdagent.study.journal import read_journal
from lamdagent.study.open import OpenStudy, open_study
from lamdagent.study.parts import StudyParts

TestScores = Mapping[ObjectId, tuple[Score, ...]]


def tested_leaders(study: Study, top: int) -> Report:
    """The report on the best models, after scoring on the test what was not tested before.

    Raises:
        UserError: a task has no test side, or nothing was made yet.
    """
    require_tests(study)
    rivals = _tested_rivals(study)  # before the search is opened: not two studies at once
    with _begun(study) as opened:
        search, artifacts = opened.search, opened.parts.artifacts
        chosen = chosen_models(search.state, top, artifacts)
        if not chosen:
            raise UserError(f"study {study.body.study!r} has no scored trial yet. Go on: lamdagent run {study.file}")
        events = _tested(opened, to_test(search.state, chosen))
        seen, signatures = holdout_results_of(events), diagnose(events, search.action_types, str(study.file), artifacts)
        state, test = rivals or (None, {})
        against = against_hand(study.body.study, search.state, state, artifacts, f"lamdagent by-hand {study.file}")
        if against is not None and state is not None:
            against = on_test(against, (search.state, seen.scores), (state, test), artifacts)
        trials = [trial for trial in map(search.state.trial_of, chosen) if trial is not None]
        found = (repetition(study.body.study, search.state, trial, study.folder) for trial in trials)
        repeated = [one for one in found if one is not None]
        return report(study.body.study, search.state, seen, artifacts, chosen, signatures, against, repeated)


def _tested_rivals(study: Study) -> tuple[State, TestScores] | None:
    """What was made by hand, and what the best of it scores on the sealed test; None where nothing was."""
    rivals = begun(study.folder.with_name(f"{study.body.study}.{LABEL}"))
    best = None if rivals is None else best_made(rivals)
    if rivals is None or best is None or study.policy[0] in NOT_SEARCHES or best_made(load_state(study)) is None:
        return None
    # With its own policy and budget, else it would have been changed.
    derived = by_hand_study(study, policy=rivals.config["policy"], budget=rivals.config["budget"])
    return rivals, tested_models(derived, [best])


def require_tests(study: Study) -> None:
    """Raises: UserError: a task has no test side."""
    if missing := [task.name for task in StudyParts(study).tasks if not task.has_test]:
        raise UserError(
            f"{study.file}: no sealed test for task {', '.join(missing)}. Give each a `test:` beside its `path:` "
            "(it may be added now; nothing is scored again)."
        )


def tested_models(study: Study, ids: Sequence[ObjectId]) -> TestScores:
    """Scores on the sealed test, after scoring what was not tested before.

    Raises:
        UserError: a task has no test side, or a model could not be tested.
    """
    require_tests(study)
    with _begun(study) as opened:
        scores = holdout_results_of(_tested(opened, ids)).scores
    return {i: scores[i] for i in ids}


def _tested(opened: OpenStudy, wanted: Sequence[ObjectId]) -> Sequence[Event]:
    """Open the test for models that were not tested before; what the journal holds then."""
    search, folder = opened.search, opened.study.folder
    # A test that was exchanged is another test: what was scored on the former one does not count.
    sides = {task.ids["test"] for task in opened.parts.tasks}
    events = tuple(read_journal(folder))
    known = holdout_results_of(events).scores
    fresh = [i for i in wanted if {score.task_id for score in known.get(i, ())} != sides]
    if not fresh:
        return events
    search.open_test_set(fresh)
    for object_id, outcome in _scored(opened, fresh, "test", None):
        search.record_test(search.state.pool[object_id], outcome)
    return tuple(read_journal(folder))


def tested_again(study: Study, picked: ObjectId, derived: Study, ids: Sequence[ObjectId]) -> TestScores | None:
    """What models of a derived study score on the sealed test; None unless that was opened before for the model that its
    study picked. A closed test stays closed.
    """
    known = holdout_results_of(read_journal(study.folder)).scores
    if picked not in known or not all(task.has_test for task in StudyParts(derived).tasks):
        return None
    return tested_models(derived, ids)


def measured_sizes(study: Study, sizes: Sequence[int], top: int) -> ValidationSizes:
    """Rank stability by validation size, after asking more items where a size needs them.

    Raises:
        UserError: fewer than 3 scored trials, or one cannot be scored.
    """
    from lamdagent.evaluation.statistics import contenders, stability

    with _begun(study) as opened:
        state = opened.search.state
        ids, scores = leaders(state, top), dict(state.scores)
        made = leaders(state, len(state.trials))
        if len(ids) < 3:
            raise UserError(f"study {study.body.study!r} has {len(ids)} scored trials; ranks need 3 or more.")
        if any(score.n < max(sizes) for i in ids for score in scores[i]):
            for object_id, outcome in _scored(opened, ids, "validation", max(sizes)):
                if not isinstance(outcome, Made):
                    raise UserError(f"{state.pool[object_id].name} could not be scored: {outcome.message}")
                scores[object_id] = outcome.scores
        models = items_of(scores, made, opened.parts.artifacts)
        asked = [i for i in ids if i in models]
        stored = min(score.n for i in asked for score in scores[i])
        try:
            rows = stability(models, state.goals, sizes, len(asked), seed=state.seed)
        except ValueError as error:
            raise UserError(f"study {study.body.study!r}: {error}. Go on with the search, or ask more items.") from None
        alike = len(contenders({i: models[i] for i in asked}, state.goals, seed=state.seed))
    return validation_sizes(study.body.study, rows, top=len(asked), stored=stored, contenders=alike)


def make_again(study: Study, trial: Trial) -> None:
    """Make what a trial made once more.

    Raises:
        UserError: that failed.
    """
    with _begun(study) as opened:
        opened.runner.submit(replace(job_of(trial, opened.search.state), leader=None))
        ended = [outcome for _, outcome in opened.runner.wait()]
    for outcome in ended:
        if not isinstance(outcome, Made):
            raise UserError(f"trial {trial.number} could not be made again ({outcome.cause}): {outcome.message}")


def _begun(study: Study) -> AbstractContextManager[OpenStudy]:
    require_begun(study)
    return open_study(study)


def _scored(
    opened: OpenStudy, ids: Sequence[ObjectId], split: Split, items: int | None
) -> list[tuple[ObjectId, Outcome]]:
    """Have models scored, base models first; a line of progress for each."""
    state, runner = opened.search.state, opened.runner
    bases = [i for i in ids if state.pool[i].made_by is None]
    done: list[tuple[ObjectId, Outcome]] = []
    for group in (bases, [i for i in ids if i not in bases]):
        by_name = {state.pool[i].name: i for i in group}
        for name, object_id in by_name.items():
            objects = with_ancestors(state, [object_id])
            runner.submit(
                Job(
                    key=name,
                    action=None,
                    objects=objects,
                    split=split,
                    items=items,
                    spent=state.spent_by_search,
                    recipes=recipes_of(state, objects),
                )
            )
        left = set(by_name)
        while left:
            for key, outcome in runner.wait(1.0):
                left.discard(str(key))
                done.append((by_name[str(key)], outcome))
                print(f"{split}: {len(done)} of {len(ids)} models, {key}", file=sys.stderr, flush=True)
    return done
