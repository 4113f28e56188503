"""Hyperparameter settings as objects of the pool: those that a study names, and those that a policy varies them to.

A study names settings and may leave amounts free: `free: {num_train_epochs: [0.05, 8], learning_rate: [1e-5, 1e-2]}`.
A policy then takes any named setting with another amount inside these bounds. Such a setting is an object like any
other; it joins the pool with the first trial that takes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from lamdagent.core.config import Config
from lamdagent.core.types import Object, ObjectId, content_id

FREE = "free"
EPOCHS, RATE = "num_train_epochs", "learning_rate"
VARIED = re.compile(r"(?P<of>.+?)(?:[×x](?P<epochs>[\d.eE+-]+))?(?:@(?P<rate>[\d.eE+-]+))?")


class Free(Config):
    """Bounds inside which a policy may choose for itself, whatever a named setting says. Unset: as the setting says."""

    num_train_epochs: list[float] | None = Field(None, description="[least, most] passes over the datasets of a step")
    learning_rate: list[float] | None = Field(None, description="[least, most] peak learning rate")

    @field_validator(EPOCHS, RATE)
    @classmethod
    def _least_and_most(cls, value: list[float] | None) -> list[float] | None:
        if value is not None and (len(value) != 2 or not 0 < value[0] <= value[1] < float("inf")):
            raise ValueError(f"expected [least, most], both above 0, not {value}")
        return value


class Settings(Config):
    """Named hyperparameter settings, and the amounts that are `free`. A subclass says what each name stands for by the
    type of its `__pydantic_extra__`."""

    model_config = ConfigDict(extra="allow")

    free: Free | None = Field(
        None, description="amounts that a policy may choose for itself; not the name of a setting"
    )

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if not self.named:
            raise ValueError("expected 1 or more named settings")
        return self

    @property
    def named(self) -> Mapping[str, Any]:
        """The settings by name."""
        return self.__pydantic_extra__ or {}


@dataclass(frozen=True, slots=True)
class Freedom:
    """What of an action type's settings is free: the bounds, and the class of the settings."""

    bounds: Free
    of: type[Config]

    def varied(self, setting: Object, wanted: Mapping[str, float]) -> Object:
        """A setting with other amounts by TRL's keys, such as `{"num_train_epochs": 3}`, rounded to three digits.

        Raises:
            ValueError: the bounds, or the setting itself, do not allow it; the message says why.
        """
        base, values = setting.setting.get("of", setting.name), setting.setting["values"]
        changed = {key: _rounded(v) for key, v in wanted.items() if _rounded(v) != values.get(key)}
        for key, value in changed.items():
            if reason := self._why_not(key, value, setting):
                raise ValueError(reason)
        if not changed:
            return setting
        before = setting.setting.get("varied", {})
        varied = {**before, **changed}
        name = base + (f"×{varied[EPOCHS]:g}" if EPOCHS in varied else "") + _at(varied.get(RATE))
        try:
            config = self.of.model_validate({**values, **changed})
        except ValidationError as error:
            raise ValueError(f"{name}: {error.errors()[0]['msg']}") from error
        made = setting_object(setting.setting["action"], name, config)
        return Object(id=made.id, kind=made.kind, name=name, meta={**made.meta, "of": base, "varied": varied})

    def within(self, key: str, value: float, setting: Object) -> float | None:
        """The free value nearest to one that is wanted; None where a setting takes no other."""
        bounds: list[float] | None = getattr(self.bounds, key)
        if bounds is None or (key == EPOCHS and _counts_steps(setting)):
            return None
        return min(max(value, bounds[0]), bounds[1])

    def _why_not(self, key: str, value: float, setting: Object) -> str | None:
        bounds = getattr(self.bounds, key)
        if bounds is None:
            return f"{key} is not free here"
        if key == EPOCHS and _counts_steps(setting):
            return f"setting {setting.name!r} counts max_steps, so it takes no other number of epochs"
        if not bounds[0] <= value <= bounds[1]:
            return f"{key} {value:g} lies outside what is free here, {bounds[0]:g} to {bounds[1]:g}"
        return None


def setting_object(action: str, name: str, setting: Config) -> Object:
    """A hyperparameter setting of an action type as an object of the pool."""
    values, given = setting.model_dump(mode="json"), setting.model_dump(mode="json", exclude_defaults=True)
    meta = {"action": action, "values": values, "given": given}
    return Object(id=setting_id(action, given), kind="hyperparameters", name=name, meta=meta)


def setting_id(action: str, given: Mapping[str, Any]) -> ObjectId:
    """The id of a setting: of the values that are not defaults, so that a key of a later release changes no id."""
    return content_id(["hyperparameters", action, dict(given)])


def read_varied(text: str) -> tuple[str, dict[str, float]] | None:
    """What `firm×3@2e-4` stands for: the name of a setting, and amounts by TRL's keys; None where it names no amount.

    `x` is taken for `×`.
    """
    match = VARIED.fullmatch(text)
    if match is None or not (match["epochs"] or match["rate"]):
        return None
    try:
        amounts = {key: float(match[part]) for key, part in ((EPOCHS, "epochs"), (RATE, "rate")) if match[part]}
    except ValueError:
        return None
    return match["of"], amounts


def _counts_steps(setting: Object) -> bool:
    return bool(setting.setting["values"].get("max_steps", -1) > 0)


def _at(rate: float | None) -> str:
    """A learning rate in a name: `@2e-4`."""
    if rate is None:
        return ""
    digits, power = f"{rate:.2e}".split("e")
    return f"@{float(digits):g}e{int(power)}"


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
