"""What actions do to scores: a Bayesian linear model for each action type and task, learned within one study.

A made model's score on a task is taken to be the mean of its parents' plus a linear function of what was done: of the
objects of the action and their pairs, each by itself and times how good the parents are; of how often, and how lately,
the parents saw the same dataset, their depth, merges and distance from the base model; and of the numbers of the
setting. So a dataset may lift a low score more than a high one, and a setting may suit one dataset only.

Source: Bayesian ridge regression (MacKay 1992; Tipping 2001) as `sklearn.linear_model.BayesianRidge`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lamdagent.policies.surrogate.candidates import EMPTY, CandidateSet, Positions
from lamdagent.policies.surrogate.features import LineageFeatures

Floats = NDArray[np.float64]

PRIOR_SD = 0.2  # of an effect, as a share of a task's maximum
PRIOR_NOISE = 0.05  # of a trial's score around its effects, likewise
PRIOR_SD_TRIALS = 20.0  # how many trials the first weighs as much as: dull ones say little of those yet to come,
PRIOR_NOISE_TRIALS = 4.0  # and the second
ACTION_SD = 0.3  # of what all actions of a type have in common, against that of an object
PAIR_SD = 0.4  # of a pair's effect, against that of an object
PAST_SD = 0.3  # of an effect of the parents' past, likewise
CHUNK = 8192  # rows whose covariances are looked up at once, which bounds memory


@dataclass(frozen=True, slots=True)
class Design:
    """The features of rows: each row has as many as there are `names`, with `values` (n, names) in columns that are
    told apart by `codes` (n, names), such as one for every dataset. Several features may have one name. `shared`: for
    each feature, the one whose columns it has; left out, each has its own."""

    names: tuple[str, ...]
    codes: Positions
    values: Floats
    shared: tuple[int, ...] = ()

    def __add__(self, more: Design) -> Design:
        """These rows and then those."""
        codes, values = np.vstack([self.codes, more.codes]), np.vstack([self.values, more.values])
        return Design(self.names, codes, values, self.shared)


class EffectModel:
    """What was learned of one action type and one task.

    Args:
        design: of the trials that ended.
        gained: (n,) their scores less the mean of their parents', as shares of the task's maximum.
        weights: (n,) how much each counts, in (0, 1]: less where scores are noisier.
    """

    def __init__(self, design: Design, gained: Floats, weights: Floats) -> None:
        self._shared = np.array(design.shared or range(len(design.names)), np.intp)
        self._columns = [np.unique(design.codes[:, self._shared == f]) for f in range(len(design.names))]
        self._starts = np.cumsum([0, *map(len, self._columns)])
        size = int(self._starts[-1])
        self._mean = np.zeros(size + len(design.names))
        # After the columns one more for each feature: what no trial had, of which only the prior is known.
        self._covariance = np.eye(len(self._mean)) * PRIOR_SD**2
        self.noise = PRIOR_NOISE
        if len(gained):
            self._fit(design, gained, weights, size)

    def predict(self, design: Design) -> tuple[Floats, Floats]:
        """Mean and standard deviation of what rows gain, (n,) each; the noise of a trial is not part of it."""
        at = self._at(design)
        mean = (self._mean[at] * design.values).sum(axis=1)
        variance = np.empty(len(mean))
        for i in range(0, len(mean), CHUNK):
            rows, values = at[i : i + CHUNK], design.values[i : i + CHUNK]
            pairs = self._covariance[rows[:, :, None], rows[:, None, :]]
            variance[i : i + CHUNK] = np.einsum("nij,ni,nj->n", pairs, values, values, optimize=True)
        return mean, np.sqrt(np.maximum(variance, 0.0))

    def terms(self, design: Design) -> Mapping[str, float]:
        """What the features of each name add to the mean of the first row."""
        added: dict[str, float] = {}
        for name, term in zip(design.names, (self._mean[self._at(design)] * design.values)[0], strict=True):
            added[name] = added.get(name, 0.0) + float(term)
        return added

    def _fit(self, design: Design, gained: Floats, weights: Floats, size: int) -> None:
        from sklearn.linear_model import BayesianRidge

        x, at = np.zeros((len(gained), size)), self._at(design)
        np.add.at(x, (np.arange(len(gained))[:, None], at), design.values)
        model = BayesianRidge(
            fit_intercept=False,
            alpha_init=PRIOR_NOISE**-2,
            lambda_init=PRIOR_SD**-2,
            alpha_1=PRIOR_NOISE_TRIALS / 2,
            alpha_2=PRIOR_NOISE_TRIALS / 2 * PRIOR_NOISE**2,
            lambda_1=PRIOR_SD_TRIALS / 2,
            lambda_2=PRIOR_SD_TRIALS / 2 * PRIOR_SD**2,
        )
        model.fit(x, gained, sample_weight=weights * (len(weights) / weights.sum()))  # which counts weights as trials
        self.noise = float(model.alpha_**-0.5)
        self._mean[:size] = model.coef_
        self._covariance[:size, :size] = model.sigma_
        unknown = range(size, len(self._mean))
        self._covariance[unknown, unknown] = 1 / model.lambda_

    def _at(self, design: Design) -> Positions:
        """The column of every feature of every row."""
        at = np.empty(design.codes.shape, np.intp)
        for f, shared in enumerate(self._shared):
            known, start, codes = self._columns[shared], self._starts[shared], design.codes[:, f]
            found = np.searchsorted(known, codes) if len(known) else np.zeros(len(codes), np.intp)
            same = known[np.minimum(found, len(known) - 1)] == codes if len(known) else np.zeros(len(codes), bool)
            at[:, f] = np.where(same, start + found, self._starts[-1] + f)
        return at


def design_of(fills: CandidateSet, past: LineageFeatures, scores: Floats) -> tuple[Design, Floats]:
    """The features of rows for one task, and (n,) the mean score of their parents.

    Args:
        scores: (pool,) each object's score on the task, as a share of its maximum.
    """
    there, n = fills.models != EMPTY, len(fills)
    parents = np.where(there, scores[fills.models], 0.0)
    mean = parents.sum(axis=1) / there.sum(axis=1)
    levels = [np.ones(n), 2 * mean - 1]
    if fills.models.shape[1] > 1:
        levels.append(4 * (np.where(there, parents, -np.inf).max(axis=1) - mean))
    objects = _objects(fills, past)
    features = [(name, codes, scale * level) for name, codes, scale, _ in objects for level in levels]
    shared = [len(levels) * of + k for *_, of in objects for k in range(len(levels))]
    features += [(name, np.zeros(n, np.intp), PAST_SD * values) for name, values in _past(fills, past)]
    shared += range(len(shared), len(features))
    names, codes, values = zip(*features, strict=True)
    return Design(names, np.stack(codes, axis=1), np.stack(values, axis=1), tuple(shared)), mean


def _objects(fills: CandidateSet, past: LineageFeatures) -> list[tuple[str, Positions, Any, int]]:
    """The type by itself, each other object, what it is made from, and each pair of objects: a name, the codes, the
    prior's scale, and which of these the columns are those of: what a dataset does, it does in those made from it."""
    n, places = len(fills), [slot.name for slot in fills.slots if slot.kind != "model" for _ in range(slot.at_most)]
    pool = len(past.own)
    found: list[tuple[str, Positions, Any, int]] = [("the action", np.zeros(n, np.intp), ACTION_SD, 0)]
    first: dict[str, int] = {}
    for i, name in enumerate(places):
        one = fills.others[:, i]
        there, itself = (one != EMPTY).astype(float), first.setdefault(name, len(found))
        found.append((name, one, there * past.own[one], itself))
        for sources, shares in zip(past.sources.T, past.shares.T, strict=True):
            found.append((name, sources[one], there * shares[one], itself))
        # What objects of one slot do together is taken to be the sum of what each does.
        for j in (j for j in range(i) if places[j] != name):
            other, pair = fills.others[:, j], f"{places[j]} and {name}"
            both = ((one != EMPTY) & (other != EMPTY)).astype(float)
            found.append((pair, one * pool + other, PAIR_SD * both, first.setdefault(pair, len(found))))
    return found


def _past(fills: CandidateSet, past: LineageFeatures) -> list[tuple[str, Floats]]:
    """What the parents' past says of an action, and the numbers of its settings."""
    there = fills.models != EMPTY
    count = there.sum(axis=1)

    def of_parents(values: Floats) -> Floats:
        mean: Floats = np.where(there, values, 0.0).sum(axis=1) / count
        return mean

    found = [
        ("steps before", of_parents(past.depth[fills.models]) / 4),
        ("distance from base", of_parents(past.distance[fills.models]) / 2),
        ("merges before", of_parents(past.merges[fills.models]) / 2),
    ]
    kinds = [slot.kind for slot in fills.slots if slot.kind != "model" for _ in range(slot.at_most)]
    for kind, objects in zip(kinds, fills.others.T, strict=True):
        on = (objects != EMPTY).astype(float)
        if kind == "dataset":
            found.append(("dataset seen before", on * of_parents(past.seen[fills.models, objects[:, None]])))
            found.append(("dataset seen last", on * of_parents(past.latest[fills.models, objects[:, None]])))
        elif kind == "hyperparameters":
            for name, numbers in past.numbers.get(fills.type, {}).items():
                found += [(name, on * numbers[objects]), (name, on * (numbers[objects] ** 2 - 1))]
    return found
