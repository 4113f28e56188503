"""Which sets of datasets, and how long: short looks, a check, long runs, then changes of what came out best.

From the base model itself forgetting hides what a dataset does. So the looks start from a model that has seen a little of
everything: there a useful dataset shows as recovery, and one that contradicts the others does not. What is kept is
checked from the base model against all; then most of the budget goes into few long runs on it, for one long run beats a
chain of short ones of the same rows. What is left is spent on changes of the best.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pydantic import Field

from lamdagent.core.config import Config
from lamdagent.core.format import scored
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Action, Choice, Made, Object
from lamdagent.policies.imagined import with_made_data
from lamdagent.policies.mixing import Trainer, epochs_of, merges_of, names, trainer_of
from lamdagent.policies.moves import at_random, one_by_one, seeded
from lamdagent.policies.screen.looks import best_of_each_task, effects_of, harmful, said
from lamdagent.policies.script import Next, Pending, Script
from lamdagent.policies.surrogate.policy import Surrogate

WARMED = 0.15  # of a pass over all rows: what the model has seen that the looks start from
LOOK, LOOKS = 0.05, 0.5  # of all rows: one look, and all looks together at most
CHECK = 0.2  # of all rows: each of the two mixtures that are held against each other
STEPS = 24  # optimiser steps of a look at least; of a check four times, and of the start three times as many
FIRST = 0.35  # of the rows that are left: the first long run, which says whether longer is better
LONGER = 1.4  # times the rows of the last long run, at least, to be worth another
ONE_RUN = 5.0  # epochs: where no more are left, all go into one run
PASSES = 2.5  # over all rows that a budget must allow, or no looks are taken
PARTNERS = 3  # next best models that the best is merged with
DOUBLED = 32.0  # epochs: where so many are left, runs are doubled from one epoch on, so that learning by heart shows
STEP = 4.0  # what the learning rate is changed by where a first look destroys or moves nothing
DESTROYED = 0.5  # of the base model's objective


class ScreenConfig(Config):
    """Short looks at each dataset, a check of what is kept, long runs on it, then changes of the best."""

    looks: bool = Field(True, description="look at each dataset first; false: all mixed, and longer")


class Screen:
    """Finds which datasets to train on together, and trains long on them.

    Where no action type takes several datasets or leaves the epochs free it chooses as `surrogate` does.
    """

    Config = ScreenConfig
    name = "screen"

    def __init__(self, *, looks: bool = True) -> None:
        self._looks = looks
        self._surrogate = Surrogate()

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        if applies(state, space) is None:
            return self._surrogate.select(state, space, n)
        return one_by_one(state, space, n, with_made_data(self._choose))

    def _choose(self, state: State, space: ActionSpace) -> Choice | None:
        trainer = applies(state, space)
        if trainer is None or state.unscored:
            return None
        script = Script(state, space, self.name)
        try:
            kept = Screening(script, trainer, self._looks).kept()
            _long_runs(script, trainer, kept)
            for action, reason in _changes(script, trainer, kept):
                if action.id not in state.tried and space.why_invalid(action) is None:
                    return Choice(action=action, reason=reason, by=self.name)
        except Next as step:
            return step.choice
        except Pending:
            return None
        left = _rows_left(space, trainer)
        if left is not None and left < LOOK * min(o.dataset["rows"] for o in trainer.datasets):
            return None  # merges of what is there are all that is left, and those of the best were tried
        return at_random(space, seeded(state), by=self.name, why="nothing near the best is left to try")


def applies(state: State, space: ActionSpace) -> Trainer | None:
    """The action type that mixes datasets for any number of epochs; None where there is none."""
    trainer = trainer_of(state, space)
    if trainer is None or not trainer.mixes or (freedom := space.freedom(trainer.type)) is None:
        return None
    return trainer if freedom.bounds.num_train_epochs is not None else None


@dataclass(frozen=True, slots=True)
class Kept:
    """What is trained on from which base model under which setting, and why."""

    base: Object
    datasets: tuple[Object, ...]
    setting: Object
    why: str
    looked: float = 0.0
    """Epochs on exactly these from the base model that were no more than a look; 0 where none was taken."""


class Screening:
    """Looks at datasets one by one, and holds what they say against all of them mixed."""

    def __init__(self, script: Script, trainer: Trainer, looks: bool) -> None:
        self._script, self._trainer, self._looks = script, trainer, looks
        self._all = trainer.datasets
        self._rows = rows_of(self._all)

    def kept(self) -> Kept:
        """The datasets to train on. Raises as `Script.steps` does while looks are still to be taken."""
        base, all_ = self._best_base(), tuple(self._all)
        plain = Kept(base, all_, self._trainer.middle, f"all {len(all_)} datasets mixed")
        if len(all_) == 1 or not self._looks or not self._worth_looking():
            return plain
        start, setting = self._warmed(base)
        if start is None:
            return plain
        plain = replace(plain, setting=setting, looked=self._warm_rows / self._rows)
        looks = self._script.steps(
            (self._amount(start, [one], setting, self._look), f"looks at {one.name} alone") for one in all_
        )
        effects = effects_of(self._script.state, start, dict(zip((o.name for o in all_), looks, strict=True)))
        known = {o.id: effects[o.name] for o in all_ if effects.get(o.name)}
        # What shows no gain yet may only be slow to learn, so it stays; of each task the dataset that gains most, too.
        needed = best_of_each_task(known)
        mild = tuple(o for o in all_ if o.id not in known or o.id in needed or not harmful(known[o.id]))
        dropped = "; ".join(said(o.name, known[o.id]) for o in all_ if o not in mild)
        return self._checked(plain, mild, dropped)

    def _checked(self, plain: Kept, mild: tuple[Object, ...], dropped: str) -> Kept:
        """What does better on a share of all rows from the base model: all, or what is left of them; all where the two
        cannot be told apart."""
        if not 0 < len(mild) < len(plain.datasets):
            return plain
        plain = replace(plain, looked=self._check / self._rows)
        whole, part = self._script.steps(
            (self._amount(plain.base, group, plain.setting, self._check), f"checks a mixture of {len(group)} datasets")
            for group in (plain.datasets, mild)
        )
        error = max((self._script.error(m) for m in (whole, part) if m is not None), default=0.0)
        if self._script.value(whole) >= self._script.value(part) - error:
            return plain
        return self._smaller(plain, mild, dropped)

    def _smaller(self, plain: Kept, group: tuple[Object, ...], dropped: str) -> Kept:
        left_out = names([o for o in plain.datasets if o not in group])
        words = f"kept {len(group)} of {len(plain.datasets)} datasets: {names(group)}; dropped {left_out}"
        words += f" ({dropped})" if dropped else ""
        return replace(plain, datasets=group, why=words, looked=self._check / rows_of(group))

    def _best_base(self) -> Object:
        return max(self._trainer.bases, key=self._script.value)

    def _worth_looking(self) -> bool:
        """Whether the whole budget, spent and left, pays for looks beside a run worth the name."""
        state, space = self._script.state, self._script.space
        left = _rows_left(space, self._trainer)
        # Running trials count on both sides: what is left is less what they are foreseen to take.
        enough = left is None or left + sum(t.rows or 0 for t in space.trained) >= PASSES * self._rows
        trials = None if space.left.trials is None else space.left.trials + len(state.trials)
        return enough and (trials is None or trials >= len(self._all) + 5)

    def _warmed(self, base: Object) -> tuple[Object | None, Object]:
        """A model that saw a little of everything, and the setting; the learning rate is changed until it learns."""
        setting = self._trainer.middle
        start = self._warm(base, setting, "a little of everything, where the looks start")
        for _ in range(2):
            factor = self._rate_off(base, start)
            changed = None if factor is None else self._trainer.varied(setting, rate_times=factor)
            if factor is None or changed is None:
                break
            why = "the last destroyed it" if factor < 1 else "the last moved nothing"
            again = self._warm(base, changed, f"the same at another learning rate: {why}")
            if self._objective(again) <= self._objective(start):
                break
            start, setting = again, changed
        return start, setting

    def _warm(self, base: Object, setting: Object, reason: str) -> Object | None:
        return self._script.step(self._amount(base, self._all, setting, self._warm_rows), reason)

    def _rate_off(self, base: Object, start: Object | None) -> float | None:
        """What to multiply the learning rate by: it destroyed the model, or moved nothing; None where it is well."""
        if start is None or self._objective(start) < DESTROYED * self._objective(base):
            return 1 / STEP
        scores = (self._script.state.scores.get(o.id, ()) for o in (base, start))
        moved = any(
            abs(a.value - b.value) > max(a.stderr or 0.0, b.stderr or 0.0) for a, b in zip(*scores, strict=False)
        )
        return None if moved else STEP

    def _objective(self, model: Object | None) -> float:
        """A model's objective, whatever its guards: a look may break one that a long run holds."""
        objective = None if model is None else self._script.state.objective(model.id)
        return float("-inf") if objective is None else objective.value

    @property
    def _warm_rows(self) -> int:
        """Rows of the start of all looks."""
        return round(max(WARMED * self._rows, 3 * STEPS * self._trainer.rows_a_step))

    @property
    def _look(self) -> int:
        """Rows of a look."""
        return round(max(min(LOOK, LOOKS / len(self._all)) * self._rows, STEPS * self._trainer.rows_a_step))

    @property
    def _check(self) -> int:
        """Rows of a check."""
        return round(max(CHECK * self._rows, 4 * STEPS * self._trainer.rows_a_step))

    def _amount(self, model: Object, datasets: Sequence[Object], setting: Object, rows: float) -> Action | None:
        """A step that sees so many rows."""
        return self._trainer.action(model, datasets, setting, epochs=rows / rows_of(datasets))


def _long_runs(script: Script, trainer: Trainer, kept: Kept) -> None:
    """Runs from the base model on what is kept, each longer, as long as longer is better and the budget lasts.

    Raises as `Script.step` does.
    """
    state, rows = script.state, rows_of(kept.datasets)
    done: list[tuple[float, Object | None]] = []
    wanted = {o.id for o in kept.datasets}
    for trial in state.trials:
        inputs = [script.space[i] for i in trial.choice.action.object_ids]
        settings = [o for o in inputs if o.kind == "hyperparameters"]
        if {o.id for o in inputs if o.kind == "dataset"} != wanted or kept.base not in inputs or not settings:
            continue
        if trial.outcome is None:
            raise Pending
        made = trial.outcome.object if isinstance(trial.outcome, Made) else None
        done.append((epochs_of(settings[0]), made))
    looked = 1.01 * kept.looked  # amounts are rounded
    freedom = script.space.freedom(trainer.type)
    bounds = None if freedom is None else freedom.bounds.num_train_epochs
    long = sorted((run for run in done if run[0] > looked), key=lambda run: run[0])
    left = _rows_left(script.space, trainer)
    fit = None if left is None else 0.99 * left / rows  # amounts are rounded
    epochs = _next_epochs(script, fit, looked, bounds[1] if bounds else float("inf"), long)
    if epochs is not None:
        script.step(trainer.action(kept.base, kept.datasets, kept.setting, epochs=epochs), f"a long run; {kept.why}")


def _rows_left(space: ActionSpace, trainer: Trainer) -> float | None:
    """Rows of the mixture of all that the budget still pays for, be it in rows or in tokens; None is no bound."""
    left = space.left
    bounds = [] if left.train_rows is None else [float(left.train_rows)]
    one_pass = trainer.action(trainer.bases[0], trainer.datasets, trainer.middle)
    if left.train_tokens is not None and one_pass is not None:
        cost = space.cost(one_pass)
        bounds += [left.train_tokens * cost.rows / cost.tokens] if cost.rows and cost.tokens else []
    return min(bounds, default=None)


def _next_epochs(
    script: Script, fit: float | None, looked: float, most: float, done: Sequence[tuple[float, Object | None]]
) -> float | None:
    """How many epochs the next long run has; None where there is none to make.

    Args:
        fit: epochs that are left of the budget; None is no bound.
        looked: runs of no more epochs are looks.
        most: epochs that are free.
        done: those that were made, the shortest first; None for one that failed.
    """
    if not done:
        if fit is None or fit >= DOUBLED:
            return max(1.0, 2 * looked)
        first = fit if script.space.left.trials == 1 or fit <= ONE_RUN else FIRST * fit
        return first if first > looked else None
    (epochs, model), before = done[-1], done[-2][1] if len(done) > 1 else None
    if model is None or (before is not None and script.value(model) < script.value(before) + script.error(model)):
        return None
    wanted = min(2 * epochs if fit is None or fit >= DOUBLED else fit, most)
    return wanted if wanted >= LONGER * epochs else None


def _changes(script: Script, trainer: Trainer, kept: Kept) -> Iterator[tuple[Action, str]]:
    """Changes of the best model, one kind after the other in turn."""
    state, space = script.state, script.space
    ranked = [model for model, _ in state.ranked()]
    best, number = ranked[0], len(state.trials)
    said_of = f"the best, {best.name} ({scored(state.objective(best.id))})"
    setting = trainer.varied(kept.setting, rate_times=0.5) or kept.setting
    longer = trainer.action(best, kept.datasets, setting, epochs=1.0)
    kinds: list[list[tuple[Action, str]]] = [
        [(longer, f"goes on from {said_of}, at half the learning rate")] if longer is not None else [],
        [
            (action, f"merges {said_of} with {other.name}")
            for other in _apart_from(script, best, ranked)
            for action in merges_of(state, space, [best, other])
        ],
        [
            (action, f"goes on from {said_of} with what {task} gains on")
            for task, group in _weakest(script, trainer, best)
            if (action := trainer.action(best, group, setting, epochs=1.0)) is not None
        ],
        _neighbors(script, best, said_of),
    ]  # fmt: skip
    turned = kinds[number % len(kinds) :] + kinds[: number % len(kinds)]
    yield from itertools.chain.from_iterable(turned)


def _apart_from(script: Script, best: Object, ranked: Sequence[Object]) -> list[Object]:
    """The next best models that training made and that are no step on the way from or to the best."""

    def trained_on(model: Object) -> set[str]:
        trial = script.state.trial_of(model.id)
        return (
            set()
            if trial is None
            else {i for i in trial.choice.action.object_ids if script.state.pool[i].kind == "model"}
        )

    return [
        other
        for other in ranked[1:]
        if other.made_by is not None
        and len(trained_on(other)) == 1
        and best.id not in trained_on(other)
        and other.id not in trained_on(best)
    ][:PARTNERS]


def _neighbors(script: Script, best: Object, said_of: str) -> list[tuple[Action, str]]:
    """The step that made the best model with one change, in random order."""
    trial = script.state.trial_of(best.id)
    if trial is None:
        return []
    found = [
        (action, f"the last step of {said_of}, with another {slot}: {obj.name}")
        for slot, obj, action in script.space.neighbors(trial.choice.action)
        if obj.kind != "model"
    ]
    return seeded(script.state).sample(found, len(found))


def _weakest(script: Script, trainer: Trainer, best: Object) -> list[tuple[str, list[Object]]]:
    """The tasks that the best model is worst at, each with the datasets whose models are best at it."""
    state = script.state
    most = {g.task: g.max_score for g in state.goals if g.weight}
    own = sorted((s for s in state.scores[best.id] if s.task in most), key=lambda s: s.value / most[s.task])
    found = []
    for score in own[:2]:
        by_dataset: dict[str, float] = {}
        for trial in state.trials:
            taken = [i for i in trial.choice.action.object_ids if state.pool[i].kind == "dataset"]
            if len(taken) == 1:
                value = next(
                    (s.value for s in state.scores.get(trial.choice.action.id, ()) if s.task == score.task), None
                )
                if value is not None:
                    by_dataset[taken[0]] = max(value, by_dataset.get(taken[0], value))
        if by_dataset:
            found.append((score.task, [state.pool[max(by_dataset, key=lambda i: by_dataset[i])]]))
    return found


def rows_of(datasets: Sequence[Object]) -> int:
    return sum(int(o.dataset["rows"]) for o in datasets)
