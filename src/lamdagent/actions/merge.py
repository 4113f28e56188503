"""TIES-Merging of models that descend from one base model, through mergekit.

Source: Yadav et al. 2023 (arXiv 2306.01708), as mergekit's merge method `ties`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lamdagent.core.action_type import Context
from lamdagent.core.config import Config, Parts
from lamdagent.core.training import NO_TRAINING, Training
from lamdagent.core.types import Kind, Object, Slot
from lamdagent.objects.models.companions import write_companions
from lamdagent.objects.models.metadata import ALIKE, CONVENTIONS, inherited, why_unlike


class TiesHyperparameters(Config):
    """One hyperparameter setting of `ties`, by mergekit's parameter names."""

    density: float | list[float] = Field(
        0.5, description="share of each task vector that is kept; one, or one per model"
    )
    weight: float | list[float] = Field(1.0, description="weight of each task vector; one, or one per model")
    normalize: bool = Field(True, description="divide by the sum of the weights that agree in sign")
    tokenizer_source: Literal["models", "base", "first"] = Field(
        "models",
        description="whose tokenizer, EOS, chat template and generation settings the merge has: `models`, which must agree "
        "on them, those of their `base`, or of the `first` of the models in the order of the study",
    )

    @field_validator("density")
    @classmethod
    def _in_unit_interval(cls, value: float | list[float]) -> float | list[float]:
        if not all(0 < v <= 1 for v in (value if isinstance(value, list) else [value])):
            raise ValueError(f"density must lie above 0 and at most 1, not {value}")
        return value

    @field_validator("weight")
    @classmethod
    def _counts(cls, value: float | list[float]) -> float | list[float]:
        each = value if isinstance(value, list) else [value]
        if not all(math.isfinite(v) and v != 0 for v in each):
            raise ValueError(f"a weight must be finite and not 0, which leaves its model out, not {value}")
        if abs(math.fsum(each)) <= CANCELLED * math.fsum(map(abs, each)):
            raise ValueError(f"the weights {value} cancel each other: where models agree, nothing of them is left")
        return value

    @model_validator(mode="after")
    def _as_meant(self) -> Self:
        each = self.weight if isinstance(self.weight, list) else [self.weight]
        if self.normalize and max(each) < 0:
            raise ValueError(
                f"under normalize, weights that are all negative ({self.weight}) do the same as positive ones; give those, "
                "or normalize: false to subtract what the models learnt"
            )
        return self


CANCELLED = 1e-6  # of the sum of the sizes of weights: less is nothing but rounding


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

    @model_validator(mode="after")
    def _one_value_per_model(self) -> Self:
        for name, setting in self.hyperparameters.items():
            sizes = {k: len(v) for k in ("density", "weight") if isinstance(v := getattr(setting, k), list)}
            if any(not self.models[0] <= n <= self.models[-1] for n in sizes.values()) or len(set(sizes.values())) > 1:
                given = " and ".join(f"{n} {key} values" for key, n in sizes.items())
                raise ValueError(
                    f"setting {name!r} gives {given}, and a merge takes {self.models} models: never possible"
                )
        return self

    def arguments(self, parts: Parts) -> dict[str, Any]:
        # Which model gets which weight is a choice of its own only where a setting gives one for each.
        lists = any(isinstance(v, list) for s in self.hyperparameters.values() for v in (s.density, s.weight))
        return {**super().arguments(parts), "ordered": lists}


def relative_to_base(model: Object) -> str | None:
    """Why a merge relative to its base model does not take a model; None if it does."""
    if model.root == model.id:
        return f"{model.name!r} is a base model: merging it with its own descendants adds nothing"
    reason = model.model.get("unlike_base")
    return None if reason is None else f"{model.name!r} is not merged, since a merge is relative to a base: {reason}"


class Ties:
    """Merge models by what each changed of the base model that all descend from: trimmed, signs elected, averaged."""

    Config = TiesConfig
    name, version = "ties", 2
    makes: Kind = "model"

    def __init__(self, *, models: Sequence[int] = (2, 3), ordered: bool = False) -> None:
        self.slots = (
            Slot(
                name="models",
                kind="model",
                at_least=models[0],
                at_most=models[-1],
                ordered=ordered,
                accepts=relative_to_base,
            ),
            Slot(name="hyperparameters", kind="hyperparameters"),
        )

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        models, (setting,) = inputs["models"], inputs["hyperparameters"]
        if reason := why_unlike(models, ALIKE):
            return reason
        if _source(setting) == "models" and (reason := why_unlike(models, ("conventions",))):
            return f"{reason}; tokenizer_source says whose a merge takes"
        return _uneven(models, setting) if self.slots[0].ordered else None

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
        speaker = base if _source(setting) == "base" else models[0]
        merge(
            recipe,
            ctx.workdir / "weights",
            config_of=ctx.weights(models[0]),
            conventions_of=ctx.weights(speaker),
            device=ctx.models.device,
        )
        ctx.progress("merge", 1, 1)
        return {**inherited(models[0].model), **{k: speaker.meta[k] for k in CONVENTIONS if k in speaker.meta}}


def _source(setting: Object) -> str:
    """Settings of before it could be given have none."""
    return str(setting.setting["values"].get("tokenizer_source", "models"))


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


def merge(recipe: Mapping[str, Any], folder: Path, *, config_of: Path, conventions_of: Path, device: str) -> None:
    """Run a mergekit recipe and write a plain Hugging Face folder.

    mergekit takes all that is not weights from the base model, which the merged ones may have left behind.

    Args:
        config_of: the model folder whose config.json the merge computes with.
        conventions_of: the one whose tokenizer, special tokens, chat template and generation settings it has.
    """
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    options = MergeOptions(
        device=device,
        quiet=True,
        write_model_card=False,
        copy_tokenizer=False,
        lazy_unpickle=True,
        low_cpu_memory=False,
    )
    run_merge(MergeConfiguration.model_validate(recipe), str(folder), options)
    write_companions(folder, config_of=config_of, conventions_of=conventions_of, dtype=recipe["dtype"])


def _uneven(models: Sequence[Object], setting: Object) -> str | None:
    lists = {k: v for k in ("density", "weight") if isinstance(v := setting.setting["values"][k], list)}
    for key, value in lists.items():
        if len(value) != len(models):
            return f"setting {setting.name!r} gives {len(value)} {key} values for {len(models)} models"
    in_order = sorted(models, key=lambda model: model.id)
    if not lists and list(models) != in_order:
        return f"the order changes nothing under {setting.name!r}: give {', '.join(m.name for m in in_order)}"
    return None
