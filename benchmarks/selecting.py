"""How long the surrogate takes to choose among very many candidates late in a search.

    python benchmarks/selecting.py [--trials 500] [--candidates 100000]

A state of so many trials is made up (models with scores on four tasks, steps and merges of the toy world's types), and
one choice is timed: the regressions of every action type and task, all candidates' predictions, and the action space's
word on the best. Median of 5, and the candidates that were ranked.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from dataclasses import replace

from lamdagent.core.events import Asked, ObjectAdded, Scored, StudyOpened, Told
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Choice, Made, Object, Score, TaskWeight
from lamdagent.policies.surrogate.policy import Surrogate, SurrogateModel
from lamdagent.testing import toy

TASKS = ("reading", "sums", "tools", "facts")
REPEATS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--candidates", type=int, default=100_000, help="most of each action type")
    options = parser.parse_args()
    state = grown(options.trials)
    space, policy = ActionSpace(state, toy.ACTION_TYPES), Surrogate(candidates=options.candidates)
    policy.select(state, space, 1)  # imports what it needs
    spent = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        policy.select(state, ActionSpace(state, toy.ACTION_TYPES), 1)
        spent.append(time.perf_counter() - began)
    ranked = SurrogateModel(state, space, options.candidates).count
    print(f"{ranked:,} candidates after {options.trials} trials: {statistics.median(spent):.2f} s a choice")


def grown(trials: int, seed: int = 0) -> State:
    """A state of so many trials, drawn as `random` draws them, with made-up scores."""
    rng = random.Random(seed)
    base = toy.point("base", (0.0, 0.0))
    data = [toy.vector(f"data-{i}", (1.0, i / 10)) for i in range(10)]
    rates = [toy.rate(f"rate-{i}", 10.0**-i) for i in range(6)]
    opened = StudyOpened(config={}, seed=seed, goals=tuple(TaskWeight(task=name) for name in TASKS))
    state = reduce_events([opened, *(ObjectAdded(object=obj) for obj in (base, *data, *rates)), scored(base.id, rng)])
    for number in range(trials):
        action = ActionSpace(state, toy.ACTION_TYPES).sample(rng)
        assert action is not None
        model = Object(
            id=action.id,
            kind="model",
            name=f"model-{number}",
            made_by=action.id,
            meta={"x": (rng.random(), rng.random()), "root": base.id},
        )
        outcome = Made(object=model, scores=scored(model.id, rng).scores)
        choice = Choice(action=action, reason="", by="random")
        state = reduce_events([Asked(number=number, choice=choice), Told(number=number, outcome=outcome)], state)
    return replace(state, seed=seed)


def scored(object_id: str, rng: random.Random) -> Scored:
    scores = (Score(task=name, split="validation", value=rng.random(), n=100, stderr=0.03) for name in TASKS)
    return Scored(object_id=object_id, scores=tuple(scores))


if __name__ == "__main__":
    main()
