"""Learn what actions do, and choose where most is to be gained: Bayesian optimisation on the action space.

Every candidate's scores are predicted with their uncertainty (`effects.py`); the choice is the one with the greatest
expected improvement of the objective over the best model so far, times the probability that it ends in a model and
holds the guards. Running trials count as if they had ended as predicted.

Source: expected improvement, Jones, Schonlau and Welch 1998; running trials as in the kriging believer, Ginsbourger,
Le Riche and Carraro 2010.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lamdagent.core.config import Config
from lamdagent.core.format import with_error
from lamdagent.core.protocols import Advice
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import ONE_SIDED_95, State
from lamdagent.core.types import Action, Choice, Failed, Guard, ObjectId, Slot, Trial
from lamdagent.policies.imagined import imagine
from lamdagent.policies.moves import at_random, model_slots, one_by_one, seeded, with_varied_settings
from lamdagent.policies.surrogate.candidates import EMPTY, CandidateSet, candidates, of_actions
from lamdagent.policies.surrogate.features import lineage_features
from lamdagent.policies.surrogate.model import PRIOR_NOISE, EffectModel, design_of

Floats = NDArray[np.float64]
Group = tuple[int, ...]  # positions in the pool

TERMS = 3  # of a prediction that a reason names,
SHOWN = 0.005  # if they move the objective by so much
IMAGINED = 30  # datasets that could be made, at most, which are ranked like those that are there
FAILS = 0.1  # how likely a trial is to fail, before any has ended,
FAILS_TRIALS = 1.0  # and how many trials that weighs as much as


class SurrogateConfig(Config):
    """A Bayesian model of what actions do to each task's score, learned within the study; no LLM is asked."""

    candidates: int = Field(50_000, ge=100, description="most candidates that are ranked for each action type")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is predicted of candidates, (n,) each: the objective that would be measured, with its standard deviation, and
    how much of an improvement over the best model is to be expected."""

    mean: Floats
    sd: Floats
    gain: Floats


class Surrogate:
    """Ranks what can be done by its expected improvement, from what the study's trials have taught so far.

    A dataset that could be made is taken to do what those do that it is made from, and something of its own. What a
    model gains on it costs two trials, so making it is worth half of that. Other action types that make no model from
    models are not ranked; they are drawn where nothing else is left.

    Args:
        candidates: most candidates of an action type that are ranked; where there are more, so many are drawn.
    """

    Config = SurrogateConfig
    name = "surrogate"

    def __init__(self, *, candidates: int = 50_000) -> None:
        self._most = candidates

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        return one_by_one(state, space, n, self._choose)

    def shortlist(self, state: State, space: ActionSpace, n: int) -> list[Choice] | str:
        """At most `n` different feasible choices: two in three promise most, the others are the least certain. Why there
        are none, in words, where that is so."""
        beliefs = SurrogateModel(state, space, self._most)
        return self._shortlist(beliefs, n) or beliefs.why_none()

    def advice(self, state: State, space: ActionSpace, n: int) -> Advice:
        """The shortlist, and the best that is predicted with each object."""
        beliefs = SurrogateModel(state, space, self._most)
        return Advice(candidates=self._shortlist(beliefs, n), best_with=beliefs.best_with())

    def _shortlist(self, beliefs: SurrogateModel, n: int) -> list[Choice]:
        best = beliefs.best(n - n // 3, lambda prediction: prediction.gain)
        unsure = [one for one in beliefs.best(n, lambda prediction: prediction.sd) if one not in best]
        return [Choice(action=action, reason=reason, by=self.name) for action, reason in (best + unsure)[:n]]

    def _choose(self, state: State, space: ActionSpace) -> Choice | None:
        beliefs = SurrogateModel(state, space, self._most)
        for action, reason in beliefs.best(1, lambda prediction: prediction.gain):
            return Choice(action=action, reason=reason, by=self.name)
        return at_random(space, seeded(state), by=self.name, why=beliefs.why_none())


class SurrogateModel:
    """What a state's trials say of everything that its space offers.

    Args:
        most: candidates of an action type, at most.
    """

    def __init__(self, state: State, space: ActionSpace, most: int) -> None:
        varied = with_varied_settings(state, space)
        self._imagined = imagine(varied, space.over(varied), IMAGINED)
        state, space = self._imagined.state, self._imagined.space
        self._state, self._menu = state, space
        self._pool = list(state.pool)
        self._place = {object_id: i for i, object_id in enumerate(self._pool)}
        self._past = lineage_features(state, self._imagined.makers)
        self._scores, self._errors, self._reach = _table(state)
        total = sum(g.weight for g in state.goals)
        self._weights = np.array([g.weight / g.max_score / total for g in state.goals]) * self._reach
        ranked = state.ranked()
        self.incumbent = max((v.value for o, v in ranked if not state.broken(o.id)), default=-math.inf)
        self._effects: dict[str, list[EffectModel]] = {}
        self._ranked: list[tuple[CandidateSet, Prediction]] = []
        rng = seeded(state)
        self._seed = rng.getrandbits(32)
        self._models = [obj.id for obj, _ in ranked]
        self._shares = self._trial_shares()
        for type in space.types if self._models else ():
            if space.types[type].makes == "model" and model_slots(space.types[type]):
                self._effects[type] = self._learned(type)
                fills = candidates(space, type, self._place, self._models, most, rng.getrandbits(32))
                if len(fills):
                    self._ranked.append((fills, self._predict(fills)))

    @property
    def count(self) -> int:
        """How many candidates were ranked."""
        return sum(len(fills) for fills, _ in self._ranked)

    def predict(self, action: Action) -> tuple[float, float] | None:
        """The objective that would be measured of an action's model, and its standard deviation; None where nothing can
        be said of its type."""
        if action.type not in self._effects:
            return None
        prediction = self._predict(of_actions(action.type, self._menu.slots(action.type), [action], self._place))
        return float(prediction.mean[0]), float(prediction.sd[0])

    def best_with(self) -> dict[ObjectId, tuple[float, float]]:
        """By object, the highest objective that is predicted of a candidate which holds it, and its standard deviation."""
        means, sds = np.full(len(self._pool), -math.inf), np.zeros(len(self._pool))
        for fills, prediction in self._ranked:
            order = np.argsort(prediction.mean)
            for column in np.hstack([fills.models, fills.others]).T:
                rows = order[column[order] != EMPTY]
                found = np.full(len(self._pool), -math.inf)
                found[column[rows]] = prediction.mean[
                    rows
                ]  # of equal positions the last one stays, which is the highest
                sd = np.zeros(len(self._pool))
                sd[column[rows]] = prediction.sd[rows]
                means, sds = np.where(found > means, found, means), np.where(found > means, sd, sds)
        return {i: (float(means[k]), float(sds[k])) for k, i in enumerate(self._pool) if math.isfinite(means[k])}

    def best(self, n: int, value: Callable[[Prediction], Floats]) -> list[tuple[Action, str]]:
        """The `n` feasible candidates of the highest value, and in words what is predicted of each."""
        if not self._ranked:
            return []
        values = np.concatenate([value(prediction) * self._share(fills) for fills, prediction in self._ranked])
        # Equal candidates, such as all of a study's first ones, are taken in random order.
        order = np.lexsort((np.random.default_rng(self._seed).random(len(values)), -values))
        starts = np.cumsum([0, *(len(fills) for fills, _ in self._ranked)])
        found: dict[str, tuple[Action, str]] = {}
        # Refusals are looked past however many they are: combinations that are never done stay the least certain ones,
        # so they crowd the front of the order.
        for at in order.tolist():
            part = int(np.searchsorted(starts, at, side="right")) - 1
            (fills, prediction), row = self._ranked[part], at - int(starts[part])
            inputs = fills.inputs(row, self._pool)
            if self._apart(fills.type, inputs):
                continue
            action = self._menu.action(fills.type, inputs)
            if action.id not in found and self._menu.why_invalid(action) is None:
                first = self._imagined.first(action, self._reason(fills, prediction, row))
                found.setdefault(first[0].id, first)
                if len(found) == n:
                    break
        return list(found.values())

    def why_none(self) -> str:
        """Why there is no best candidate, in words."""
        if not self._models:
            return "no model has scores yet"
        if not self._effects:
            return "no action type makes a model from models"
        actions = [self._menu.action(f.type, f.inputs(i, self._pool)) for f, _ in self._ranked for i in range(len(f))]
        if not actions:
            return "no scored model can be put into an action"
        untried = [action for action in actions if action.id not in self._state.tried]
        if not untried:
            return "every action that can be predicted was tried"
        refusal = self._menu.why_invalid(untried[0])
        return f"{len(actions):,} candidates ranked, all tried or refused, such as: {refusal}"

    def _trial_shares(self) -> Floats:
        """How much of what is gained on an object a trial now is worth, (pool,): 1, but half of it where a dataset must
        be made first, times the probability that it can be made."""
        shares = np.ones(len(self._pool))
        for i, maker in self._imagined.makers.items():
            made = of_actions(maker.type, self._menu.slots(maker.type), [maker], self._place)
            shares[self._place[i]] = self._ends(made)[0] / 2
        return shares

    def _share(self, fills: CandidateSet) -> Floats:
        found: Floats = np.where(fills.others == EMPTY, 1.0, self._shares[fills.others]).prod(axis=1)
        return found

    def _apart(self, type: str, inputs: Mapping[str, Sequence[ObjectId]]) -> bool:
        """Whether objects do not go together: a tenth of what `why_invalid` takes, which is asked only of the others."""
        pool = self._state.pool
        objects = {slot: [pool[i] for i in ids] for slot, ids in inputs.items()}
        return self._menu.types[type].validate(objects) is not None

    def _predict(self, fills: CandidateSet) -> Prediction:
        means, unsure, sds = [], [], []
        for task, effects in enumerate(self._effects[fills.type]):
            design, parents = design_of(fills, self._past, self._scores[task])
            gained, sd = effects.predict(design)
            means.append(np.clip(parents + gained, min(0.0, np.nanmin(self._scores[task])), 1.0))
            unsure.append(sd)
            sds.append(np.hypot(sd, effects.noise))
        mean, sd = np.stack(means), np.stack(sds)
        objective = self._weights @ mean
        # Chance is no promise: with its noise, ever new merges of nearly equal models would look worth their trials.
        gain = expected_improvement(objective, _together(self._weights, unsure), self.incumbent) * self._ends(fills)
        for guard in self._state.guards:
            gain = gain * self._holds(guard, fills, mean, sd)
        return Prediction(objective, _together(self._weights, sds), gain)

    def _learned(self, type: str) -> list[EffectModel]:
        """The effects of a type on each task, running trials taken to end as predicted."""
        slots = self._menu.slots(type)
        trials = [t for t in self._state.trials if t.choice.action.type == type and self._usable(t)]
        ended = [t.choice.action for t in trials if t.outcome is not None]
        running = [t.choice.action for t in trials if t.outcome is None]
        fills = of_actions(type, slots, ended, self._place)
        made = [self._place[action.id] for action in ended]
        learned = []
        for scores, errors in zip(self._scores, self._errors, strict=True):
            design, parents = design_of(fills, self._past, scores)
            gained = scores[made] - parents
            noise = errors[made] ** 2 + np.where(fills.models != EMPTY, errors[fills.models] ** 2, 0.0).mean(axis=1)
            weights = PRIOR_NOISE**2 / (PRIOR_NOISE**2 + noise)
            effects = EffectModel(design, gained, weights)
            if running:
                more, _ = design_of(of_actions(type, slots, running, self._place), self._past, scores)
                expected, _ = effects.predict(more)
                effects = EffectModel(
                    design + more, np.append(gained, expected), np.append(weights, np.ones(len(running)))
                )
            learned.append(effects)
        return learned

    def _usable(self, trial: Trial) -> bool:
        action = trial.choice.action
        models = [i for i in action.object_ids if self._state.pool[i].kind == "model"]
        wanted = models if trial.outcome is None else [*models, action.id]
        return not isinstance(trial.outcome, Failed) and all(self._state.objective(i) is not None for i in wanted)

    def _ends(self, fills: CandidateSet) -> Floats:
        """The probability that a trial of each row makes a model.

        The share of failures of the action type is the prior of each object's, and the worst of a row's objects that of
        their combination. A trial that was stopped from outside says nothing.
        """
        ended = [
            t
            for t in self._state.trials
            if t.choice.action.type == fills.type
            and t.outcome is not None
            and not (isinstance(t.outcome, Failed) and t.outcome.stopped)
        ]
        groups: list[list[Group]] = [_groups_of(t.choice.action, self._place, fills.slots) for t in ended]
        used = Counter(group for found in groups for group in found)
        failed = Counter(
            group for t, found in zip(ended, groups, strict=True) for group in found if isinstance(t.outcome, Failed)
        )

        def risk(group: Group, prior: float) -> float:
            return (failed[group] + prior * FAILS_TRIALS) / (used[group] + FAILS_TRIALS)

        combinations, at = np.unique(fills.others, axis=0, return_inverse=True)
        risks = []
        for row in combinations.tolist():
            whole: Group = tuple(i for i in row if i != EMPTY)
            share = risk((), FAILS)
            risks.append(risk(whole, max((risk((i,), share) for i in whole), default=share)))
        return 1.0 - np.array(risks)[at.reshape(-1)]

    def _holds(self, guard: Guard, fills: CandidateSet, mean: Floats, sd: Floats) -> Floats:
        """The probability that a row's model will not be seen to break a guard."""
        k = [goal.task for goal in self._state.goals].index(guard.task)
        roots = [
            self._place.get(obj.root, i) if obj.kind == "model" else i
            for i, obj in enumerate(self._state.pool.values())
        ]
        base = self._scores[k][np.array(roots)[fills.models[:, 0]]]
        seen = ONE_SIDED_95 * float(np.nanmedian(self._errors[k]))
        allowed = guard.max_drop / self._reach[k]
        return _normal_cdf((mean[k] - (base - allowed - seen)) / sd[k])

    def _reason(self, fills: CandidateSet, prediction: Prediction, row: int) -> str:
        """`predicted 0.530 ± 0.060, best so far 0.470; sort +0.05 by dataset sort`: the objective, and what adds most."""
        only = CandidateSet(fills.type, fills.slots, fills.models[row : row + 1], fills.others[row : row + 1])
        names = {
            slot: "+".join(self._state.pool[i].name for i in ids) for slot, ids in only.inputs(0, self._pool).items()
        }
        found = []
        for k, effects in enumerate(self._effects[fills.type]):
            design, _ = design_of(only, self._past, self._scores[k])
            for name, term in effects.terms(design).items():
                what = " and ".join(f"{part} {names[part]}" if part in names else part for part in name.split(" and "))
                found.append(
                    (self._weights[k] * term, f"{self._state.goals[k].task} {term * self._reach[k]:+.2f} by {what}")
                )
        strongest = sorted((one for one in found if abs(one[0]) >= SHOWN), key=lambda one: -abs(one[0]))[:TERMS]
        terms = "; ".join(["", *(shown for _, shown in strongest)])
        return (
            f"predicted {with_error(prediction.mean[row], prediction.sd[row])}, best so far {self.incumbent:.3f}{terms}"
        )


def _together(weights: Floats, sds: Sequence[Floats]) -> Floats:
    """The standard deviation of the objective from those of the tasks, taken as independent."""
    found: Floats = np.sqrt(weights**2 @ np.stack(sds) ** 2)
    return found


def _groups_of(action: Action, place: Mapping[ObjectId, int], slots: Sequence[Slot]) -> list[Group]:
    """What a failure may be put down to: the action type, each object but models, and all of these together."""
    whole: Group = tuple(place[i] for slot in slots if slot.kind != "model" for i in action.inputs[slot.name])
    return list(dict.fromkeys([(), *((i,) for i in whole), whole]))


def expected_improvement(mean: Floats, sd: Floats, over: float) -> Floats:
    """How much a normal variable is expected to lie above `over`, counting 0 where it lies below."""
    z = (mean - over) / sd
    found: Floats = sd * (z * _normal_cdf(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))
    return found


def _normal_cdf(z: Floats) -> Floats:
    from scipy.special import ndtr

    found: Floats = ndtr(z)
    return found


def _table(state: State) -> tuple[Floats, Floats, Floats]:
    """Scores and their standard errors, (tasks, pool), NaN where there is none, as shares of (tasks,) each task's reach:
    its maximum, or the highest score where a study names a lower maximum."""
    scores, errors = (np.full((len(state.goals), len(state.pool)), math.nan) for _ in range(2))
    for i, object_id in enumerate(state.pool):
        by_task = {s.task: s for s in state.scores.get(object_id, ()) if s.split == "validation"}
        for k, goal in enumerate(state.goals):
            if goal.task in by_task:
                scores[k, i], errors[k, i] = by_task[goal.task].value, by_task[goal.task].stderr or 0.0
    reach = np.array([np.nanmax([goal.max_score, *np.abs(row)]) for goal, row in zip(state.goals, scores, strict=True)])
    return scores / reach[:, None], errors / reach[:, None], reach
