"""TIES-Merging of models that descend from one base model, through mergekit.

Source: Yadav et al. 2023 (arXiv 2306.01708), as mergekit's merge method `ties`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from lamdagent.core.action_type import Context
from lamdagent.core.config import Config, Parts
from lamdagent.core.training import NO_TRAINING, Training
from lamdagent.core.types import Kind, Object, Slot
from lamdagent.objects.models.metadata import inherited


class TiesHyperparameters(Config):
    """One hyperparameter setting of `ties`, by mergekit's parameter names."""

    density: float | list[float] = Field(
        0.5, description="share of each task vector that is kept; one, or one per model"
    )
    weight: float | list[float] = Field(1.0, description="weight of each task vector; one, or one per model")
    normalize: bool = Field(True, description="divide by the sum of the weights that agree in sign")

    @field_validator("density")
    @classmethod
    def _in_unit_interval(cls, value: float | list[float]) -> float | list[float]:
        if not all(0 < v <= 1 for v in (value if isinstance(value, list) else [value])):
            raise ValueError(f"density must lie above 0 and at most 1, not {value}")
        return value


class TiesConfig(Config):
    """TIES-merging of several models relative to their common base model."""

    models: list[int] = Field([2, 3], min_length=1, max_length=2, description="how many models: [n] or [least, most]")
    hyperparameters: dict[str, TiesHyperparameters] = Field(
        min_length=1, description="named settings, by mergekit's keys"
    )

    @field_validator("models")
    @classmethod
    def _two_or_more(cls, value: list[int]) -> list[int]:
        if min(value) < 2 or sorted(value) != value:
            raise ValueError(f"a merge takes 2 or more models, given as [n] or [least, most], not {value}")
        return value

    def arguments(self, parts: Parts) -> dict[str, Any]:
        # Which model gets which weight is a choice of its own only where a setting gives one for each.
        lists = any(isinstance(v, list) for s in self.hyperparameters.values() for v in (s.density, s.weight))
        return {**super().arguments(parts), "ordered": lists}


def no_base_model(model: Object) -> str | None:
    """Why a merge relative to the base model does not take a model; None if it does."""
    if model.root != model.id:
        return None
    return f"{model.name!r} is a base model: merging it with its own descendants adds nothing"


class Ties:
    """Merge models by trimming their task vectors, electing signs, and averaging what agrees."""

    Config = TiesConfig
    name, version = "ties", 1
    makes: Kind = "model"

    def __init__(self, *, models: Sequence[int] = (2, 3), ordered: bool = False) -> None:
        self.slots = (
            Slot(
                name="models",
                kind="model",
                at_least=models[0],
                at_most=models[-1],
                ordered=ordered,
                accepts=no_base_model,
            ),
            Slot(name="hyperparameters", kind="hyperparameters"),
        )

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        models, (setting,) = inputs["models"], inputs["hyperparameters"]
        return _differ(models) or (_uneven(models, setting) if self.slots[0].ordered else None)

    def cost(self, inputs: Mapping[str, Sequence[Object]]) -> Training:
        return NO_TRAINING

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        models, (setting,) = inputs["models"], inputs["hyperparameters"]
        base = ctx.object(models[0].root)
        recipe = merge_recipe(
            [str(ctx.weights(m)) for m in models],
            str(ctx.weights(base)),
            setting.setting["values"],
            base.model["dtype"],
        )
        ctx.progress("merge", 0, 1)
        merge(recipe, ctx.workdir / "weights", device=ctx.models.device)
        ctx.progress("merge", 1, 1)
        return inherited(models[0].model)


def merge_recipe(folders: Sequence[str], base: str, values: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """The merge as mergekit's own YAML says it."""

    def of(key: str, i: int) -> float:
        value = values[key]
        return float(value[i] if isinstance(value, list) else value)

    return {
        "merge_method": "ties",
        "base_model": base,
        "models": [
            {"model": folder, "parameters": {"density": of("density", i), "weight": of("weight", i)}}
            for i, folder in enumerate(folders)
        ],
        "parameters": {"normalize": values["normalize"]},
        "dtype": dtype,
    }


def merge(recipe: Mapping[str, Any], folder: Path, *, device: str) -> None:
    """Run a mergekit recipe and write a plain Hugging Face folder."""
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    options = MergeOptions(
        device=device, quiet=True, write_model_card=False, copy_tokenizer=True, lazy_unpickle=True, low_cpu_memory=False
    )
    run_merge(MergeConfiguration.model_validate(recipe), str(folder), options)


def _differ(models: Sequence[Object]) -> str | None:
    first = models[0]
    for key, what in (
        ("root", "do not descend from one base model"),
        ("architecture", "have different architectures"),
        ("shapes", "have tensors of different shapes"),
        ("tokenizer", "have different vocabularies"),
    ):
        for other in models[1:]:
            if first.meta.get(key) != other.meta.get(key):
                return f"{first.name!r} and {other.name!r} {what}"
    return None


def _uneven(models: Sequence[Object], setting: Object) -> str | None:
    lists = {k: v for k in ("density", "weight") if isinstance(v := setting.setting["values"][k], list)}
    for key, value in lists.items():
        if len(value) != len(models):
            return f"setting {setting.name!r} gives {len(value)} {key} values for {len(models)} models"
    in_order = sorted(models, key=lambda model: model.id)
    if not lists and list(models) != in_order:
        return f"the order changes nothing under {setting.name!r}: give {', '.join(m.name for m in in_order)}"
    return None
