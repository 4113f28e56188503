"""How honest the surrogate's predictions are: how often what was measured lies within its 90 % intervals.

    python benchmarks/calibration.py demo/study.yaml demo/runs/tiny [more run folders of the same world]

Every trial that made a scored model is predicted once more from what was known when it began, whoever chose it, and held
against its score. Prints the share covered, the mean error and its spread, by action type and by tens of trials.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from lamdagent.core.action_type import ActionType
from lamdagent.core.events import Asked, Event
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.policies.surrogate.policy import SurrogateModel
from lamdagent.study.config import load_study
from lamdagent.study.journal import read_journal
from lamdagent.study.parts import StudyParts

WIDTH_90 = 1.645
TENS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="the study file, for its action types")
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    options = parser.parse_args()
    types = StudyParts(load_study(options.study)).action_types
    groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for run in options.runs:
        for type, number, error, sd in held_against(list(read_journal(run)), types):
            for group in ("all", type, f"trials {number // TENS * TENS} to {number // TENS * TENS + TENS - 1}"):
                groups[group].append((error, sd))
    for group, found in sorted(groups.items()):
        error, sd = np.array(found).T
        covered = np.mean(np.abs(error) <= WIDTH_90 * sd)
        print(
            f"{group:18} {len(found):5} trials   {covered:.0%} within 90 %   "
            f"mean error {error.mean():+.3f}, spread {error.std():.3f}, predicted {np.sqrt((sd**2).mean()):.3f}"
        )


def held_against(events: list[Event], types: Mapping[str, ActionType]) -> Iterator[tuple[str, int, float, float]]:
    """Action type, number, measured less predicted objective, and predicted standard deviation of each trial."""
    end, state = reduce_events(events), State()
    for event in events:
        if isinstance(event, Asked):
            action = event.choice.action
            predicted = SurrogateModel(state, ActionSpace(state, types), 0).predict(action)
            measured = end.objective(action.id)
            if predicted is not None and measured is not None:
                yield action.type, event.number, measured.value - predicted[0], predicted[1]
        state = reduce_events([event], state)


if __name__ == "__main__":
    main()
