"""Merge models that descend from one base model, by any method of mergekit that leaves the architecture as it is.

Sources: mergekit (arXiv 2403.13257) and the papers that its documentation names for each method; a merge of a model with
its own base by `linear` or `slerp` is WiSE-FT (arXiv 2109.01903).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from lamdagent.actions._mergekit import METHODS, Method, merge
from lamdagent.core.action_type import Context
from lamdagent.core.config import Config, Parts
from lamdagent.core.errors import nearest
from lamdagent.core.training import NO_TRAINING, Training
from lamdagent.core.types import Kind, Object, Slot
from lamdagent.objects.models.metadata import ALIKE, CONVENTIONS, inherited, why_unlike

Each = float | list[float]
"""One value for every model, or one per model."""
Source = Literal["models", "base", "first"]
SOURCE = (
    "whose tokenizer, EOS, chat template and generation settings the merge has: `models`, which must agree on them, those "
    "of their `base`, or of the `first` of the models in the order of the study"
)
MOST_MODELS = 16  # of which there are more combinations than any search tries
CANCELLED = 1e-6  # of the sum of the sizes of weights: less is nothing but rounding


class MergeHyperparameters(Config):
    """One hyperparameter setting of `merge`: a method, and its parameters by mergekit's names. What is left out is as
    mergekit has it; a key that the method does not read is refused."""

    model_config = ConfigDict(serialize_by_alias=True)

    method: str = Field(description=f"{', '.join(METHODS)}")
    weight: Each | None = Field(None, description="weight of each model or task vector; one, or one per model")
    density: Each | None = Field(None, description="share of each task vector that is kept; one, or one per model")
    epsilon: Each | None = Field(
        None,
        description="della: how far the density of an element may lie from `density`; ram: what counts as no change",
    )
    gamma: Each | None = Field(None, description="share of the largest changes that breadcrumbs leaves out")
    t: float | None = Field(None, description="slerp: how far from the first model to the second; nearswap: how near")
    normalize: bool | None = Field(None, description="divide by the sum of the weights")
    normalize_weights: bool | None = Field(None, description="the same of multislerp")
    rescale: bool | None = Field(None, description="scale up what is kept to make up for what is dropped")
    lambda_: float | None = Field(None, alias="lambda", description="scale of the merged task vector")
    int8_mask: bool | None = Field(None, description="masks in int8: less memory")
    select_topk: float | None = Field(None, gt=0, le=1, description="sce: share of the elements that vary most")
    filter_wise: bool | None = Field(None, description="model_stock: a ratio for each row in place of each tensor")
    nuslerp_flatten: bool | None = Field(None, description="nuslerp: a tensor as one vector")
    nuslerp_row_wise: bool | None = Field(
        None, description="nuslerp: rows in place of columns, where it is not flattened"
    )
    eps: float | None = Field(None, gt=0, description="multislerp: what counts as no length")
    max_iter: int | None = Field(None, ge=1, description="karcher: most iterations")
    tol: float | None = Field(None, gt=0, description="karcher: how near is near enough")
    r: float | None = Field(None, description="ramplus_tl: how far unique changes are scaled up")
    alpha: float | None = Field(None, description="ramplus_tl: how much of the overlap they make up for")
    base_model: bool = Field(False, description="nuslerp, multislerp: merge the changes from the base model")
    tokenizer_source: Source = Field("models", description=SOURCE)

    @field_validator("method")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in METHODS:
            raise ValueError(f"no merge method {value!r}. {nearest(value, METHODS)}")
        return value

    @model_validator(mode="after")
    def _as_the_method_reads_it(self) -> Self:
        method, given = METHODS[self.method], self._given()
        known = {**method.each, **method.shared}
        if unread := [key for key in given if key not in known]:
            reads = ", ".join(known) or "no parameter"
            raise ValueError(f"method {self.method} does not read {unread[0]!r}; it reads {reads}")
        if missing := [key for key, default in known.items() if default is None and key not in given]:
            raise ValueError(f"method {self.method} needs {missing[0]!r}")
        if lists := [key for key, value in given.items() if isinstance(value, list) and key not in method.each]:
            raise ValueError(f"{lists[0]!r} of method {self.method} is one for all models, not a list")
        if self.base_model and method.base != "may":
            raise ValueError(f"method {self.method} takes no base_model: {RELATIVE[method.base]}")
        values = {**known, **given}
        if "weight" in values:
            check_weights(values["weight"], values.get("normalize", values.get("normalize_weights", False)))
        _check_shares(self.method, values)
        return self

    def _given(self) -> dict[str, Any]:
        own = {"method", "tokenizer_source", "base_model"}
        return self.model_dump(exclude_none=True, exclude=own, by_alias=True)


RELATIVE = {
    "root": "it is always relative to the base model that all descend from",
    "first": "its first model stands for it",
    "may": "it may be relative to the base model that all descend from",
    "none": "it is relative to nothing",
}


def check_weights(weight: Each, normalize: bool) -> None:
    """Raises: ValueError: these weights leave a model out, or leave nothing, or do what others say more plainly."""
    each = weight if isinstance(weight, list) else [weight]
    if not all(each):
        raise ValueError(f"a weight must not be 0, which leaves its model out, not {weight}")
    if abs(math.fsum(each)) <= CANCELLED * math.fsum(map(abs, each)):
        raise ValueError(f"the weights {weight} cancel each other: where models agree, nothing of them is left")
    if normalize and max(each) < 0:
        raise ValueError(
            f"under normalize, weights that are all negative ({weight}) do the same as positive ones; give those, or "
            "normalize: false to subtract what the models learnt"
        )


def check_density(density: Each) -> None:
    """Raises: ValueError: it is no share of a task vector."""
    if not all(0 < v <= 1 for v in _each(density)):
        raise ValueError(f"density must lie above 0 and at most 1, not {density}")


def _check_shares(method: str, values: Mapping[str, Any]) -> None:
    if "density" in values:
        check_density(values["density"])
    if "density" in values and "epsilon" in values:  # della draws from density - epsilon to density + epsilon
        ends = [d + sign * e for d in _each(values["density"]) for e in _each(values["epsilon"]) for sign in (-1, 1)]
        if not (min(_each(values["epsilon"])) >= 0 and min(ends) > 0 and max(ends) < 1):
            raise ValueError(
                f"density - epsilon and density + epsilon of method {method} must lie between 0 and 1: density is "
                f"{values['density']} and epsilon {values['epsilon']}"
            )
    if "gamma" in values and not all(0 <= v < 1 for v in _each(values["gamma"])):
        raise ValueError(f"gamma must lie from 0 to below 1, not {values['gamma']}")
    if "gamma" in values and max(_each(values["density"])) + max(_each(values["gamma"])) > 1:
        raise ValueError(
            f"density {values['density']} and gamma {values['gamma']} of method {method} are more than 1 together: what is "
            "left out at the top is not kept"
        )
    if method == "slerp" and not 0 <= values["t"] <= 1:
        raise ValueError(f"t must lie from 0, the first model, to 1, the second, not {values['t']}")


def _each(value: Any) -> list[float]:
    return value if isinstance(value, list) else [value]


def check_counts(models: Sequence[int]) -> list[int]:
    """How many models a merge takes, `[n]` or `[least, most]`.

    Raises:
        ValueError: these are no such numbers.
    """
    if min(models) < 2 or max(models) > MOST_MODELS or sorted(models) != list(models):
        raise ValueError(f"a merge takes 2 to {MOST_MODELS} models, given as [n] or [least, most], not {list(models)}")
    return list(models)


def check_lists(models: Sequence[int], settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises: ValueError: a setting gives a value per model for another number of models than are ever merged."""
    for name, values in settings.items():
        sizes = {key: len(value) for key, value in values.items() if isinstance(value, list)}
        if any(not models[0] <= n <= models[-1] for n in sizes.values()) or len(set(sizes.values())) > 1:
            given = " and ".join(f"{n} {key} values" for key, n in sizes.items())
            raise ValueError(f"setting {name!r} gives {given}, and a merge takes {list(models)} models: never possible")


class MergeConfig(Config):
    """Merging of several models by methods of mergekit."""

    models: list[int] = Field([2, 3], min_length=1, max_length=2, description="how many models: [n] or [least, most]")
    hyperparameters: dict[str, MergeHyperparameters] = Field(
        min_length=1, description="named settings: a method, and its parameters by mergekit's keys"
    )

    @field_validator("models")
    @classmethod
    def _two_or_more(cls, value: list[int]) -> list[int]:
        return check_counts(value)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        settings = {name: setting.model_dump(by_alias=True) for name, setting in self.hyperparameters.items()}
        check_lists(self.models, settings)
        for name, values in settings.items():
            method = METHODS[values["method"]]
            if method.most is not None and not self.models[0] <= method.most:
                raise ValueError(
                    f"setting {name!r}: method {values['method']} merges {method.most} models, and a merge takes "
                    f"{self.models} models: never possible"
                )
        return self

    def arguments(self, parts: Parts) -> dict[str, Any]:
        settings = [setting.model_dump(by_alias=True) for setting in self.hyperparameters.values()]
        return {
            **super().arguments(parts),
            "ordered": any(map(order_matters, settings)),
            "of_base": not all(relative(values) for values in settings),
        }


def method_of(values: Mapping[str, Any]) -> Method:
    return METHODS[values.get("method", "ties")]


def relative(values: Mapping[str, Any]) -> bool:
    """Whether a setting merges what models changed of the base model that they descend from."""
    return method_of(values).base == "root" or bool(values.get("base_model"))


def order_matters(values: Mapping[str, Any]) -> bool:
    """Whether another order of the models is another merge: each has a value of its own, or the first is the base."""
    lists = any(isinstance(value, list) for value in values.values())
    halfway = values.get("method") == "slerp" and values.get("t") == 0.5
    return lists or (method_of(values).base == "first" and not halfway)


def relative_to_base(model: Object) -> str | None:
    """Why a merge relative to its base model does not take a model; None if it does."""
    if model.root == model.id:
        return f"{model.name!r} is a base model: merging it with its own descendants adds nothing"
    reason = model.model.get("unlike_base")
    return None if reason is None else f"{model.name!r} is not merged, since a merge is relative to a base: {reason}"


class Merge:
    """Merge models that descend from one base model into one, by the method that the setting names.

    Args:
        models: least and most models.
        ordered: some setting merges models otherwise in another order.
        of_base: a base model may be merged with its descendants, where the setting's method is not relative to it.
    """

    Config: type[Config] = MergeConfig
    name, version = "merge", 1
    makes: Kind = "model"
    example = """\
merge:
  models: [2, 3]
  hyperparameters:
    soup: {method: linear, weight: 1.0}
    dare: {method: dare_ties, weight: 1.0, density: 0.5}
    stock: {method: model_stock}
"""

    def __init__(self, *, models: Sequence[int] = (2, 3), ordered: bool = False, of_base: bool = False) -> None:
        accepts = None if of_base else relative_to_base
        self.slots = (
            Slot(
                name="models",
                kind="model",
                at_least=models[0],
                at_most=models[-1],
                ordered=ordered,
                accepts=accepts,
            ),
            Slot(name="hyperparameters", kind="hyperparameters"),
        )

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        models, (setting,) = inputs["models"], inputs["hyperparameters"]
        values = setting.setting["values"]
        most = method_of(values).most
        if most is not None and len(models) > most:
            return f"method {values['method']} of setting {setting.name!r} merges {most} models, not {len(models)}"
        mixed = self.slots[0].accepts is None  # else the slot has asked already
        if mixed and relative(values) and (reason := next(filter(None, map(relative_to_base, models)), None)):
            return reason
        if reason := why_unlike(models, ALIKE):
            return reason
        if _source(values) == "models" and (reason := why_unlike(models, ("conventions",))):
            return f"{reason}; tokenizer_source says whose a merge takes"
        return _uneven(models, setting) if self.slots[0].ordered else None

    def cost(self, inputs: Mapping[str, Sequence[Object]]) -> Training:
        return NO_TRAINING

    def draws(self, inputs: Mapping[str, Sequence[Object]]) -> bool:
        values = inputs["hyperparameters"][0].setting["values"]
        dropped = "density" not in method_of(values).each or min(_each(values.get("density") or 1.0)) < 1
        return method_of(values).draws and dropped

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        models, (setting,) = inputs["models"], inputs["hyperparameters"]
        values, root = setting.setting["values"], ctx.object(models[0].root)
        folders = [str(ctx.weights(m)) for m in models]
        recipe = merge_recipe(folders, str(ctx.weights(root)), values, root.model["dtype"])
        ctx.progress("merge", 0, 1)
        speaker = root if _source(values) == "base" else models[0]
        merge(
            recipe,
            ctx.workdir / "weights",
            config_of=ctx.weights(models[0]),
            conventions_of=ctx.weights(speaker),
            device=ctx.models.device,
            seed=seed,
        )
        ctx.progress("merge", 1, 1)
        return {**inherited(models[0].model), **{k: speaker.meta[k] for k in CONVENTIONS if k in speaker.meta}}


def _source(values: Mapping[str, Any]) -> str:
    """Settings of before it could be given have none."""
    return str(values.get("tokenizer_source", "models"))


def merge_recipe(folders: Sequence[str], root: str, values: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """The merge as mergekit's own YAML says it.

    Args:
        folders: the models, in their order.
        root: the base model that they descend from.
        values: of the setting; without a `method` it is `ties`.
    """
    method = method_of(values)
    base = root if relative(values) else folders[0] if method.base == "first" else None

    def of(keys: Iterable[str], i: int | None = None) -> dict[str, Any]:
        found = {key: values[key] for key in keys if values.get(key) is not None}
        return {key: value[i] if isinstance(value, list) else value for key, value in found.items()}  # type: ignore[index]

    return {
        "merge_method": values.get("method", "ties"),
        **({"base_model": base} if base is not None else {}),
        "models": [{"model": folder, "parameters": of(method.each, i)} for i, folder in enumerate(folders)],
        "parameters": of(method.shared),
        "dtype": dtype,
    }


def _uneven(models: Sequence[Object], setting: Object) -> str | None:
    values = setting.setting["values"]
    for key, value in values.items():
        if isinstance(value, list) and len(value) != len(models):
            return f"setting {setting.name!r} gives {len(value)} {key} values for {len(models)} models"
    in_order = sorted(models, key=lambda model: model.id)
    if not order_matters(values) and list(models) != in_order:
        return f"the order changes nothing under {setting.name!r}: give {', '.join(m.name for m in in_order)}"
    return None
