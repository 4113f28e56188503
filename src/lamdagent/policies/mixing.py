"""Training on mixtures, as policies see it: which action type does it, on what, and how the amounts are said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lamdagent.core.settings import EPOCHS, RATE, Free
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Action, Kind, Object, ObjectId
from lamdagent.policies.moves import merges, model_slots, trains

BY_HAND = Free(num_train_epochs=[0.05, 8.0])
"""What may be chosen where a study leaves no epochs free: a person would choose them, too."""


@dataclass(frozen=True, slots=True)
class Trainer:
    """An action type that trains one model on datasets under one setting."""

    state: State
    space: ActionSpace
    type: str

    @property
    def bases(self) -> list[Object]:
        """The provided models that it takes."""
        return [o for o in self._options("model") if o.made_by is None]

    @property
    def settings(self) -> list[Object]:
        """The named settings, by learning rate."""
        named = [o for o in self._options("hyperparameters") if "of" not in o.setting]
        return sorted(named, key=lambda o: o.setting["values"].get(RATE, 0.0))

    @property
    def middle(self) -> Object:
        """The setting in the middle of the learning rates; of two the higher one."""
        whole = [o for o in self.settings if not o.setting["values"].get("peft")] or self.settings
        return whole[len(whole) // 2]

    @property
    def rows_a_step(self) -> int:
        """Rows of an optimiser step of the middle setting, on one device."""
        values = self.middle.setting["values"]
        return int(values.get("per_device_train_batch_size", 8) * values.get("gradient_accumulation_steps", 1))

    @property
    def datasets(self) -> list[Object]:
        """The provided datasets that can be mixed in one step: those of the shape that has most rows."""
        shapes: dict[str, list[Object]] = {}
        for dataset in (o for o in self._options("dataset") if o.made_by is None):
            shapes.setdefault(dataset.dataset.get("format", ""), []).append(dataset)
        return max(shapes.values(), key=lambda group: sum(o.dataset["rows"] for o in group), default=[])

    @property
    def mixes(self) -> bool:
        """Whether a step may take all of these datasets."""
        slot = next(s for s in self.space.slots(self.type) if s.kind == "dataset")
        return slot.at_most >= len(self.datasets) > 0

    def action(
        self,
        model: Object,
        datasets: Sequence[Object],
        setting: Object,
        *,
        epochs: float | None = None,
        bounds: Free | None = None,
    ) -> Action | None:
        """A training step; None where these amounts cannot be said here. Amounts beyond the bounds are brought inside."""
        if epochs is not None:
            varied = self.space.varied(self.type, setting, {EPOCHS: epochs}, bounds)
            if varied is None:
                return None
            setting = varied
        given: dict[Kind, list[ObjectId]] = {
            "model": [model.id],
            "dataset": [d.id for d in datasets],
            "hyperparameters": [setting.id],
        }
        return self.space.action(self.type, {s.name: given[s.kind] for s in self.space.types[self.type].slots})

    def varied(self, setting: Object, *, rate_times: float) -> Object | None:
        """A setting with its learning rate multiplied; None where that is not free, or changes nothing."""
        rate = setting.setting["values"].get(RATE)
        made = None if rate is None else self.space.varied(self.type, setting, {RATE: rate_times * rate})
        return None if made is None or made.id == setting.id else made

    def _options(self, kind: Kind) -> Sequence[Object]:
        name = next(s.name for s in self.space.types[self.type].slots if s.kind == kind)
        return self.space.options(self.type)[name]


def trainer_of(state: State, space: ActionSpace) -> Trainer | None:
    """The action type that trains on most datasets at a time; None where none trains on datasets under a setting."""
    fitting = [
        name for name, type in space.types.items()
        if trains(type) and sorted(slot.kind for slot in type.slots) == ["dataset", "hyperparameters", "model"]
    ]  # fmt: skip
    found = [t for name in fitting if (t := Trainer(state, space, name)).bases and t.settings and t.datasets]
    return max(found, key=lambda t: (t.mixes, len(t.datasets)), default=None)


def merges_of(state: State, space: ActionSpace, models: Sequence[Object]) -> list[Action]:
    """Every merge of exactly these models that can be done or was done: each merging type under each named setting."""
    found = []
    for name, type in space.types.items():
        slots = type.slots
        if not merges(type) or len(model_slots(type)) != 1 or any(s.kind == "dataset" for s in slots):
            continue
        settings = next((space.options(name)[s.name] for s in slots if s.kind == "hyperparameters"), None)
        for setting in [None] if settings is None else [o for o in settings if "of" not in o.setting]:
            found += _in_an_order(state, space, name, [m.id for m in models], setting)
    return found


def _in_an_order(
    state: State, space: ActionSpace, type: str, models: Sequence[ObjectId], setting: Object | None
) -> list[Action]:
    """The merge of models in their order, or by id where a setting of an ordered slot takes one order only; else none."""
    for ids in dict.fromkeys((tuple(models), tuple(sorted(models)))):
        given: dict[Kind, Sequence[ObjectId]] = {"model": ids}
        if setting is not None:
            given["hyperparameters"] = [setting.id]
        action = space.action(type, {slot.name: given[slot.kind] for slot in space.types[type].slots})
        if action.id in state.tried or space.why_invalid(action) is None:
            return [action]
    return []


def epochs_of(setting: Object) -> float:
    """Passes over the datasets that a setting makes."""
    return float(setting.setting["values"].get(EPOCHS, 1.0))


def names(objects: Sequence[Object]) -> str:
    return ", ".join(o.name for o in objects)
