"""Run jobs in persistent worker processes of this machine.

A worker that crashes, hangs past the timeout or runs out of memory fails its trial with the cause and the tail of its log; a
new one takes its slot at the next job. One that is killed from outside is no fault of its job, which is done again; only
where that happens to it twice has it failed.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lamdagent.core.config import Config, Parts
from lamdagent.core.errors import ContractViolation, UserError
from lamdagent.core.jobs import AUDIT, Job, Prepared, PrepareRequest, Progress, WorkerSpec
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.types import Cause, Cost, Failed, Outcome
from lamdagent.runners.job import LOG_TAIL_LINES
from lamdagent.runners.wire import CALL, JOB, OUTCOME, PREPARE_REQUEST, PREPARED, PROGRESS, WORKER_SPEC

LISTEN_S = 0.2
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""What kills a worker without its job's doing. The first is also what a machine without memory sends, to whom it likes."""


class ProcessConfig(Config):
    """Jobs run in `execution.workers` worker processes of this machine, each stopped after `execution.timeout_min`."""

    def arguments(self, parts: Parts) -> dict[str, Any]:
        return {
            "spec": parts.worker_spec,
            "logs": parts.logs,
            "capacity": parts.workers,
            "timeout_s": parts.timeout_s,
            "watch": parts.watch,
            "answered": parts.answered,
        }


class _Slot:
    """One worker process and the job it is at."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[str] | None = None
        self.job: Job | None = None
        self.log = Path()
        self.started = 0.0

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Process:
    """A pool of worker processes.

    Args:
        spec: what a worker is told first.
        logs: folder for one log file per job.
        capacity: how many workers there are at most; each is started when there is a job for it.
        timeout_s: a job that takes longer fails.
        watch: hears of the progress of every job.
        answered: hears of what language models are asked for jobs.
        command: starts a worker that speaks as `lamdagent.study.worker` does.
    """

    Config = ProcessConfig

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        logs: Path,
        capacity: int = 1,
        timeout_s: float = 7200.0,
        watch: Callable[[int | str, Progress], None] = lambda key, progress: None,
        answered: Callable[[LLMCall], None] = lambda call: None,
        command: Sequence[str] = (sys.executable, "-m", "lamdagent.study.worker"),
    ) -> None:
        self.capacity, self._spec, self._logs = capacity, spec, logs
        self._timeout_s, self._watch, self._answered, self._command = timeout_s, watch, answered, list(command)
        self._slots = [_Slot(number) for number in range(capacity)]
        self._queue: list[Job] = []
        self._lost_s: dict[int | str, float] = {}  # by job that a killed worker was at: what that took
        self._ended: list[tuple[int | str, Outcome]] = []
        self._heard: queue.Queue[tuple[_Slot, subprocess.Popen[str], dict[str, Any] | None]] = queue.Queue()

    def submit(self, job: Job) -> None:
        self._queue.append(job)
        self._hand_out()

    def wait(self, timeout_s: float | None = None) -> Sequence[tuple[int | str, Outcome]]:
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._ended and any(s.job for s in self._slots):
            self._stop_overdue()
            left_s = LISTEN_S if until is None else min(LISTEN_S, max(0.0, until - time.monotonic()))
            try:
                slot, process, message = self._heard.get(timeout=left_s)
            except queue.Empty:
                if left_s < LISTEN_S:
                    break
                continue
            if message is not None and "call" in message:  # it was paid, though its worker may be stopped since
                self._answered(CALL.validate_python(message["call"]))
            elif process is slot.process:
                self._hear(slot, message)
        self._hand_out()
        ended, self._ended = self._ended, []
        return ended

    def cancel(self, key: int | str) -> None:
        for job in [job for job in self._queue if job.key == key]:
            self._queue.remove(job)
            self._ended.append((key, Failed(cause="cancelled", message="cancelled before it began")))
        for slot in self._slots:
            if slot.job is not None and slot.job.key == key:
                self._kill(slot)
                self._fail(slot, "cancelled", "cancelled while it was running")

    def prepare(self, request: PrepareRequest) -> Prepared:
        slot = self._slots[0]
        self._start(slot)
        self._send(slot, {"prepare": PREPARE_REQUEST.dump_python(request, mode="json")})
        while True:
            _, process, message = self._heard.get()
            if process is not slot.process:
                continue
            if message is None:
                log = self._logs / "worker-0.log"
                raise UserError(f"the worker process died while preparing. The end of {log}:\n{_tail(log)}")
            self._raise_halt(message)
            if "progress" in message:
                self._watch(AUDIT, PROGRESS.validate_python(message["progress"]))
            if "prepared" in message:
                return PREPARED.validate_python(message["prepared"])

    def close(self) -> None:
        for slot in self._slots:
            self._kill(slot)
            slot.process = slot.job = None
        self._queue.clear()
        self._lost_s.clear()
        self._ended.clear()

    def _hand_out(self) -> None:
        for slot in self._slots:
            if slot.job is None and self._queue:
                self._start(slot)
                slot.job, slot.started = self._queue.pop(0), time.monotonic()
                slot.log = self._logs / f"{slot.job.key}.log"
                self._send(slot, {"job": JOB.dump_python(slot.job, mode="json"), "log": str(slot.log)})

    def _start(self, slot: _Slot) -> None:
        if slot.alive:
            return
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"worker-{slot.number}.log").open("ab") as log:
            slot.process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8",
                start_new_session=True,  # Ctrl-C reaches the driver alone, and killpg all that the worker started
            )  # fmt: skip
        threading.Thread(target=self._listen, args=(slot, slot.process), daemon=True).start()
        self._send(slot, {"open": WORKER_SPEC.dump_python(self._spec, mode="json"), "slot": slot.number})

    def _listen(self, slot: _Slot, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._heard.put((slot, process, json.loads(line)))
        process.wait()
        self._heard.put((slot, process, None))

    def _send(self, slot: _Slot, message: Mapping[str, Any]) -> None:
        assert slot.process is not None and slot.process.stdin is not None
        try:
            slot.process.stdin.write(json.dumps(message) + "\n")
            slot.process.stdin.flush()
        except BrokenPipeError:
            pass  # the worker is dead: its listener says so, and the job fails with the cause

    def _hear(self, slot: _Slot, message: dict[str, Any] | None) -> None:
        if message is None:
            self._died(slot)
            return
        self._raise_halt(message)
        if slot.job is not None and "progress" in message:
            self._watch(slot.job.key, PROGRESS.validate_python(message["progress"]))
        if slot.job is not None and "outcome" in message:
            self._end(slot, OUTCOME.validate_python(message["outcome"]))

    def _died(self, slot: _Slot) -> None:
        code, job = slot.process.returncode if slot.process else None, slot.job
        if job is None or code is None or -code not in FROM_OUTSIDE or job.key in self._lost_s:
            again = ". It was tried twice." if job is not None and job.key in self._lost_s else ""
            self._fail(slot, "crash", _death(code) + again)
            return
        self._lost_s[job.key] = time.monotonic() - slot.started
        slot.process = slot.job = None
        self._watch(job.key, Progress(phase=f"again ({_death(code)})", done=0))
        self._queue.insert(0, job)
        self._hand_out()

    def _end(self, slot: _Slot, outcome: Outcome) -> None:
        assert slot.job is not None
        key, slot.job = slot.job.key, None
        if lost_s := self._lost_s.pop(key, 0.0):
            outcome = replace(outcome, cost=replace(outcome.cost, wall_s=round(outcome.cost.wall_s + lost_s, 3)))
        self._ended.append((key, outcome))

    def _raise_halt(self, message: Mapping[str, Any]) -> None:
        if "halt" in message:
            raise (UserError if message["user"] else ContractViolation)(message["halt"])

    def _stop_overdue(self) -> None:
        for slot in self._slots:
            if slot.job is not None and time.monotonic() - slot.started > self._timeout_s:
                self._kill(slot)
                minutes = self._timeout_s / 60
                self._fail(slot, "timeout", f"took longer than execution.timeout_min ({minutes:g})")

    def _fail(self, slot: _Slot, cause: Cause, message: str) -> None:
        slot.process = None
        if slot.job is None:
            return
        cost = Cost(wall_s=round(time.monotonic() - slot.started, 3))
        self._end(slot, Failed(cause=cause, message=message, log_tail=_tail(slot.log), cost=cost))

    def _kill(self, slot: _Slot) -> None:
        if slot.process is not None and slot.process.poll() is None:
            os.killpg(slot.process.pid, signal.SIGKILL)
            slot.process.wait()


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        hint = " (often: the machine ran out of memory)" if code == -signal.SIGKILL else ""
        return f"the worker process was killed by {signal.Signals(-code).name}{hint}"
    return f"the worker process ended with exit code {code}"


def _tail(log: Path) -> str:
    if not log.exists():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:])
