"""Round a model's weights to fewer bits, as a quantised model would hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from lamdagent.core.action_type import Context
from lamdagent.core.config import Config
from lamdagent.core.training import NO_TRAINING, Training
from lamdagent.core.types import Kind, Object, Slot
from lamdagent.objects.models.metadata import inherited


class RoundingHyperparameters(Config):
    """One setting of `rounding`."""

    bits: int = Field(8, ge=2, le=16, description="bits of each weight")


class RoundingConfig(Config):
    """Round each weight to the nearest of 2**bits levels of its tensor."""

    hyperparameters: dict[str, RoundingHyperparameters] = Field(min_length=1, description="named settings")


class Rounding:
    """Rounds the weights of a model to the bits of a setting."""

    Config = RoundingConfig
    name, version = "rounding", 1
    makes: Kind = "model"
    slots = (Slot(name="model", kind="model"), Slot(name="hyperparameters", kind="hyperparameters"))

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        (model,), (setting,) = inputs["model"], inputs["hyperparameters"]
        has, wanted = model.meta.get("bits", 32), setting.meta["values"]["bits"]
        return None if wanted < has else f"{model.name!r} has {has} bits: rounding it to {wanted} changes nothing"

    def cost(self, inputs: Mapping[str, Sequence[Object]]) -> Training:
        return NO_TRAINING

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        import torch

        (model,), (setting,) = inputs["model"], inputs["hyperparameters"]
        bits = setting.meta["values"]["bits"]
        loaded = ctx.models.fresh(model.id, ctx.weights(model), train_dtype=None)
        tensors = list(loaded.model.parameters())
        with torch.no_grad():
            for done, weights in enumerate(tensors, 1):
                step = weights.abs().max() / (2 ** (bits - 1) - 1)
                if step > 0:
                    weights.copy_((weights / step).round() * step)
                ctx.progress("round", done, len(tensors))
        ctx.models.save(loaded, ctx.workdir / "weights")
        ctx.keep(loaded)
        return {**inherited(model.meta), "bits": bits}
