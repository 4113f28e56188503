"""An action of the toy world that asks a language model in its job, as teachers and judges do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from lamdagent.core.action_type import Context
from lamdagent.core.types import Kind, Object, Slot
from lamdagent.llm.chat import Chat


class Direction(BaseModel):
    """What `ToyAdvised` asks for."""

    direction: Literal["east", "north"]


class ToyAdvised:
    """Move a model twice, each time where a language model says.

    Args:
        chat: as `Parts.chat` gives it; each job asks through `Context.asking`.
    """

    name, version = "advised", 1
    makes: Kind = "model"
    slots = (Slot(name="model", kind="model"),)

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        return None

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        (model,), chat = inputs["model"], ctx.asking(self._chat)
        x = list(model.meta["x"])
        for turn in range(2):
            prompt = f"Turn {turn} of model {model.id} at {x}: where to?"
            answer = chat.ask(purpose="advice", system="", prompt=prompt, schema=Direction, max_tokens=20)
            if answer is None:
                raise ValueError("no advice came")
            x[["east", "north"].index(answer.direction)] += 0.5
        return {"x": x, "root": model.meta["root"]}
