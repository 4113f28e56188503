"""What the true scores of many models may be, given what each was measured to be.

A two-groups model (Efron 2008): true scores lie around a centre with a normal spread, but for a share of stars above and
of failures below, half normals far wider than the rest. So models that are alike are drawn together, and one that stands far
out is left where it is, which a single normal prior would not do. Centre, spread and shares are not fixed at their
likeliest values, as empirical Bayes does, but averaged over a grid by how well they fit: with few models they are hardly
known, and intervals that ignore this are too short. A posterior needs no correction for having picked the best (Efron
2011).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from lamdagent.evaluation.bootstrap import Array, Measured

# Names end in axes: B draws, C combinations of centre, spread and shares, G grid of true scores, K parts of the prior,
# M models.
STEPS = 4
"""Points of the grid of true scores in one standard error."""
MOST_POINTS = 1500
CENTRES = 13
SPREADS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0)
"""Of true scores, in standard errors; as likely each."""
SHARES = (0.01, 0.03, 0.1, 0.3)
"""Of models above and below the rest; as likely each."""
WIDTHS = (3.0, 10.0)
"""Of these, in standard deviations of the rest as measured."""
NORMAL_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Posterior:
    """True scores on a grid: `likely_MG` of what was measured, `prior_CG` and `weight_C` of what true scores are like.

    `shared` is the variance of the errors that all models share, which move none ahead.
    """

    truth_G: Array
    likely_MG: Array
    prior_CG: Array
    weight_C: Array
    shared: float

    def of(self, model: int) -> tuple[float, float, float, float]:
        """Mean, standard deviation and 95 % interval of a model's true score, the shared error included."""
        chance_CG = self.prior_CG * self.likely_MG[model]
        chance_G = self.weight_C @ (chance_CG / chance_CG.sum(axis=1, keepdims=True))
        mean = float(chance_G @ self.truth_G)
        own = float(chance_G @ (self.truth_G - mean) ** 2)
        sd = float(np.sqrt(own + self.shared))
        below_G = np.cumsum(chance_G)
        low, high = (float(self.truth_G[np.searchsorted(below_G, q)]) for q in (0.025, 0.975))
        # What is shared widens each side as independent errors add up.
        reach = NORMAL_95**2 * self.shared
        return mean, sd, mean - float(np.hypot(mean - low, reach**0.5)), mean + float(np.hypot(high - mean, reach**0.5))

    def draws(self, rng: np.random.Generator, count: int) -> Array:
        """True scores without the shared error, draws by models: those of one draw have one centre, spread and shares."""
        drawn_BM = np.empty((count, len(self.likely_MG)))
        for b, c in enumerate(rng.choice(len(self.weight_C), size=count, p=self.weight_C)):
            below_MG = np.cumsum(self.likely_MG * self.prior_CG[c], axis=1)
            cut_M = rng.random(len(below_MG)) * below_MG[:, -1]
            drawn_BM[b] = self.truth_G[(below_MG < cut_M[:, None]).sum(axis=1)]
        return drawn_BM


def posterior_of(field: Measured) -> Posterior:
    """The posterior of all true scores.

    Raises:
        ValueError: fewer than 2 models.
    """
    value_M, covariance_MM, m = field.values_M, field.covariance_MM, len(field.values_M)
    if m < 2:
        raise ValueError("one model shows nothing of what true scores are like")
    shared = max(0.0, float((covariance_MM.sum() - np.trace(covariance_MM)) / (m * (m - 1))))
    own_M = np.diag(covariance_MM) - shared
    # A model near 0 or 1 was measured by its luck as too sure; the mean of all is what it has at the least.
    sd_M = np.sqrt(np.maximum(own_M, max(own_M.mean(), 1e-12, (STEPS * float(np.ptp(value_M)) / MOST_POINTS) ** 2)))
    sd = float(sd_M.min())
    reach = 5 * float(sd_M.max())
    width = max(sd / STEPS, (float(np.ptp(value_M)) + 2 * reach) / MOST_POINTS)
    truth_G = np.arange(value_M.min() - reach, value_M.max() + reach + width, width)
    likely_MG = np.exp(-0.5 * ((value_M[:, None] - truth_G) / sd_M[:, None]) ** 2)
    prior_CG, log_C = _priors(value_M, likely_MG, truth_G, sd)
    weight_C = np.exp(log_C - log_C.max())
    weight_C /= weight_C.sum()
    kept_C = weight_C > 1e-4 * weight_C.max()
    kept = prior_CG[kept_C], weight_C[kept_C] / weight_C[kept_C].sum()
    return Posterior(truth_G, likely_MG, *kept, shared)


def _priors(value_M: Array, likely_MG: Array, truth_G: Array, sd: float) -> tuple[Array, Array]:
    """What true scores may be like, and the logarithm of how likely each makes what was measured."""
    middle = float(np.median(value_M))
    rest = max(1.4826 * float(np.median(np.abs(value_M - middle))), sd)
    spread = 1.25 * rest / np.sqrt(len(value_M)) * np.linspace(-3, 3, CENTRES)
    centres = np.clip(middle + spread, value_M.min(), value_M.max())
    shares = [(up, down) for up, down in itertools.product(SHARES, SHARES)]
    priors, logs = [], []
    for centre in centres:
        bells = [_bell(truth_G - centre, sd * spread) for spread in SPREADS]
        for width in WIDTHS:
            wide = _bell(truth_G - centre, rest * width)
            sides = [wide * (truth_G >= centre), wide * (truth_G <= centre)]
            part_KG = np.stack([*bells, *(side / max(side.sum(), 1e-300) for side in sides)])
            part_MK = likely_MG @ part_KG.T
            for up, down in shares:
                mixed_MS = (1 - up - down) * part_MK[:, :-2] + (up * part_MK[:, -2] + down * part_MK[:, -1])[:, None]
                logs.append(np.log(np.maximum(mixed_MS, 1e-300)).sum(axis=0))
                priors.append((1 - up - down) * part_KG[:-2] + up * part_KG[-2] + down * part_KG[-1])
    return np.concatenate(priors), np.concatenate(logs)


def _bell(away_G: Array, scale: float) -> Array:
    """A normal law on the grid; all at the nearest point where it is narrower than the grid."""
    width = float(away_G[1] - away_G[0])
    bell_G = np.exp(-0.5 * (away_G / max(scale, 0.3 * width)) ** 2)
    return np.asarray(bell_G / bell_G.sum())
