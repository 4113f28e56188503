"""The keys that every task of a study file has, whatever its kind."""

from __future__ import annotations

from pydantic import Field

from lamdagent.core.config import NAME, Config


class TaskConfig(Config):
    """What models are scored on."""

    task: str = Field(pattern=NAME, description="its name; of kind lm_eval, that of a task or group of lm-eval")
    weight: float = Field(1.0, ge=0, description="weight in the objective; 0 is watched (see guards) but not counted")
    max_score: float = Field(1.0, gt=0, description="best value of the metric; scores are divided by it")
    limit: int | None = Field(None, ge=1, description="items scored a side, in a fixed order; unset: all")
    about: str | None = Field(
        None, max_length=1000, description="what it asks for, for an agent to read; may change, and is in no id"
    )


NOT_IN_IDS = frozenset({"weight", "max_score", "limit", "about"})
"""Keys that only say which items are asked, how a score counts, or what it is: they give no item another result."""
