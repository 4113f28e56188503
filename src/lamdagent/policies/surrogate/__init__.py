"""The policy `surrogate`: a Bayesian model of what actions do, and the choice that gains most by it."""
