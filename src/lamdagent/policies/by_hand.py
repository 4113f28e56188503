"""What a practitioner would try without a search: the rival that a search must beat.

In this order: all datasets mixed from each base model under every setting, one epoch; the best of these settings with 2,
4, 8 … epochs until a doubling gains less than one standard error; each dataset alone under that setting; merges of these
specialists under every merge setting, of all, of the best two and of the best three; and the best of all that trained on
the mixture once more. The search ends when the list does.

Source: full fine-tuning and the TIES grid search that the paper compares with in its Table 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from lamdagent.core.config import Config
from lamdagent.core.settings import EPOCHS
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Action, Choice, Object
from lamdagent.policies.mixing import BY_HAND, Trainer, merges_of, names, trainer_of
from lamdagent.policies.moves import one_by_one
from lamdagent.policies.script import Next, Pending, Script


class ByHandConfig(Config):
    """All datasets mixed, then longer, then each alone, then their merges: what one would do without a search."""

    quick: bool = Field(False, description="only all datasets mixed under the middle setting, for 1 and for 3 epochs")


class ByHand:
    """Goes down the list; what the budget or the study does not allow is passed over.

    Args:
        quick: only all datasets mixed under the middle setting, for 1 and for 3 epochs.
    """

    Config = ByHandConfig
    name = "by-hand"

    def __init__(self, *, quick: bool = False) -> None:
        self._list = _quick if quick else _by_hand

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        return one_by_one(state, space, n, self._choose)

    def _choose(self, state: State, space: ActionSpace) -> Choice | None:
        trainer = trainer_of(state, space)
        if trainer is None or state.unscored:
            return None
        try:
            self._list(Script(state, space, self.name), trainer)
        except Next as step:
            return step.choice
        except Pending:
            return None
        return None


def _quick(script: Script, trainer: Trainer) -> None:
    mixed = trainer.datasets if trainer.mixes else []
    for epochs in (1.0, 3.0) if mixed else ():
        action = _for_epochs(trainer, trainer.bases[0], mixed, trainer.middle, epochs)
        script.step(action, f"by hand: all {len(mixed)} datasets mixed, {epochs:g} epoch{'' if epochs == 1 else 's'}")


def _by_hand(script: Script, trainer: Trainer) -> None:
    mixed = trainer.datasets if trainer.mixes else []
    best = _mixed(script, trainer, mixed) if mixed else None
    base, setting = (best[1], best[2]) if best else (trainer.bases[0], trainer.middle)
    model = _longer(script, trainer, base, mixed, setting, best[0]) if best else None
    alone = script.steps(
        (trainer.action(base, [one], setting), f"by hand: {one.name} alone") for one in trainer.datasets
    )
    specialists = sorted((m for m in alone if m is not None), key=script.value, reverse=True)
    groups = [specialists, specialists[:2], specialists[:3]]
    merges = [(group, a) for group in groups if len(group) > 1 for a in merges_of(script.state, script.space, group)]
    merged = script.steps((action, f"by hand: a merge of {names(group)}") for group, action in merges)
    top = max([model, *alone, *merged], key=script.value)
    if top is not None and mixed:
        script.step(trainer.action(top, mixed, setting), f"by hand: the best so far, {top.name}, on all mixed")


def _mixed(script: Script, trainer: Trainer, mixed: Sequence[Object]) -> tuple[Object, Object, Object] | None:
    """The best model of all datasets mixed, one epoch, with the base model and the setting that it is of."""
    tried = [(base, setting) for base in trainer.bases for setting in trainer.settings]
    made = script.steps(
        (_for_epochs(trainer, base, mixed, setting, 1.0), f"by hand: all {len(mixed)} datasets mixed")
        for base, setting in tried
    )
    known = [(model, *pair) for model, pair in zip(made, tried, strict=True) if model is not None]
    return max(known, key=lambda row: script.value(row[0]), default=None)


def _longer(
    script: Script, trainer: Trainer, base: Object, mixed: Sequence[Object], setting: Object, model: Object
) -> Object:
    """The best model of 1, 2, 4 … epochs, until a doubling gains less than one standard error."""
    epochs = 2.0
    while (action := _for_epochs(trainer, base, mixed, setting, epochs)) is not None:
        longer = script.step(action, f"by hand: all mixed for {epochs:g} epochs")
        if longer is None or script.value(longer) < script.value(model) + script.error(longer):
            return max(model, longer or model, key=script.value)
        model, epochs = longer, 2 * epochs
    return model


def _for_epochs(
    trainer: Trainer, base: Object, mixed: Sequence[Object], setting: Object, epochs: float
) -> Action | None:
    """All mixed for so many epochs; None where the study, or a setting that counts steps, does not let that be said."""
    freedom = trainer.space.freedom(trainer.type)
    if freedom is None:
        return trainer.action(base, mixed, setting) if epochs == 1 else None
    bounds = freedom.bounds if freedom.bounds.num_train_epochs else BY_HAND
    assert bounds.num_train_epochs is not None
    if not bounds.num_train_epochs[0] <= epochs <= bounds.num_train_epochs[1]:
        named = setting.setting["values"].get(EPOCHS) == epochs  # a named setting may lie outside what is free
        return trainer.action(base, mixed, setting) if named else None
    return trainer.action(base, mixed, setting, epochs=epochs, bounds=bounds) or (
        trainer.action(base, mixed, setting) if epochs == 1 else None
    )
