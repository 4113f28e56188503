"""Settings by the size of a model, each with its reason."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamdagent.objects.models.metadata import read_facts

FULL = 0.6e9
"""Parameters up to which all weights are trained: optimiser and gradients then take under 10 GB."""
TINY = 0.02e9
IN_NAME = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)\s?([bm])(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ModelGuess:
    """What is known of a model before it is opened; None is unknown."""

    parameters: float | None
    positions: int | None
    chat: bool


def look_at(path: str, place: Path) -> ModelGuess:
    """A model by its folder, or by its name on the hub.

    Raises:
        DataError: the folder is no model.
    """
    if place.is_dir():
        facts = read_facts(place)
        config = json.loads((place / "config.json").read_text(encoding="utf-8"))
        return ModelGuess(
            parameters=facts["parameters"], positions=config.get("max_position_embeddings"), chat=facts["chat_template"]
        )
    named = IN_NAME.search(path.rpartition("/")[2])
    parameters = None if named is None else float(named[1]) * {"b": 1e9, "m": 1e6}[named[2].lower()]
    chat = re.search(r"instruct|chat|[-_]it\b", path, re.IGNORECASE) is not None
    return ModelGuess(parameters=parameters, positions=None, chat=chat)


def settings_for(models: Sequence[ModelGuess]) -> tuple[dict[str, Any], str]:
    """The entry `hyperparameters` of `sft`, and why it is so."""
    known = [m.parameters for m in models if m.parameters is not None]
    largest = max(known) if len(known) == len(models) else None
    batch, more = _batch(largest)
    shared: dict[str, Any] = {**batch, **_length(models)}
    if largest is not None and largest <= FULL:
        low, high = (3e-4, 1e-3) if largest <= TINY else (2e-5, 1e-4)
        settings: Mapping[str, Any] = {
            "gentle": {"learning_rate": low, **shared},
            "firm": {"learning_rate": high, **shared},
            "lora": {"learning_rate": 3 * high, **shared, "peft": {"r": 16, "lora_alpha": 32}},
        }
        why = f"all weights are trained, since {_size(largest)} parameters fit with their optimiser; and one adapter"
    else:
        low, high = 5e-5, 2e-4
        settings = {
            name: {"learning_rate": rate, **shared, "peft": {"r": 16, "lora_alpha": 32}}
            for name, rate in (("lora_gentle", low), ("lora_firm", high))
        }
        size = "a model of unknown size" if largest is None else f"{_size(largest)} parameters"
        why = f"adapters (LoRA), since {size} with an optimiser may not fit"
    free = {"num_train_epochs": [0.05, 4], "learning_rate": [float(f"{rate:.1g}") for rate in (low / 10, 10 * high)]}
    return {"free": free, **settings}, why + more


def _batch(parameters: float | None) -> tuple[dict[str, Any], str]:
    if parameters is not None and parameters <= 0.2e9:
        return {"per_device_train_batch_size": 16}, ""
    if parameters is not None and parameters <= 1e9:
        return {"per_device_train_batch_size": 8}, ""
    few = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "gradient_checkpointing": True}
    return few, "; few examples at a time, which takes less memory"


def _length(models: Sequence[ModelGuess]) -> dict[str, int]:
    least = min((m.positions for m in models if m.positions is not None), default=1024)
    return {"max_length": least} if least < 1024 else {}


def _size(parameters: float) -> str:
    return f"{parameters / 1e9:.1f} B" if parameters >= 1e9 else f"{parameters / 1e6:.3g} M"
