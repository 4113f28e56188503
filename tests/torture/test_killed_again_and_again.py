"""A real search whose driver is killed with SIGKILL over and over ends as one that nobody touched: minutes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.tiny_world import Lamdagent

pytestmark = pytest.mark.torture

KILLS = 12
TRIALS = "6"
LONGEST_S = 20.0  # a start takes a few seconds, a trial about as many, so kills fall into every part of both


def without_cost(output: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in trial.items() if k != "cost"} for trial in json.loads(output)["trials"]]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_driver_killed_a_dozen_times_ends_as_one_that_was_not(
    study: Path, lamdagent: Lamdagent, tmp_path: Path, seed: int
) -> None:
    moments = random.Random(seed)
    command = [sys.executable, "-m", "lamdagent", "run", str(study), "--trials", TRIALS]
    for _ in range(KILLS):
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        try:
            driver.wait(moments.uniform(0.0, LONGEST_S))
        except subprocess.TimeoutExpired:
            workers = psutil.Process(driver.pid).children(recursive=True)
            driver.kill()
            driver.wait()
            assert not psutil.wait_procs(workers, timeout=30)[1], "a worker outlived its driver"
        else:
            assert driver.returncode == 0

    ended = lamdagent("run", study, "--trials", TRIALS, "--json")
    assert ended.returncode == 0, ended.stderr
    whole = lamdagent("run", study, "--trials", TRIALS, "--json", "--set", f"root={tmp_path / 'unbroken'}")
    assert without_cost(ended.stdout) == without_cost(whole.stdout)
    assert lamdagent("verify", study).returncode == 0
    assert not list((tmp_path / "runs" / "artifacts").glob(".partial-*")), "what a kill left half written stays"
