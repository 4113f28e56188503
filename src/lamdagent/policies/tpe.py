"""Optuna's TPE over pipelines of a fixed form: what one would do today with a library for hyperparameters.

A pipeline is a base model, up to `depth` training steps, and perhaps a merge of the result with the best other model;
the sampler suggests whole pipelines. A trial makes one model, so a suggestion's first step that is not done yet is
the choice, and every model of that form, those on the way included, is told to the sampler as a finished pipeline.
The sampler is rebuilt from the state each time.

Source: Bergstra et al. 2011, as `optuna.samplers.TPESampler`, each parameter on its own: in optuna the joint form
covers only parameters that every pipeline has, and here each further step has its own. The running are told as
running, so that the constant liar leads away from them; failures as pruned, which ranks them below all that finished.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from lamdagent.core.config import Config
from lamdagent.core.errors import MissingExtra
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Action, Choice, Kind, Object, ObjectId, Slot, Trial
from lamdagent.policies.imagined import with_made_data
from lamdagent.policies.moves import at_random, merges, model_slots, one_by_one, seeded, trains, with_varied_settings

if TYPE_CHECKING:
    import optuna

NONE = "none"
SUGGESTIONS = 30  # pipelines asked for before an action is drawn at random
OPTIONS = 500  # most alternatives of one step, and of its settings
ENDS_SHOWN = 2  # reasons why suggestions led nowhere, the most frequent
PARTNERS = 20  # groups of other models that a merge is tried with, the best first
Pick = Callable[[str, Sequence[str]], str]
Groups = tuple[tuple[str, tuple[ObjectId, ...]], ...]  # slots, by name, and what is in them
Alternatives = dict[str, dict[str, "TpeStep"]]  # by what is done, by setting


class TpeConfig(Config):
    """Optuna's TPE over pipelines of a fixed form; needs `pip install 'lamdagent[tpe]'`."""

    depth: int = Field(3, ge=1, description="most training steps of a pipeline")
    startup: int = Field(10, ge=0, description="finished pipelines before which suggestions are random")


@dataclass(frozen=True, slots=True)
class TpeStep:
    """An action type with its objects but for the models, and the two labels that the sampler sees of it."""

    type: str
    groups: Groups
    what: str
    setting: str


@dataclass(frozen=True, slots=True)
class Line:
    """A pipeline of the fixed form: a base model, training steps, perhaps a merge."""

    base: ObjectId
    steps: tuple[TpeStep, ...] = ()
    merge: TpeStep | None = None


class Tpe:
    """Suggests whole pipelines and chooses the first step of one that is not done yet.

    Args:
        depth: most training steps of a pipeline, at least 1.
        startup: finished pipelines before which suggestions are random.
    Raises:
        MissingExtra: optuna is not installed.
    """

    Config = TpeConfig
    name = "tpe"

    def __init__(self, *, depth: int = 3, startup: int = 10) -> None:
        try:
            import optuna  # noqa: F401
        except ImportError as error:
            raise MissingExtra("policy: tpe needs optuna: pip install 'lamdagent[tpe]'") from error
        self._depth, self._startup = depth, startup

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        return one_by_one(state, space, n, with_made_data(self._choose))

    def _choose(self, state: State, space: ActionSpace) -> Choice | None:
        rng = seeded(state)
        state = with_varied_settings(state, space)
        space = space.over(state)
        form = Form(state, space, self._depth)
        if not form.bases or not form.training:
            why = "no action type trains a single model here" if form.bases else "there is no base model"
            return at_random(space, rng, by=self.name, why=why)
        study, ends = form.study(seed=rng.getrandbits(32), startup=self._startup), Counter[str]()
        for _ in range(SUGGESTIONS):
            # A suggestion that leads to nothing stays open: the constant liar leads away from it, too.
            line = form.walk(study.ask().suggest_categorical)
            if isinstance(action := form.undone(line), Action):
                return Choice(action=action, reason=f"towards {form.shown(line)}", by=self.name)
            ends[action] += 1
        often = "; ".join(f"{n} times {end}" for end, n in ends.most_common(ENDS_SHOWN))
        why = f"none of {SUGGESTIONS} suggested pipelines has a step left to do: {often}"
        return at_random(space, rng, by=self.name, why=why)


class Form:
    """The pipelines of the fixed form that a state and an action space allow, as the sampler sees them.

    Only action types with a single slot for models are part of it.
    """

    def __init__(self, state: State, space: ActionSpace, depth: int) -> None:
        self._state, self._menu, self._depth = state, space, depth
        types = {name: type for name, type in space.types.items() if len(model_slots(type)) == 1}
        self.bases = [model.id for model in state.of_kind("model") if model.made_by is None]
        self.training = _alternatives(space, [name for name, type in types.items() if trains(type)])
        self.merging = _alternatives(space, [name for name, type in types.items() if merges(type)])
        self._slot = {name: model_slots(type)[0] for name, type in types.items()}

    def study(self, *, seed: int, startup: int) -> optuna.Study:
        """An optuna study to which everything of this form is told."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=startup, multivariate=False, constant_liar=True
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        states = optuna.trial.TrialState
        for line, trial in self.lines():
            value = self._state.objective(trial.choice.action.id if trial else line.base)
            ended = states.PRUNED if value is None else states.COMPLETE
            params = self._params(line)
            told = optuna.trial.create_trial(
                state=states.RUNNING if trial and trial.outcome is None else ended,
                value=None if value is None else value.value,
                params={name: picked for name, (_, picked) in params.items()},
                distributions={
                    name: optuna.distributions.CategoricalDistribution(c) for name, (c, _) in params.items()
                },
            )
            study.add_trial(told)
        return study

    def walk(self, pick: Pick) -> Line:
        """The pipeline that comes of picking one choice after another: each has a name and its alternatives."""
        base = pick("base", self.bases)
        steps: list[TpeStep] = []
        while len(steps) < self._depth and (step := _picked(f"step {len(steps)}", self.training, pick)) is not None:
            steps.append(step)
        return Line(base, tuple(steps), _picked("merge", self.merging, pick))

    def lines(self) -> Iterator[tuple[Line, Trial | None]]:
        """Everything of this form that was tried, with its trial; None for a scored base model.

        A merge comes once for each of its models that it can be said to end the pipeline of.
        """
        steps = itertools.chain.from_iterable(s.values() for s in (*self.training.values(), *self.merging.values()))
        known = {(step.type, tuple(sorted(step.groups))): step for step in steps}
        found = {base: Line(base) for base in self.bases}
        yield from ((line, None) for base, line in found.items() if self._state.objective(base) is not None)
        for trial in self._state.trials:
            action = trial.choice.action
            slot = self._slot.get(action.type)
            if slot is None:
                continue
            rest = sorted((name, ids) for name, ids in action.inputs.items() if name != slot.name)
            step = known.get((action.type, tuple(rest)))
            for line in filter(None, map(found.get, action.inputs[slot.name])):
                if step is None:
                    continue
                if slot.at_most > 1:
                    yield Line(line.base, line.steps, step), trial
                elif len(line.steps) < self._depth:
                    found[action.id] = Line(line.base, (*line.steps, step))
                    yield found[action.id], trial

    def undone(self, line: Line) -> Action | str:
        """The first action of a pipeline whose model is not in the pool, or why there is none that can be done."""
        model = line.base
        for step in line.steps:
            action = self._action(step, [model])
            if action.id not in self._state.pool:
                return self._menu.why_invalid(action) or action
            model = action.id
        return self._merge_of(line.merge, model) if line.merge else "all of it was done"

    def _merge_of(self, step: TpeStep, model: ObjectId) -> Action | str:
        slot = self._slot[step.type]
        others = [other.id for other, _ in self._state.ranked() if other.id != model]
        for partners in itertools.islice(itertools.combinations(others, max(2, slot.at_least) - 1), PARTNERS):
            group = (model, *partners)
            for models in itertools.permutations(group) if slot.ordered else (group,):
                action = self._action(step, models)
                if self._menu.why_invalid(action) is None:
                    return action
        return "no merge that can be done"

    def _action(self, step: TpeStep, models: Sequence[ObjectId]) -> Action:
        slots = {self._slot[step.type].name: models, **dict(step.groups)}
        return self._menu.action(step.type, slots)

    def _params(self, line: Line) -> dict[str, tuple[Sequence[str], str]]:
        """What must be picked to walk to a pipeline: by name, the alternatives and the one picked."""
        steps = [*line.steps, *([None] if len(line.steps) < self._depth else []), line.merge]
        labels = itertools.chain([line.base], *((step.what, step.setting) if step else (NONE,) for step in steps))
        params: dict[str, tuple[Sequence[str], str]] = {}

        def pick(name: str, choices: Sequence[str]) -> str:
            params[name] = choices, next(labels)
            return params[name][1]

        self.walk(pick)
        return params

    def shown(self, line: Line) -> str:
        def name(step: TpeStep) -> str:
            ids = (i for _, group in step.groups for i in group)
            return " ".join([step.type, "/".join(self._state.pool[i].name for i in ids)]).strip()

        merge = [f"{name(line.merge)} with the best other model"] if line.merge else []
        return " > ".join([self._state.pool[line.base].name, *map(name, line.steps), *merge])


def _picked(name: str, steps: Alternatives, pick: Pick) -> TpeStep | None:
    """First the action type with its objects, or none; then its setting, which is a choice of its own for each type."""
    what = pick(name, [NONE, *steps]) if steps else NONE
    if what == NONE:
        return None
    settings = steps[what]
    return settings[pick(f"{name} setting of {next(iter(settings.values())).type}", list(settings))]


def _alternatives(space: ActionSpace, types: Sequence[str]) -> Alternatives:
    """Every way to fill the slots of some types but those for models; where there are very many, the first ones."""
    found: Alternatives = {}
    for type in types:
        settings = list(itertools.islice(_groups(space, type, "hyperparameters"), OPTIONS))
        for objects in itertools.islice(_groups(space, type, "dataset"), OPTIONS) if settings else ():
            what = f"{type} {_label(objects)}"
            steps = [TpeStep(type, (*objects, *groups), what, _label(groups)) for groups in settings]
            found[what] = {step.setting: step for step in steps}
    return found


def _label(groups: Groups) -> str:
    return " ".join("+".join(ids) for _, ids in groups)


def _groups(space: ActionSpace, type: str, kind: Kind) -> Iterator[Groups]:
    slots, options = [slot for slot in space.types[type].slots if slot.kind == kind], space.options(type)
    ways = [list(itertools.islice(_fills(slot, options[slot.name]), OPTIONS)) for slot in slots]
    for groups in itertools.product(*ways):
        yield tuple((slot.name, group) for slot, group in zip(slots, groups, strict=True))


def _fills(slot: Slot, options: Sequence[Object]) -> Iterator[tuple[ObjectId, ...]]:
    pick = itertools.permutations if slot.ordered else itertools.combinations
    least, most = slot.at_least, slot.most(len(options))
    # Where there are many, those of a few objects and those that lack a few come first.
    for k in sorted(range(least, most + 1), key=lambda k: (min(k - least, most - k), k)):
        yield from pick([obj.id for obj in options], k)
