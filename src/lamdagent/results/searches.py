"""The searches of a comparison: run to their end, each with its pick on items that did not pick it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lamdagent.core.items import Draw
from lamdagent.core.protocols import ArtifactStore, Observer
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, objective_of
from lamdagent.core.training import Training
from lamdagent.core.types import ObjectId, Score
from lamdagent.evaluation.ranking import items_of
from lamdagent.results.spending import Run, spendings
from lamdagent.study.config import Study

Arm = list[str]
"""What an arm changes in the study file, as `key=value` texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Scores by item, an array by task. `item_set` names the items: two are paired item by item where it is equal. `draws`
    says how the items of a task were drawn where they were not drawn one by one."""

    item_set: frozenset[str]
    items: Mapping[str, Any]
    draws: Mapping[str, Draw] = field(default_factory=dict)

    def first(self, sizes: Mapping[str, int]) -> Judged:
        """Of the first items of each task, as many as `sizes` says."""
        items = {task: self.items[task][..., :n] for task, n in sizes.items()}
        return replace(self, items=items, draws={task: draw.first(sizes[task]) for task, draw in self.draws.items()})

    def at(self, moments: Sequence[int]) -> Judged:
        """At these moments."""
        return replace(self, items={task: value_KN[moments] for task, value_KN in self.items.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """A search that ended. `training` is what each of its trials trained on. `held_out` is its pick before the first trial
    and after each, moments by items, each item scored by a model that it did not pick; None where items are not kept.
    `tested` is its pick on the sealed test, where all searches of the comparison have spent equally much."""

    state: State
    training: tuple[Training, ...]
    held_out: Judged | None = None
    tested: Judged | None = None


def run_arms(
    whole: Study,
    base: list[str],
    options: list[str],
    grid: Mapping[str, Arm],
    seeds: int,
    test: bool,
    fresh: bool,
    observers_of: Callable[[Study], Sequence[Observer]],
) -> dict[str, list[Searched]]:
    """Every search run to its end, by arm.

    Args:
        test: open the sealed test for the pick of each, as it was when all had spent equally much: the best by validation,
            the base model too.
        fresh: draw the items of every task anew for each seed, the same for all arms.
        observers_of: who is told of the progress of a search.
    """
    from lamdagent.results.rescore import require_tests
    from lamdagent.study.config import load_study
    from lamdagent.study.run import run_loaded

    if test:
        require_tests(whole)
    found: dict[str, list[tuple[Study, Searched]]] = {arm: [] for arm in grid}
    for seed in range(seeds):  # seed by seed, so that a comparison which is stopped early is even
        drawn, ends = (_drawn(whole, seed), f"{seed}-fresh") if fresh else ([], str(seed))
        for arm, changes in grid.items():
            named = [f"seed={seed}", f"study={whole.body.study}.{arm}.{ends}"]
            own = [*base, *named, *drawn, *_known_to(changes, options)]
            study = load_study(whole.file, own)
            print(f"{arm}, seed {seed}", file=sys.stderr, flush=True)
            found[arm].append((study, _judged(study, run_loaded(study, observers=observers_of(study)))))
    if test:
        found = _all_tested(found)
    return {arm: [searched for _, searched in each] for arm, each in found.items()}


def _drawn(whole: Study, seed: int) -> list[str]:
    """What has a study ask items that were drawn for this seed."""
    from lamdagent.study.templates import fresh_items

    tasks = [(str(entry.get("task")), str(entry.get("path", ""))) for entry in whole.body.tasks]
    return fresh_items(whole.home, tasks, whole.root / f"{whole.body.study}.items" / str(seed), seed)


def _judged(study: Study, state: State) -> Searched:
    from lamdagent.study.parts import StudyParts

    parts = StudyParts(study)
    training = ActionSpace(state, parts.action_types).trained
    return Searched(state=state, training=training, held_out=held_out(state, parts.artifacts))


def _all_tested(
    found: Mapping[str, Sequence[tuple[Study, Searched]]],
) -> dict[str, list[tuple[Study, Searched]]]:
    """Every search with its pick on the sealed test, as it was when all had spent equally much."""
    headline = next(iter(spendings(runs_of({arm: [s for _, s in each] for arm, each in found.items()})).values()))
    return {
        arm: [
            (study, replace(s, tested=_tested(study, s.state, moments[-1])))
            for (study, s), moments in zip(each, headline.moments(arm), strict=True)
        ]
        for arm, each in found.items()
    }


def runs_of(arms: Mapping[str, Sequence[Searched]]) -> dict[str, list[Run]]:
    """What is held against each other of searches' spending."""
    return {arm: [Run(state=s.state, training=s.training) for s in each] for arm, each in arms.items()}


def held_out(state: State, artifacts: ArtifactStore) -> Judged | None:
    """The pick of a search at each moment, on items that did not pick it; None where the items are not kept.

    The pick is the best by validation of the base models and what was made by then, without those that break a guard.
    """
    from lamdagent.evaluation.held_out import held_out_picks

    models = [obj for obj in state.of_kind("model") if state.objective(obj.id) and not state.broken(obj.id)]
    made_in = {obj.id: -1 if (trial := state.trial_of(obj.id)) is None else trial.number for obj in models}
    ids = sorted(made_in, key=made_in.__getitem__)
    items = items_of(state.scores, ids, artifacts)
    known = [sum(made_in[i] < moment for i in ids) for moment in range(len(state.trials) + 1)]
    if len(items) < len(ids) or not known[0]:
        return None
    found = held_out_picks([items[i] for i in ids], state.goals, known)
    if found is None:
        return None
    draws = _draws(found, [items[i] for i in ids])
    return Judged(item_set=_item_set(state.scores[ids[0]]), items=found, draws=draws)


def _draws(tasks: Iterable[str], models: Sequence[Mapping[str, Any]]) -> dict[str, Draw]:
    from lamdagent.evaluation.bootstrap import draw_among

    return {task: draw for task in tasks if (draw := draw_among(models, task)) is not None}


def _tested(study: Study, state: State, moment: int) -> Judged:
    import numpy as np

    from lamdagent.results.rescore import tested_models
    from lamdagent.study.parts import StudyParts

    pick = picked(state, moment)
    scores = tested_models(study, [pick])
    items = items_of(scores, [pick], StudyParts(study).artifacts)
    assert objective_of(state.goals, scores[pick]) is not None, "a tested model has a score on every task"
    return Judged(
        item_set=_item_set(scores[pick]),
        items={task: np.asarray(values) for task, values in items[pick].items()},
        draws=_draws(items[pick], [items[pick]]),
    )


def picked(state: State, moment: int) -> ObjectId:
    """The best model by validation of the first `moment` trials; the base model where nothing beats it."""
    ranked = (obj.id for obj, _ in state.ranked())
    return next(i for i in ranked if (trial := state.trial_of(i)) is None or trial.number < moment)


def _item_set(scores: Sequence[Score]) -> frozenset[str]:
    return frozenset(score.task_id for score in scores)


def _known_to(changes: Arm, options: list[str]) -> list[str]:
    """An arm's overrides with the dotted options that its policy knows."""
    from lamdagent.study import registry

    kind = next((c.partition("=")[2] for c in changes if c.startswith("policy.kind=")), None)
    fields = registry.find("policies", kind.strip('"')).Config.model_fields if kind else {}
    return [*changes, *(o for o in options if not o.startswith("policy.") or o[7:].partition("=")[0] in fields)]
