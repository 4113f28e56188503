"""TIES-Merging of models that descend from one base model: the paper's merge, as an action type of its own.

Source: Yadav et al. 2023 (arXiv 2306.01708), as mergekit's merge method `ties`.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from lamdagent.actions.merge import (
    SOURCE,
    Each,
    Merge,
    Source,
    check_counts,
    check_density,
    check_lists,
    check_weights,
    order_matters,
)
from lamdagent.core.config import Config, Parts


class TiesHyperparameters(Config):
    """One hyperparameter setting of `ties`, by mergekit's parameter names."""

    density: Each = Field(0.5, description="share of each task vector that is kept; one, or one per model")
    weight: Each = Field(1.0, description="weight of each task vector; one, or one per model")
    normalize: bool = Field(True, description="divide by the sum of the weights that agree in sign")
    tokenizer_source: Source = Field("models", description=SOURCE)

    @field_validator("density")
    @classmethod
    def _a_share(cls, value: Each) -> Each:
        check_density(value)
        return value

    @model_validator(mode="after")
    def _as_meant(self) -> Self:
        check_weights(self.weight, self.normalize)
        return self


class TiesConfig(Config):
    """TIES-merging of several models relative to their common base model: `merge` with `method: ties`."""

    models: list[int] = Field([2, 3], min_length=1, max_length=2, description="how many models: [n] or [least, most]")
    hyperparameters: dict[str, TiesHyperparameters] = Field(
        min_length=1, description="named settings, by mergekit's keys"
    )

    @field_validator("models")
    @classmethod
    def _two_or_more(cls, value: list[int]) -> list[int]:
        return check_counts(value)

    @model_validator(mode="after")
    def _one_value_per_model(self) -> Self:
        check_lists(self.models, {name: setting.model_dump() for name, setting in self.hyperparameters.items()})
        return self

    def arguments(self, parts: Parts) -> dict[str, Any]:
        ordered = any(order_matters(setting.model_dump()) for setting in self.hyperparameters.values())
        return {**super().arguments(parts), "ordered": ordered}


class Ties(Merge):
    """Merge models by what each changed of the base model that all descend from: trimmed, signs elected, averaged."""

    Config = TiesConfig
    name, version = "ties", 2
    example = """\
ties:
  models: [2, 3]
  hyperparameters:
    half: {density: 0.5, weight: 1.0}
"""
