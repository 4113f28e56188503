from __future__ import annotations

import builtins
import itertools
import pickle
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import pytest

from lamdagent.actions.sft import Sft
from lamdagent.actions.ties import Ties
from lamdagent.core.action_type import ActionType
from lamdagent.core.errors import MissingExtra
from lamdagent.core.events import Asked, Event, ObjectAdded, Scored, StudyOpened, Told
from lamdagent.core.protocols import Policy
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Action, Choice, Failed, Made, Object, Score, Slot
from lamdagent.policies.evolution import Evolution, latest
from lamdagent.policies.greedy import Greedy
from lamdagent.policies.moves import LOOKED_THROUGH, drawn_with, merges, trains
from lamdagent.policies.random import Random
from lamdagent.policies.surrogate.policy import Surrogate
from lamdagent.policies.tpe import Form, Line, Tpe
from lamdagent.testing import toy

POLICIES: list[Callable[[], Policy]] = [Greedy, Evolution, Tpe, Surrogate]
every_policy = pytest.mark.parametrize("make", POLICIES, ids=["greedy", "evolution", "tpe", "surrogate"])
SEEDS = range(10)
TRIALS = 40


def menu_of(state: State) -> ActionSpace:
    return ActionSpace(state, toy.ACTION_TYPES)


def the_one(policy: Policy, state: State) -> Choice:
    (choice,) = policy.select(state, menu_of(state), 1)
    return choice


@cache
def searched(make: Callable[[], Policy], seed: int, slots: int = 1, models: int = 1) -> State:
    return toy.search(make(), trials=TRIALS, seed=seed, models=models, runner=toy.inline(capacity=slots))


def best_of(state: State) -> float:
    return state.ranked()[0][1].value


def made_by(state: State, type: str, **names: str) -> Action:
    """A toy action on the objects of these names."""
    ids = {obj.name: obj.id for obj in state.pool.values()}
    return menu_of(state).action(type, {slot: [ids[n] for n in given.split("+")] for slot, given in names.items()})


def after(
    state: State, action: Action, x: Sequence[float] | None, value: float = 0.0, *, root: str | None = None
) -> State:
    """The state after a trial: failed where `x` is None, else a model at `x` with `value` on every task."""
    number = len(state.trials)
    outcome: Made | Failed = Failed(cause="diverged", message="far away")
    if x is not None:
        root = root or state.of_kind("model")[0].id
        model = Object(
            id=action.id, kind="model", name=f"model-{number}", made_by=action.id, meta={"x": list(x), "root": root}
        )
        outcome = Made(object=model, scores=scores(value))
    choice = Choice(action=action, reason="", by="test")
    return reduce_events([Asked(number=number, choice=choice), Told(number=number, outcome=outcome)], state)


def scores(value: float) -> tuple[Score, ...]:
    return tuple(Score(task=goal.task, split="validation", value=value, n=10) for goal in toy.GOALS)


def opened(value: float = 0.3) -> State:
    state = reduce_events(toy.first_events())
    return reduce_events([Scored(object_id=state.of_kind("model")[0].id, scores=scores(value))], state)


def crowd(count: int) -> State:
    """Many scored models of one base model."""
    base = toy.point("base", (0.0, 0.0))
    models = [base, *(toy.point(f"m{i}", (i / count, 0.0), root=base.id) for i in range(count - 1))]
    events: list[Event] = [
        *(ObjectAdded(object=obj) for obj in (*models, toy.vector("east", (1.0, 0.0)), toy.rate("slow", 0.5))),
        *(Scored(object_id=model.id, scores=scores(i / count)) for i, model in enumerate(models)),
    ]
    return reduce_events([StudyOpened(config={}, seed=0, goals=toy.GOALS), *events])


@cache
def thousand() -> State:
    """A thousand models, each one step from the base model or from another one."""
    base = toy.point("base", (0.0, 0.0))
    data = [toy.vector(f"d{i}", (0.0, i / 50)) for i in range(50)]
    state = reduce_events(
        [
            StudyOpened(config={}, seed=0, goals=toy.GOALS),
            *(ObjectAdded(object=obj) for obj in (base, *data, *(toy.rate(f"r{i}", i / 10) for i in range(10)))),
            Scored(object_id=base.id, scores=scores(0.1)),
        ]
    )
    fills = itertools.product(("base", "model-0"), [f"d{i}" for i in range(50)], [f"r{i}" for i in range(10)])
    for i, (model, dataset, rate) in enumerate(fills):
        action = made_by(state, "step", model=model, dataset=dataset, hyperparameters=rate)
        state = after(state, action, (i / 1000, 0.5), i / 1000) if menu_of(state).why_invalid(action) is None else state
    return state


@every_policy
def test_none_repeats_an_action_with_several_slots_running(make: Callable[[], Policy]) -> None:
    for seed in (3, 4, 5):
        state = searched(make, seed, slots=2)
        assert len({trial.choice.action.id for trial in state.trials}) == TRIALS


@every_policy
def test_the_same_seed_gives_the_same_search(make: Callable[[], Policy]) -> None:
    again = toy.search(make(), trials=TRIALS, seed=3, runner=toy.inline(capacity=2))
    assert again.trials[-1].choice == searched(make, 3, slots=2).trials[-1].choice
    assert toy.without_costs(again) == toy.without_costs(searched(make, 3, slots=2))


@every_policy
def test_another_seed_gives_another_search(make: Callable[[], Policy]) -> None:
    pipelines = {tuple(t.choice.reason for t in searched(make, seed).trials) for seed in range(3)}
    assert len(pipelines) == 3


@every_policy
def test_it_finds_better_models_than_random_does(make: Callable[[], Policy]) -> None:
    gains = [best_of(searched(make, seed)) - best_of(searched(Random, seed)) for seed in SEEDS]
    assert statistics.mean(gains) > 2 * statistics.stdev(gains) / len(gains) ** 0.5


@every_policy
def test_a_pool_of_a_thousand_models_takes_no_long_thought(make: Callable[[], Policy]) -> None:
    state, policy = thousand(), make()
    assert len(state.pool) > 1000
    began = time.process_time()  # not the clock on the wall: what else runs here is not its fault
    assert len(policy.select(state, menu_of(state), 1)) == 1
    assert time.process_time() - began < 10.0  # what grows faster than the pool takes minutes


@every_policy
def test_a_search_in_which_all_fails_goes_on(make: Callable[[], Policy]) -> None:
    state = opened()
    while (choice := next(iter(make().select(state, menu_of(state), 1)), None)) is not None:
        state = after(state, choice.action, None)
    assert len(state.trials) == len(toy.DATASETS) * len(toy.RATES)


def test_greedy_goes_on_from_the_best() -> None:
    state = toy.grown(20)
    best = state.ranked()[0][0]
    choice = the_one(Greedy(exploration=0.0), state)
    assert best.id in choice.action.object_ids
    assert f"the best model, {best.name}" in choice.reason


def test_greedy_draws_its_action_types_evenly() -> None:
    state = toy.grown(20)
    seeds = [reduce_events([StudyOpened(config={}, seed=seed, goals=toy.GOALS)], state) for seed in range(100)]
    types = [the_one(Greedy(exploration=0.0), state).action.type for state in seeds]
    assert 30 <= types.count("mean") <= 70


def test_greedy_takes_the_next_best_where_nothing_is_left_for_the_best() -> None:
    state, base = opened(value=0.9), "base"
    for i, (dataset, rate) in enumerate(itertools.product(toy.DATASETS, toy.RATES)):
        action = made_by(state, "step", model=base, dataset=dataset, hyperparameters=rate)
        state = after(state, action, (0.0, 0.0) if i == 0 else None, 0.5)
    choice = the_one(Greedy(exploration=0.0), state)  # the two models lie on one point, so they cannot be merged
    assert choice.action.inputs["model"] == (state.ranked()[1][0].id,)
    assert "the best not used up" in choice.reason


def test_greedy_that_only_explores_says_so() -> None:
    assert "exploring" in the_one(Greedy(exploration=1.0), toy.grown(20)).reason


def test_the_warm_up_of_evolution_is_random() -> None:
    for trials in (0, 3):
        state = toy.grown(trials)
        assert the_one(Evolution(warmup=4), state).action == the_one(Random(), state).action
    assert "parent" in the_one(Evolution(warmup=4), toy.grown(4)).reason


def test_the_parents_of_evolution_come_from_the_last_population() -> None:
    for state in (toy.grown(30), toy.grown(30, seed=1), toy.grown(25, models=3, running=3)):
        population = latest(state, 5)
        assert (
            list(population)
            == [model for model, _ in sorted(state.ranked(), key=lambda row: place(state, row[0]))][-5:]
        )
        choice = the_one(Evolution(population=5, tournament=2), state)
        assert choice.reason.split()[1] in {model.name for model in population}


def place(state: State, model: Object) -> int:
    return list(state.pool).index(model.id)


def test_a_tournament_of_all_is_won_by_the_best_of_the_population() -> None:
    state = toy.grown(30)
    young = latest(state, 6)
    best = next(model for model, _ in state.ranked() if model in young)
    assert f"parent {best.name} " in the_one(Evolution(population=6, tournament=6), state).reason


def test_evolution_changes_extends_and_crosses() -> None:
    reasons = [t.choice.reason for seed in range(5) for t in searched(Evolution, seed).trials]
    for mutation in (": its last step with ", ": one step more, step", ": crossed with "):
        assert sum(mutation in reason for reason in reasons) > 10


def test_a_change_differs_from_the_step_that_made_the_parent_in_one_object_or_by_one() -> None:
    for seed in range(5):
        state = searched(Evolution, seed)
        by_name = {obj.name: obj for obj in state.pool.values()}
        for trial in state.trials:
            if ": its last step with " not in trial.choice.reason:
                continue
            made = state.trial_of(by_name[trial.choice.reason.split()[1]].id)
            assert made is not None and made.choice.action.type == trial.choice.action.type
            before, now = set(made.choice.action.object_ids), set(trial.choice.action.object_ids)
            assert now != before and len(now - before) <= 1 and len(before - now) <= 1


def test_tpe_rebuilds_to_the_same_choice_from_the_same_state() -> None:
    used = Tpe()
    for state in (toy.grown(30), toy.grown(12, seed=2), toy.grown(25, models=3, running=3)):
        copied: State = pickle.loads(pickle.dumps(state))
        assert list(used.select(state, menu_of(state), 3)) == list(Tpe().select(copied, menu_of(copied), 3))


def grown_line() -> State:
    """base > east/slow > north/slow, a merge of the two, a failure, and a step on the merge."""
    state = opened()
    east = made_by(state, "step", model="base", dataset="east", hyperparameters="slow")
    state = after(state, east, (0.5, 0.0), 0.4)
    state = after(
        state, made_by(state, "step", model="model-0", dataset="north", hyperparameters="slow"), (0.5, 0.5), 0.5
    )
    state = after(state, made_by(state, "mean", models="model-0+model-1"), (0.5, 0.25), 0.6)
    state = after(state, made_by(state, "step", model="base", dataset="north", hyperparameters="wild"), None)
    return after(
        state, made_by(state, "step", model="model-2", dataset="east", hyperparameters="slow"), (1.0, 0.2), 0.7
    )


def test_tpe_is_told_every_model_of_its_form_with_what_lies_on_the_way() -> None:
    state = grown_line()
    told = Form(state, menu_of(state), 3).study(seed=0, startup=10).trials
    assert [t.value for t in told] == pytest.approx([0.3, 0.4, 0.5, 0.6, 0.6, None])
    assert [t.state.name for t in told] == [*(["COMPLETE"] * 5), "PRUNED"]
    lengths = [sum(t.params.get(f"step {i}", "none") != "none" for i in range(3)) for t in told]
    assert lengths == [0, 1, 2, 1, 2, 1]
    assert [t.params["merge"] != "none" for t in told] == [False, False, False, True, True, False]


def test_tpe_is_told_of_running_trials_as_running() -> None:
    state = toy.grown(6, running=2)
    told = Form(state, menu_of(state), 3).study(seed=0, startup=10).trials
    running = [t for t in told if t.state.name == "RUNNING"]
    assert bool(running) == any(t.choice.action.type == "step" for t in state.running)


def test_tpe_leaves_out_pipelines_deeper_than_its_own() -> None:
    state = grown_line()
    lines = [line for line, _ in Form(state, menu_of(state), 1).lines()]
    assert max(len(line.steps) for line in lines) == 1


def test_tpe_goes_on_with_the_first_step_that_is_not_done() -> None:
    state = grown_line()
    form = Form(state, menu_of(state), 3)
    every = itertools.chain.from_iterable(settings.values() for settings in form.training.values())
    by_names = {tuple(state.pool[i].name for _, ids in step.groups for i in ids): step for step in every}
    steps = tuple(by_names[key] for key in (("east", "slow"), ("north", "slow"), ("south-west", "fast")))
    ids = {obj.name: obj.id for obj in state.pool.values()}
    action = form.undone(Line(ids["base"], steps))
    assert action == made_by(state, "step", model="model-1", dataset="south-west", hyperparameters="fast")
    assert form.undone(Line(ids["base"], steps[:2])) == "all of it was done"
    merged = form.undone(Line(ids["base"], steps[:2], form.merging["mean "][""]))
    assert merged == made_by(state, "mean", models="model-1+model-4"), "the best other model is its partner"
    failed = form.undone(Line(ids["base"], (by_names["north", "wild"], steps[0])))
    assert failed == "already tried: it failed as trial 3"


def test_tpe_says_how_to_install_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "optuna":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install 'lamdagent\[tpe\]'"):
        Tpe()


def test_tpe_prints_nothing(capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    the_one(Tpe(), toy.grown(20))
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_action_types_are_known_by_their_slots() -> None:
    one, two = Slot(name="model", kind="model"), Slot(name="models", kind="model", at_least=2, at_most=3)
    teacher, data = Slot(name="teacher", kind="model"), Slot(name="dataset", kind="dataset")
    assert trains(toy.ToyOpen(one, data)) and not merges(toy.ToyOpen(one, data))
    assert merges(toy.ToyOpen(two)) and merges(toy.ToyOpen(one, two)) and not trains(toy.ToyOpen(two))
    assert not trains(toy.ToyOpen(one, teacher)) and not merges(toy.ToyOpen(one, teacher))
    assert not trains(toy.ToyOpen(data)) and not merges(toy.ToyOpen(data))


@pytest.mark.parametrize("ordered", [False, True])
def test_an_action_with_a_model_is_found_as_long_as_there_is_one(ordered: bool) -> None:
    type = toy.ToyOpen(
        Slot(name="models", kind="model", at_least=2, at_most=3, ordered=ordered), Slot(name="dataset", kind="dataset")
    )
    state = crowd(4)
    model = state.of_kind("model")[1].id
    every = {a.id for a in ActionSpace(state, {"open": type}).of_type("open") if model in a.object_ids}
    assert len(every) <= LOOKED_THROUGH
    drawn = set()
    while (action := drawn_with(ActionSpace(state, {"open": type}), "open", model, random.Random(1))) is not None:
        drawn.add(action.id)
        state = reduce_events(
            [Asked(number=len(state.trials), choice=Choice(action=action, reason="", by="test"))], state
        )
    assert drawn == every


@every_policy
@pytest.mark.parametrize("weights", [1.0, [0.7, 0.3]], ids=["unordered", "ordered"])
def test_it_trains_and_merges_with_the_real_action_types(make: Callable[[], Policy], weights: Any) -> None:
    types: Mapping[str, ActionType] = {"sft": Sft(), "ties": Ties(models=[2], ordered=isinstance(weights, list))}
    values = {"density": 0.5, "weight": weights, "normalize": True}
    objects = [
        *(toy.point(name, x) for name, x in toy.STARTS.items()),
        *(toy.vector(name, x) for name, x in toy.DATASETS.items()),
        toy.rate("gentle", 0.5, action="sft"),
        Object(id="half", kind="hyperparameters", name="half", meta={"action": "ties", "values": values}),
    ]
    opened = StudyOpened(config={}, seed=0, goals=toy.GOALS)
    state = reduce_events([opened, *(ObjectAdded(object=obj) for obj in objects)])
    state = reduce_events((Scored(object_id=model.id, scores=scores(0.1)) for model in state.of_kind("model")), state)
    for i in range(30):
        (choice,) = make().select(state, ActionSpace(state, types), 1)
        root = state.pool[next(j for j in choice.action.object_ids if state.pool[j].kind == "model")].meta["root"]
        state = after(state, choice.action, (0.0, i / 10), 0.2 + i % 7 / 10, root=root)
    assert {trial.choice.action.type for trial in state.trials} == {"sft", "ties"}
