"""The base of everything a study file may say: strict, frozen, and helpful where a key is unknown."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from lamdagent.core.errors import nearest


class Config(BaseModel):
    """A mapping in a study file. Its fields are the only copy of their defaults and descriptions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            known = {info.alias or name for name, info in cls.model_fields.items()}
            for key in data:
                if key not in known:
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key {shown}. {hint}",
                        {"key": str(key), "shown": repr(key), "hint": nearest(str(key), known)},
                    )
        return data

    def arguments(self) -> dict[str, Any]:
        """What the plugin's class is made from: every field but the hyperparameter settings, which join the pool."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "hyperparameters"}
