"""What racing costs and saves: whole searches, held against scoring every model on every item.

    python benchmarks/racing.py [--searches 100] [--slots 1]

A search draws 30 models, one after the other. Each is asked the first items of a task and more while it is not told from
the leader, as in any study: jobs are worked, outcomes are folded into the state, and the state ranks. Items are right or
wrong, and hard items are hard for all (errors correlate at about 0.33). Prints how many of all items were asked, the base
model's too; how often the truly best model is first at the end, by racing and where all is scored, with the paired
difference and its standard error; how far below the best the first truly is; and how often another model is ahead of the
first on the items that both have. About half a second a search on an idle core.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from lamdagent.core.action_type import Context
from lamdagent.core.budget import Budget
from lamdagent.core.events import ObjectAdded, StudyOpened
from lamdagent.core.search import Search, run
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Choice, Kind, Object, Slot, Split, TaskWeight
from lamdagent.evaluation.evaluator import Evaluation
from lamdagent.memories.table import Table
from lamdagent.runners.inline import Inline
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy

MODELS = 30
GOALS = (TaskWeight(task="task"),)
LADDERS = ((20, 200), (100, 1000))
"""How many items a model is asked first, and at the most."""
SPREADS = (0.01, 0.02, 0.05, 0.1)

Array = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=100)
    parser.add_argument("--slots", type=int, default=1, help="jobs at once: a leader may be old when a race ends")
    options = parser.parse_args()
    print("| items | spread of true scores | asked | best found, racing | all | difference | below the best | all "
          "| passed on common items |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for first, most in LADDERS:
        for spread in SPREADS:
            found = [one_search(spread, seed, first, most, options.slots) for seed in range(options.searches)]
            asked, hit, full, lost, full_lost, passed = np.mean(found, axis=0)
            gap = np.array([f[1] - f[2] for f in found], dtype=float)
            print(f"| {first} to {most} | {spread} | {asked:.1%} | {hit:.3f} | {full:.3f} | {gap.mean():+.3f} ± "
                  f"{gap.std(ddof=1) / np.sqrt(len(gap)):.3f} | {lost:.4f} | {full_lost:.4f} | {passed:.3f} |",
                  flush=True)  # fmt: skip


def one_search(
    spread: float, seed: int, first: int, most: int, slots: int
) -> tuple[float, float, float, float, float, float]:
    """Share of items asked; whether racing, and scoring all, found the best; how far below it they ended; passed."""
    rng = np.random.default_rng([8, seed])
    chance_M = np.clip(0.5 + spread * rng.normal(size=MODELS), 0.05, 0.95)
    task = Written(answers(chance_M, most, rng))
    state = searched(task, first, most, slots)
    ranked = [obj.meta["row"] for obj, _ in state.ranked()]
    picked, full, best = ranked[0], int(task.items_MN.mean(axis=1).argmax()), int(chance_M.argmax())
    lost_M = chance_M[best] - chance_M
    asked = sum(task.asked.values()) / task.items_MN.size
    passed = any(_lead(task, row, picked) > 1e-9 for row in ranked[1:])
    return asked, picked == best, full == best, lost_M[picked], lost_M[full], passed


def answers(chance_M: Array, n: int, rng: np.random.Generator) -> Array:
    """Right or wrong, models by items; half of what decides is the item's difficulty, the same for all."""
    hidden_MN = np.sqrt(0.5) * (rng.normal(size=n) + rng.normal(size=(len(chance_M), n)))
    right_MN: Array = (hidden_MN < norm.ppf(chance_M)[:, None]).astype(float)
    return right_MN


@dataclass
class Written:
    """A task whose items are written down for every model; counts what it is asked."""

    items_MN: Array
    asked: dict[int, int] = field(default_factory=dict)
    name: str = "task"
    ids: Mapping[Split, str] = field(default_factory=lambda: {"validation": "validation", "test": "test"})

    def values(self, model: Object, split: Split, ctx: Context, n: int | None = None) -> Sequence[float]:
        row, n = model.meta["row"], n or self.items_MN.shape[1]
        self.asked[row] = max(self.asked.get(row, 0), n)
        found: list[float] = self.items_MN[row, :n].tolist()
        return found


class Draw:
    """Makes the model whose row of items a setting names."""

    name, version = "draw", 1
    makes: Kind = "model"
    slots = (Slot(name="model", kind="model"), Slot(name="hyperparameters", kind="hyperparameters"))

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        return None if inputs["model"][0].made_by is None else "only the base model is drawn from"

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        (base,), (setting,) = inputs["model"], inputs["hyperparameters"]
        return {"root": base.id, "row": setting.meta["values"]["row"]}


class InOrder:
    """One model after the other."""

    name = "in order"

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        untried = (action for action in space if action.id not in state.tried)
        return [Choice(action=action, reason="the next", by=self.name) for action in islice(untried, n)]


def searched(task: Any, first: int, most: int, slots: int) -> State:
    """The state after a search of a base model, row 0, whose trials make the other rows."""
    base = Object(id="base", kind="model", name="base", meta={"root": "base", "row": 0})
    rows = [
        Object(id=f"row-{row}", kind="hyperparameters", name=f"row-{row}",
               meta={"action": "draw", "values": {"row": row}})
        for row in range(1, MODELS)
    ]  # fmt: skip
    opened = StudyOpened(config={}, seed=0, goals=GOALS)
    journal = MemoryJournal(opened, *(ObjectAdded(object=obj) for obj in (base, *rows)))
    types = {"draw": Draw()}
    evaluation = Evaluation(tasks=[task], goals=GOALS, first=first, most=most)
    search = Search(
        journal=journal, action_types=types, policy=InOrder(), memory=Table(), budget=Budget(trials=MODELS - 1)
    )
    return run(search, Inline(replace(toy.toolkit(types), evaluation=evaluation), capacity=slots))


def _lead(task: Written, row: int, over: int) -> float:
    n = min(task.asked[row], task.asked[over])
    return float((task.items_MN[row, :n] - task.items_MN[over, :n]).mean())


if __name__ == "__main__":
    main()
