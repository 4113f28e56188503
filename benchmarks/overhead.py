"""What the search itself costs per trial: enumerate, select, journal, hand over, remember.

    python benchmarks/overhead.py [--trials 1000]

Models are points and training is free, so all that is left is ours. Prints milliseconds per trial around trial 1, 100
and 1,000, in memory and with the SQLite journal, and the start-up of the command line.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lamdagent.core.jobs import Job
from lamdagent.core.search import Search, job_of
from lamdagent.memories.table import Table
from lamdagent.policies.random import Random
from lamdagent.study.journal import MemoryJournal, SqliteJournal
from lamdagent.testing.toy import ACTION_TYPES, inline, open_toy

AROUND = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as folder:
        for name, journal in (
            ("in memory", MemoryJournal()),
            ("SQLite", SqliteJournal(Path(folder) / "journal.sqlite", writer=True)),
        ):
            open_toy(journal)
            report(name, times(journal, trials))
    print(f"lamdagent --help: {startup_s():.2f} s (median of 5)")


def times(journal: MemoryJournal | SqliteJournal, trials: int) -> list[float]:
    search = Search(journal=journal, action_types=ACTION_TYPES, policy=Random(), memory=Table())
    runner, spent = inline(), []
    for model in search.state.unscored:
        runner.submit(Job(key=model.name, action=None, objects=(model,)))
        [(_, outcome)] = runner.wait()
        search.record_baseline(model, outcome)
    for _ in range(trials):
        started = time.perf_counter()
        (trial,) = search.ask()
        job = job_of(trial, search.state)
        asked = time.perf_counter()
        runner.submit(job)
        [(_, outcome)] = runner.wait()
        told = time.perf_counter()
        search.tell(trial.number, outcome)
        spent.append(asked - started + time.perf_counter() - told)
    return spent


def report(name: str, spent: list[float]) -> None:
    for place in (1, 100, len(spent)):
        around = spent[max(0, place - AROUND) : place + AROUND]
        print(f"{name:10} around trial {place:5,}: {statistics.median(around) * 1e3:6.2f} ms a trial")


def startup_s() -> float:
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "lamdagent", "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
