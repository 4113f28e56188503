"""When a surrogate begins to draw blindly because much of what it ranks is refused, and what looking past that takes.

    python benchmarks/refusals.py [--trials 60] [--refused 0 30 60]

A toy world with three good datasets and some more that are refused, by their slot or only together with a model, by
`validate`. Prints the first trial that was drawn at random with its reason, and the median time of a choice.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence

from lamdagent.core.action_type import ActionType
from lamdagent.core.budget import Budget
from lamdagent.core.events import ObjectAdded
from lamdagent.core.search import Search, run
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State
from lamdagent.core.types import Choice, Object, Slot
from lamdagent.memories.table import Table
from lamdagent.policies.surrogate.policy import Surrogate
from lamdagent.runners.inline import Inline
from lamdagent.study.journal import MemoryJournal
from lamdagent.testing import toy

REFUSED = (0.0, 0.0)  # such datasets move nothing


class ByValidate(toy.ToyStep):
    """Refuses what moves nothing only when it is asked of a combination."""

    slots = tuple(Slot(name=slot.name, kind=slot.kind) for slot in toy.ToyStep.slots)

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        return toy.moves(inputs["dataset"][0])


class Timed(Surrogate):
    """Notes how long each choice took."""

    def __init__(self) -> None:
        super().__init__()
        self.spent: list[float] = []

    def select(self, state: State, space: ActionSpace, n: int) -> Sequence[Choice]:
        began = time.perf_counter()
        chosen = super().select(state, space, n)
        self.spent.append(time.perf_counter() - began)
        return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--refused", type=int, nargs="+", default=[0, 30, 60])
    options = parser.parse_args()
    for by, step in (("slot", toy.ToyStep()), ("validate", ByValidate())):
        for refused in options.refused:
            policy = Timed()
            state = searched(policy, step, refused, options.trials)
            blind = [trial for trial in state.trials if "drawn at random" in trial.choice.reason]
            said = "".join(f", the first is trial {t.number + 1}: {t.choice.reason}" for t in blind[:1])
            took = statistics.median(policy.spent[-10:]) * 1e3
            print(f"{refused:3} refused by {by:8}: {len(blind)} blind{said} ({took:.0f} ms a choice at the end)")


def searched(policy: Surrogate, step: ActionType, refused: int, trials: int) -> State:
    """A search beside so many datasets that are refused."""
    more = [ObjectAdded(object=toy.vector(f"refused-{i}", REFUSED)) for i in range(refused)]
    journal = MemoryJournal(*toy.first_events(), *more)
    types = {**toy.ACTION_TYPES, "step": step}
    search = Search(journal=journal, action_types=types, policy=policy, memory=Table(), budget=Budget(trials=trials))
    return run(search, Inline(toy.toolkit(types)))


if __name__ == "__main__":
    main()
