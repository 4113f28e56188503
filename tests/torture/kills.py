"""Kills of a toy search with worker processes: of the driver, of a worker, and of all at once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import psutil
from tests.torture.toy_driver import artifacts

from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Made
from lamdagent.study.journal import read_journal
from lamdagent.testing import toy

LONGEST_S, GONE_S, WHOLE_S = 6.0, 30.0, 300.0
WHO = ("driver", "worker", "all")


def start(folder: Path, policy: str, slots: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.torture.toy_driver", "run", str(folder), policy, str(slots)]
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def killed(folder: Path, policy: str, slots: int, kills: int, seed: int) -> list[str]:
    """Start a search over and over and kill it; what outlived a kill although it should not."""
    luck, orphans = random.Random(seed), list[str]()
    for number in range(kills):
        driver, who = start(folder, policy, slots), WHO[number % len(WHO)]
        if _lives(driver, luck.uniform(0.5, LONGEST_S)):
            orphans += _kill(driver, who, luck)
    return orphans


def _lives(driver: subprocess.Popen[bytes], seconds: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        driver.wait(seconds)
        assert driver.returncode == 0, "a search that nobody killed failed"
    return driver.returncode is None


def _kill(driver: subprocess.Popen[bytes], who: str, luck: random.Random) -> list[str]:
    workers = psutil.Process(driver.pid).children(recursive=True)
    if who == "worker" and workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(luck.choice(workers).pid, signal.SIGKILL)
        if not _lives(driver, luck.uniform(0.5, LONGEST_S)):
            return []
        workers = psutil.Process(driver.pid).children(recursive=True)
    for victim in [driver, *(workers if who == "all" else ())]:
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            victim.kill()
    driver.wait()
    return [str(worker) for worker in psutil.wait_procs(workers, timeout=GONE_S)[1]]


def ended(folder: Path, policy: str, slots: int) -> State:
    """The search at its end, without what differs from run to run."""
    assert start(folder, policy, slots).wait(WHOLE_S) == 0, (folder.parent / f"{folder.name}.log").read_text()[-2000:]
    return toy.without_costs(reduce_events(read_journal(folder)))


def damage(folder: Path, state: State) -> list[str]:
    """What is missing, damaged or left half written of a search's artifacts."""
    made = [trial.outcome.object.id for trial in state.trials if isinstance(trial.outcome, Made)]
    partial = [str(p) for p in (folder / "artifacts").glob(".partial-*")]
    return [*partial, *(line for object_id in made for line in artifacts(folder).damaged(object_id))]
