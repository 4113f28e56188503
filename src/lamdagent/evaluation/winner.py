"""Where the true score of a model may lie that was picked for being the best of many.

No prior, and no claim of what true scores are like: the interval holds for any of them as far as errors are normal.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, stats

from lamdagent.evaluation.bootstrap import Items, Measured, TaskWeights, scales_of

LEVEL = 0.025
SIMULTANEOUS = LEVEL / 2
"""How much of the level the bound that holds for all models at once spends."""


def winner_interval(field: Measured, winner: int, seed: int, least: float = 0.0) -> tuple[float, float]:
    """The 95 % interval of the true score of the best as measured: too low or too high in 2.5 % of cases at the most.

    A score that is known to have won is a normal value cut off where it would not have won, which says little of how low
    it may lie where the second is near; there the lower end is that under which the luckiest of all models would fall as
    rarely. The upper end is the plain one: whichever model is truly best was not measured higher than the winner.

    Args:
        least: the variance that the winner's error has at the least (`least_variance`).
    Source: the hybrid interval of Andrews, Kitagawa and McCloskey 2024 (Inference on winners), its lower side.
    """
    value_M, covariance_MM = field.values_M, field.covariance_MM
    # A model near 0 or 1 was measured by its luck as too sure; the mean of all is what it has at the least.
    variance_M = np.maximum(np.diag(covariance_MM), max(float(np.diag(covariance_MM).mean()), least, 1e-24))
    error_BM = field.errors(seed) / np.sqrt(variance_M)
    most = float(np.quantile(error_BM.max(axis=1), 1 - SIMULTANEOUS))
    plain = float(stats.t.isf(LEVEL, field.dof_M[winner]))
    stderr = float(np.sqrt(variance_M[winner])) * plain / float(stats.norm.isf(LEVEL))
    # Errors that two models share move neither ahead, so a second that shares much is far though it looks near.
    own_M = np.maximum(1 - covariance_MM[winner] / variance_M[winner], 1e-9)
    ahead_M = (value_M[winner] - value_M) / own_M / stderr
    raw, ahead = float(value_M[winner]), float(np.delete(ahead_M, winner).min())
    return raw - stderr * _reach(ahead, most), raw + plain * float(np.sqrt(variance_M[winner]))


def least_variance(items: Items, goals: TaskWeights) -> float:
    """The variance that an objective's error has at the least where items are right or wrong: few that are nearly all
    right show less than they have.

    Source: two right and two wrong ones more, Agresti and Coull 1998.
    """
    variance, best = 0.0, {goal.task: goal.max_score for goal in goals}
    for task, scale in scales_of(goals).items():
        value_N = np.asarray(items[task], dtype=float) / best[task]
        if np.isin(value_N, (0.0, 1.0)).all():
            n = len(value_N) + 4
            share = (float(value_N.sum()) + 2) / n
            variance += (scale * best[task]) ** 2 * share * (1 - share) / n
    return variance


def _reach(ahead: float, most: float) -> float:
    """How far below the winner, in standard errors, its true score may lie if the second is `ahead` of them below."""
    level = (LEVEL - SIMULTANEOUS) / (1 - SIMULTANEOUS)
    beyond = stats.norm.sf(most)

    def excess(reach: float) -> float:
        won = stats.norm.sf(max(reach - ahead, -most)) - beyond
        return float((stats.norm.sf(reach) - beyond) / won) - level

    last = most - 1e-6
    return most if excess(last) >= 0 else float(optimize.brentq(excess, 0.0, last))
