from __future__ import annotations

import contextlib
import json
import pickle
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from tests.contracts.toy_worker import MISHAPS

from lamdagent.core.errors import ContractViolation, UserError
from lamdagent.core.jobs import DatasetOverlap, Job, Prepared, PrepareRequest, Progress, WorkerSpec
from lamdagent.core.types import Action, Failed, Made, Outcome
from lamdagent.runners.inline import Inline
from lamdagent.runners.process import Process
from lamdagent.testing import toy
from lamdagent.testing.contracts import RunnerContract
from lamdagent.testing.contracts.runner import nap_job, outcomes, step_jobs

# It knows the toy world, and so needs neither a study file nor torch.
TOY_WORKER = (sys.executable, str(Path(__file__).with_name("toy_worker.py")))
SPEC = WorkerSpec(study={}, file="study.yaml")


class TestInline(RunnerContract):
    stops_running = False

    def runner(self, folder: Path, *, capacity: int = 1) -> Inline:
        return Inline(toy.toolkit(), capacity=capacity)


class TestProcess(RunnerContract):
    def runner(self, folder: Path, *, capacity: int = 1) -> Process:
        return Process(SPEC, logs=folder / "logs", capacity=capacity, command=TOY_WORKER)


WIRED = [
    SPEC,
    PrepareRequest(imports={"id": "model.gguf"}, dtype="float16", datasets={"chat": "id-of-chat"}),
    Prepared(
        models={"id": {"shapes": "s", "parameters": 3}},
        sizes={"quiz": {"validation": 4, "test": 0}},
        overlaps={"chat": DatasetOverlap(lines=("row 3 overlaps",), rows=(3,))},
    ),
    step_jobs(1)[0],
]


def mishap(kind: str) -> Job:
    base = toy.point("base", (0.0, 0.0))
    action = Action(type="mishap", version=1, inputs={"model": (base.id,)}, seed=list(MISHAPS).index(kind))
    return Job(key=100, action=action, objects=(base,))


@contextlib.contextmanager
def workers(folder: Path, **options: Any) -> Iterator[Process]:
    runner = Process(SPEC, logs=folder, command=TOY_WORKER, **options)
    try:
        yield runner
    finally:
        runner.close()


@pytest.mark.parametrize(
    ("kind", "cause", "message"),
    [
        ("exit", "crash", "ended with exit code 3"),
        ("killed", "crash", "killed by SIGKILL (often: the machine ran out of memory). It was tried twice."),
        ("memory", "oom", "MemoryError"),
    ],
)
def test_a_worker_that_dies_fails_its_trial_and_the_next_job_is_done(
    kind: str, cause: str, message: str, tmp_path: Path
) -> None:
    with workers(tmp_path) as runner:
        ended = dict(outcomes(runner, [mishap(kind), *step_jobs(1)]))
    failed = ended[100]
    assert isinstance(failed, Failed)
    assert failed.cause == cause
    assert message in failed.message
    assert isinstance(ended[0], Made)
    log = (tmp_path / "100.log").read_text()
    assert "about to fail" in log
    assert ("Traceback" in log) == (kind == "memory")


def test_a_job_whose_worker_is_killed_from_outside_is_done_again(tmp_path: Path) -> None:
    heard: list[str] = []
    with workers(tmp_path, watch=lambda key, progress: heard.append(progress.phase)) as runner:
        ended = dict(outcomes(runner, [mishap("killed once"), *step_jobs(1)]))
    assert isinstance(ended[100], Made) and isinstance(ended[0], Made)
    assert any("killed by SIGTERM" in phase for phase in heard)


def test_the_log_of_a_crashed_job_comes_back_with_it(tmp_path: Path) -> None:
    with workers(tmp_path) as runner:
        ((_, failed),) = outcomes(runner, [mishap("exit")])
    assert isinstance(failed, Failed)
    assert "about to fail" in failed.log_tail


def test_a_job_that_hangs_is_stopped_at_the_timeout(tmp_path: Path) -> None:
    with workers(tmp_path, timeout_s=0.5) as runner:
        began = time.monotonic()
        ((_, failed),) = outcomes(runner, [mishap("hang")])
        assert time.monotonic() - began < 10
        assert isinstance(failed, Failed)
        assert failed.cause == "timeout"
        assert "timeout_min" in failed.message


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [("full", UserError, "disk is full"), ("user", UserError, "mend this"), ("breach", ContractViolation, "a plugin")],
)
def test_what_only_the_user_can_mend_stops_the_search(
    kind: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with workers(tmp_path) as runner:
        with pytest.raises(error, match=message):
            outcomes(runner, [mishap(kind)])


def test_a_job_stays_open_where_only_the_user_can_mend_it() -> None:
    class Unmended(toy.ToyStep):
        mended = False

        def execute(self, inputs: Any, seed: int, ctx: Any) -> Mapping[str, Any]:
            if not self.mended:
                raise UserError("mend this")
            return super().execute(inputs, seed, ctx)

    step = Unmended()
    runner = Inline(toy.toolkit({"step": step}))
    for job in step_jobs(2):
        runner.submit(job)
    with pytest.raises(UserError):
        runner.wait()
    step.mended = True
    assert [key for _ in range(2) for key, _ in runner.wait()] == [0, 1]


def test_a_job_that_runs_in_this_process_goes_on_to_its_end_though_it_is_cancelled() -> None:
    runner = Inline(toy.toolkit(), watch=lambda key, progress: runner.cancel(key))
    ((_, outcome),) = outcomes(runner, step_jobs(1))
    assert isinstance(outcome, Made)


def test_a_job_can_be_cancelled_by_who_hears_of_its_progress(tmp_path: Path) -> None:
    def cancel_a_nap(key: int | str, progress: Progress) -> None:
        if progress.phase == "nap":
            runner.cancel(key)

    runner: Process
    with workers(tmp_path, watch=cancel_a_nap) as runner:
        began = time.monotonic()
        ((key, outcome),) = outcomes(runner, [nap_job()])
    assert time.monotonic() - began < 20
    assert isinstance(outcome, Failed)
    assert (key, outcome.cause) == ("long", "cancelled")


@pytest.mark.parametrize("value", WIRED, ids=lambda value: type(value).__name__)
def test_what_travels_to_a_worker_and_back_can_be_pickled_and_sent_as_json(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    adapter: TypeAdapter[Any] = TypeAdapter(type(value))
    assert adapter.validate_python(json.loads(json.dumps(adapter.dump_python(value, mode="json")))) == value


def test_progress_is_heard_while_a_job_runs(tmp_path: Path) -> None:
    heard: list[tuple[int | str, Progress]] = []
    with workers(tmp_path, watch=lambda key, progress: heard.append((key, progress))) as runner:
        outcomes(runner, step_jobs(1))
    assert {key for key, _ in heard} == {0}
    assert "train" in [progress.phase for _, progress in heard]
    assert any(progress.facts.get("loss") == 0.5 for _, progress in heard)


def test_one_worker_does_job_after_job(tmp_path: Path) -> None:
    with workers(tmp_path) as runner:
        outcomes(runner, step_jobs(2))
        first = runner._slots[0].process
        outcomes(runner, step_jobs(1))
        assert runner._slots[0].process is first


def test_polling_without_waiting_hears_what_has_ended(tmp_path: Path) -> None:
    with workers(tmp_path) as runner:
        (job,) = step_jobs(1)
        runner.submit(job)
        until, ended = time.monotonic() + 60, list[tuple[int | str, Outcome]]()
        while not ended and time.monotonic() < until:
            ended += runner.wait(0)
            time.sleep(0.02)
    assert [key for key, _ in ended] == [0]


def test_closing_stops_workers_in_the_middle_of_a_job(tmp_path: Path) -> None:
    with workers(tmp_path, capacity=2) as runner:
        runner.submit(mishap("hang"))
        runner.wait(0.1)
        started = [slot.process for slot in runner._slots if slot.process]
    assert started
    assert all(process.poll() is not None for process in started)
