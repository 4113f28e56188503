"""The contract of `lamdagent.core.protocols.Runner`."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from lamdagent.core.jobs import Job, Prepared, PrepareRequest
from lamdagent.core.protocols import Runner
from lamdagent.core.types import Action, Cost, Failed, Made, Outcome
from lamdagent.testing import toy


class RunnerLifeContract:
    """Whatever its jobs are: each comes back once, as a value, cancelled ones too.

    `within_s`: the longest that all jobs of one test may take.
    `stops_running`: whether `cancel` ends a job that is running; one that cannot lets it go on to its own end.
    """

    within_s = 60.0
    stops_running = True

    def runner(self, folder: Path, *, capacity: int = 1) -> Runner:
        """A runner of so much capacity; `folder` is for its logs."""
        raise NotImplementedError

    def jobs(self, count: int) -> list[Job]:
        """Different jobs with the keys 0, 1, …"""
        raise NotImplementedError

    def long_job(self) -> Job:
        """A job with the key `long` that runs for longer than `within_s`, or at least for 20 seconds."""
        raise NotImplementedError

    def request(self) -> tuple[PrepareRequest, Prepared]:
        """What to prepare, and what the answer is."""
        raise NotImplementedError

    @contextlib.contextmanager
    def started(self, folder: Path, *, capacity: int = 1) -> Iterator[Runner]:
        runner = self.runner(folder, capacity=capacity)
        try:
            yield runner
        finally:
            runner.close()

    def test_every_job_comes_back_exactly_once(self, tmp_path: Path) -> None:
        jobs = self.jobs(6)
        with self.started(tmp_path, capacity=2) as runner:
            assert runner.capacity == 2
            ended = outcomes(runner, jobs, within_s=self.within_s)
        assert sorted(key for key, _ in ended) == [job.key for job in jobs]

    def test_what_is_prepared_comes_back_and_jobs_are_done_after_it(self, tmp_path: Path) -> None:
        request, answer = self.request()
        with self.started(tmp_path) as runner:
            assert runner.prepare(request) == answer
            assert runner.prepare(request) == answer
            ((_, outcome),) = outcomes(runner, self.jobs(1), within_s=self.within_s)
        assert isinstance(outcome, Made)

    def test_a_queued_job_that_is_cancelled_is_never_done_and_the_others_are(self, tmp_path: Path) -> None:
        jobs = self.jobs(3)
        with self.started(tmp_path) as runner:
            for job in jobs:
                runner.submit(job)
            runner.cancel(2)
            ended = dict(collected(runner, len(jobs), within_s=self.within_s))
        cancelled = ended.pop(2)
        assert isinstance(cancelled, Failed)
        assert cancelled.cause == "cancelled"
        assert sorted(ended) == [0, 1]
        assert all(isinstance(outcome, Made) for outcome in ended.values())

    def test_a_running_job_that_is_cancelled_is_stopped_and_the_next_one_is_done(self, tmp_path: Path) -> None:
        if not self.stops_running:
            return
        with self.started(tmp_path) as runner:
            began = time.monotonic()
            runner.submit(self.long_job())
            runner.wait(1.0)
            runner.cancel("long")
            ((key, outcome),) = runner.wait(5.0)
            assert time.monotonic() - began < 15
            ended = outcomes(runner, self.jobs(1), within_s=self.within_s)
        assert key == "long"
        assert isinstance(outcome, Failed)
        assert outcome.cause == "cancelled"
        assert [(key, type(outcome)) for key, outcome in ended] == [(0, Made)]

    def test_cancelling_what_is_unknown_or_has_ended_changes_nothing(self, tmp_path: Path) -> None:
        with self.started(tmp_path) as runner:
            runner.cancel(0)
            runner.cancel("stranger")
            ((_, outcome),) = outcomes(runner, self.jobs(1), within_s=self.within_s)
            runner.cancel(0)
            assert list(runner.wait(0.1)) == []
        assert isinstance(outcome, Made)

    def test_closed_in_the_middle_it_gives_nothing_back_and_can_be_closed_again(self, tmp_path: Path) -> None:
        with self.started(tmp_path) as runner:
            runner.close()
            for job in self.jobs(2):
                runner.submit(job)
            runner.cancel(1)
            runner.close()
            assert list(runner.wait(0.1)) == []
            runner.close()

    def test_waiting_with_nothing_to_do_returns_nothing(self, tmp_path: Path) -> None:
        with self.started(tmp_path) as runner:
            began = time.monotonic()
            assert list(runner.wait(0.1)) == []
            assert time.monotonic() - began < 5


class RunnerContract(RunnerLifeContract):
    """The same over `lamdagent.testing.toy.toolkit()`, which the runner must know, and that a job's outcome does not
    depend on where it runs."""

    def jobs(self, count: int) -> list[Job]:
        return step_jobs(count)

    def long_job(self) -> Job:
        return nap_job()

    def request(self) -> tuple[PrepareRequest, Prepared]:
        sizes = {task.name: task.sizes() for task in toy.TASKS}
        prompts = {
            task.name: tuple(prompt for _, prompt, _ in itertools.islice(task.documents("validation"), 2))
            for task in toy.TASKS
        }
        return PrepareRequest(), Prepared(models={}, sizes=sizes, overlaps={}, prompts=prompts)

    def test_a_made_object_has_the_id_of_its_action_and_all_scores(self, tmp_path: Path) -> None:
        (job,) = step_jobs(1)
        with self.started(tmp_path) as runner:
            ((_, outcome),) = outcomes(runner, [job])
        assert isinstance(outcome, Made)
        assert job.action is not None
        assert outcome.object.id == outcome.object.made_by == job.action.id
        assert [(s.task, s.split) for s in outcome.scores] == [(task.name, "validation") for task in toy.TASKS]

    def test_a_made_dataset_comes_back_with_what_is_known_of_it_and_no_scores(self, tmp_path: Path) -> None:
        job = blend_job()
        with self.started(tmp_path) as runner:
            ((_, outcome),) = outcomes(runner, [job])
        assert isinstance(outcome, Made)
        assert job.action is not None
        assert (outcome.object.id, outcome.object.kind) == (job.action.id, "dataset")
        assert outcome.object.dataset["rows"] == 1
        assert outcome.scores == ()

    def test_a_brought_model_is_scored_and_stays_itself(self, tmp_path: Path) -> None:
        model = toy.point("base", (0.0, 0.0))
        with self.started(tmp_path) as runner:
            ended = outcomes(runner, [Job(key="base", action=None, objects=(model,))])
        ((key, outcome),) = ended
        assert key == "base"
        assert isinstance(outcome, Made)
        assert outcome.object == model
        assert len(outcome.scores) == len(toy.TASKS)

    def test_failures_are_values_and_the_next_job_is_done(self, tmp_path: Path) -> None:
        bad, good = step_jobs(1, setting="wild")[0], replace(step_jobs(1)[0], key=1)
        with self.started(tmp_path) as runner:
            ended = dict(outcomes(runner, [bad, good]))
        failed = ended[0]
        assert isinstance(failed, Failed)
        assert failed.cause == "diverged"
        assert "try a lower rate" in failed.message
        assert isinstance(ended[1], Made)

    def test_the_same_job_again_has_the_same_outcome(self, tmp_path: Path) -> None:
        with self.started(tmp_path) as runner:
            first, second = (outcomes(runner, step_jobs(2)) for _ in range(2))
        assert _costless(first) == _costless(second)

    def test_a_search_ends_as_it_does_in_this_process(self, tmp_path: Path) -> None:
        from lamdagent.policies.random import Random

        for makes_data in (False, True):
            with self.started(tmp_path) as runner:
                state = toy.search(Random(), trials=8, runner=runner, makes_data=makes_data)
            assert toy.without_costs(state) == toy.without_costs(toy.grown(8, makes_data=makes_data))


def step_jobs(count: int, *, setting: str = "slow") -> list[Job]:
    """Jobs of the toy world that differ in their seed."""
    objects = (toy.point("base", (0.0, 0.0)), toy.vector("east", (1.0, 0.0)), toy.rate(setting, toy.RATES[setting]))
    inputs: dict[str, tuple[str, ...]] = {obj.kind: (obj.id,) for obj in objects}
    return [
        Job(key=i, action=Action(type="step", version=1, inputs=inputs, seed=i), objects=objects) for i in range(count)
    ]


def blend_job() -> Job:
    """A job of the toy world that makes a dataset."""
    objects = tuple(toy.vector(name, toy.DATASETS[name]) for name in ("east", "north"))
    inputs = {"datasets": tuple(obj.id for obj in objects)}
    return Job(key=0, action=Action(type="blend", version=1, inputs=inputs), objects=objects)


def nap_job() -> Job:
    """A job of the toy world that takes a minute."""
    obj = toy.vector("east", toy.DATASETS["east"])
    return Job(key="long", action=Action(type="nap", version=1, inputs={"dataset": (obj.id,)}), objects=(obj,))


def outcomes(runner: Runner, jobs: Sequence[Job], *, within_s: float = 60.0) -> list[tuple[int | str, Outcome]]:
    """Submit jobs, and collect what comes of them."""
    for job in jobs:
        runner.submit(job)
    return collected(runner, len(jobs), within_s=within_s)


def collected(runner: Runner, count: int, *, within_s: float = 60.0) -> list[tuple[int | str, Outcome]]:
    """Wait until so many jobs have ended, and a little longer for one too many."""
    ended: list[tuple[int | str, Outcome]] = []
    until = time.monotonic() + within_s
    while len(ended) < count and time.monotonic() < until:
        ended += runner.wait(min(1.0, within_s))
    return [*ended, *runner.wait(0.05)]


def _costless(ended: Sequence[tuple[int | str, Outcome]]) -> dict[int | str, Outcome]:
    return {key: replace(outcome, cost=Cost()) for key, outcome in ended}
