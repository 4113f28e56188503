"""Is the order of pipelines in one scoring the true order in another: tau with an interval that noise does not pull down.

Measured scores are true scores and noise, so two measured orders agree less than the true ones do: identical truths that
are close together give a tau of .5 and an interval around it that leaves out 1. Here the interval is of tau between the true
scores. These are taken as normal with an unknown correlation, given the errors of both scorings and what these share
(same items); spreads and correlation are averaged over a grid by how well they fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lamdagent.evaluation.bootstrap import Array, Items, TaskWeights, measured
from lamdagent.evaluation.estimates import Agreement

# Names end in axes: B draws, N pipelines, P pairs, Z pipelines in both scorings.
DRAWS = 2000
SPREADS = (0.25, 0.5, 1.0, 1.5, 2.5, 4.0, 8.0, 16.0)
"""Of true scores, in standard errors; as likely each."""
CORRELATIONS = (-1.0, -0.9, -0.75, -0.6, -0.45, -0.3, -0.15, 0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0)
SAME_ORDER = 0.3
"""How likely a correlation of 1 is before anything is measured; the others share the rest."""
DIGITS = 12


def item_agreement(cheap: Sequence[Items], full: Sequence[Items], goals: TaskWeights, *, seed: int) -> Agreement:
    """Kendall's tau-b of two measured scorings of the same pipelines, and the 95 % interval of that of their true scores.

    The interval always holds the measured tau.

    Args:
        cheap, full: the items of one model per pipeline, same order; at least 2.

    Raises:
        ValueError: lengths differ, fewer than 2 pipelines, or a scoring in which all are equal.
    """
    n = len(cheap)
    if n < 2 or len(full) != n:
        raise ValueError(f"tau needs at least 2 pipelines, scored twice, got {n} and {len(full)}")
    field = measured([*cheap, *full], goals)
    tau = float(_taus(np.round(field.values_M, DIGITS)[None], n)[0])
    if np.isnan(tau):
        raise ValueError("tau needs pipelines that are not all equal")
    drawn_B = _taus(_truths(field.values_M, field.covariance_MM, n, np.random.default_rng(seed)), n)
    low = float(np.nanquantile(drawn_B, 0.025, method="lower"))
    high = float(np.nanquantile(drawn_B, 0.975, method="higher"))
    return Agreement(tau=tau, low=min(low, tau), high=max(high, tau), n=n)


def _taus(value_BZ: Array, n: int) -> Array:
    """Kendall's tau-b between the halves of each row; not a number where one half is all equal."""
    i_P, j_P = np.triu_indices(n, 1)
    x_BP, y_BP = (np.sign(half[:, i_P] - half[:, j_P]) for half in (value_BZ[:, :n], value_BZ[:, n:]))
    pairs_B = np.sqrt((x_BP**2).sum(axis=1) * (y_BP**2).sum(axis=1))
    return np.asarray((x_BP * y_BP).sum(axis=1) / np.where(pairs_B > 0, pairs_B, np.nan))


def _truths(value_Z: Array, error_ZZ: Array, n: int, rng: np.random.Generator) -> Array:
    """True scores given the measured ones, draws by pipelines in both scorings."""
    sides = (slice(0, n), slice(n, 2 * n))
    z = np.concatenate([value_Z[side] - value_Z[side].mean() for side in sides])
    own = [max(_own(error_ZZ[side, side]), 1e-12, float(z[side].var()) / 1e4) for side in sides]
    error_ZZ = error_ZZ + np.diag(np.repeat(own, n)) * 1e-6
    priors, logs = [], []
    for rho in CORRELATIONS:
        weight = SAME_ORDER if rho == 1.0 else (1 - SAME_ORDER) / (len(CORRELATIONS) - 1)
        for a in SPREADS:
            for b in SPREADS:
                sd = np.sqrt(own) * [a, b]
                between_22 = np.outer(sd, sd) * [[1, rho], [rho, 1]]
                prior_ZZ = np.kron(between_22, np.eye(n))
                for side, size in zip(sides, own, strict=True):
                    prior_ZZ[side, side] += 100 * (size + float(z.var()))  # the mean of a scoring says nothing
                lower_ZZ = np.linalg.cholesky(prior_ZZ + error_ZZ)
                white_Z = np.linalg.solve(lower_ZZ, z)
                logs.append(np.log(weight) - 0.5 * white_Z @ white_Z - np.log(np.diag(lower_ZZ)).sum())
                priors.append(prior_ZZ)
    chance = np.exp(np.array(logs) - max(logs))
    times = rng.multinomial(DRAWS, chance / chance.sum())
    drawn = []
    for prior_ZZ, count in zip(priors, times, strict=True):
        if count:
            gain_ZZ = np.linalg.solve(prior_ZZ + error_ZZ, prior_ZZ).T
            scales, axes = np.linalg.eigh(prior_ZZ - gain_ZZ @ prior_ZZ)
            noise = rng.normal(size=(count, 2 * n)) * np.sqrt(np.maximum(scales, 0.0))
            drawn.append(gain_ZZ @ z + noise @ axes.T)
    return np.concatenate(drawn)


def _own(error_NN: Array) -> float:
    """The mean variance of the errors that pipelines do not share."""
    n = len(error_NN)
    return float((np.trace(error_NN) - error_NN.sum() / n) / (n - 1))
