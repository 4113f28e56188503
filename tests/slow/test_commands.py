"""The command line on a real search: killed, resumed, shown, exported, verified."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from lamdagent.study.read import read_study

pytestmark = pytest.mark.slow


def start(*args: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lamdagent", *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip


def until(condition: Callable[[], Any], timeout_s: float = 120) -> Any:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def events(study: Path, kind: str) -> int:
    file = study.parent / "runs" / "slow" / "journal.sqlite"
    if not file.exists():
        return 0
    try:
        return int(sqlite3.connect(file).execute("select count(*) from events where kind = ?", (kind,)).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def shown(study: Path, lamdagent: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lamdagent("show", study, "--json").stdout)
    return found


def without_cost(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [{k: v for k, v in trial.items() if k != "cost"} for trial in result["trials"]]


def test_a_killed_driver_is_resumed_to_what_an_unbroken_run_gives(study: Path, lamdagent: Any, tmp_path: Path) -> None:
    process = start("run", study)
    until(lambda: events(study, "Asked") >= 2)
    time.sleep(0.3)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive
    resumed = lamdagent("run", study, "--json")
    assert resumed.returncode == 0, resumed.stderr
    whole = lamdagent("run", study, "--json", "--set", f"root={tmp_path / 'unbroken'}")
    assert without_cost(json.loads(resumed.stdout)) == without_cost(json.loads(whole.stdout))
    assert lamdagent("verify", study).returncode == 0
    assert not list((tmp_path / "runs" / "artifacts").glob(".partial-*"))


def test_a_killed_worker_costs_no_trial(study: Path, lamdagent: Any) -> None:
    process = start("run", study)
    until(lambda: events(study, "Asked") >= 1)
    (worker,) = psutil.Process(process.pid).children()
    worker.send_signal(signal.SIGKILL)
    process.communicate(timeout=200)
    assert process.returncode == 0
    result = shown(study, lamdagent)
    assert [t["status"] for t in result["trials"]] == ["made"] * 3


def test_a_hang_past_the_timeout_fails_the_trial(study: Path, lamdagent: Any) -> None:
    assert lamdagent("run", study, "--trials", "1").returncode == 0
    done = lamdagent("run", study, "--trials", "2", "--execution.timeout_min", "0.0001")
    assert done.returncode == 0, done.stderr
    assert shown(study, lamdagent)["trials"][1]["cause"] == "timeout"


def test_the_rivals_by_hand_are_a_study_of_their_own_that_a_search_is_held_against(study: Path, lamdagent: Any) -> None:
    assert lamdagent("run", study, "--trials", "1").returncode == 0
    assert (
        "against the best by hand: not run, see what that would give: lamdagent by-hand "
        in lamdagent("show", study).stdout
    )
    bounded = lamdagent("by-hand", study, "--quick", "--json", "--budget.train_rows", "320")
    assert bounded.returncode == 0, bounded.stderr
    found = json.loads(bounded.stdout)
    assert (found["by_hand"]["trials"], found["by_hand"]["train_rows"]) == (1, 320)
    difference = found["found"]["objective"] - found["by_hand"]["objective"]
    assert found["validation"]["value"] == pytest.approx(difference)
    assert shown(study, lamdagent)["against_hand"] == found
    assert lamdagent("by-hand", study, "--quick", "--json", "--budget.train_rows", "320").stdout == bounded.stdout
    assert lamdagent("score", study, study.parent / "models" / "base").returncode == 0
    (reference,) = shown(study, lamdagent)["references"]
    assert reference["objective"] == shown(study, lamdagent)["base"]["base"]


def test_a_second_driver_is_refused_while_the_first_goes_on(study: Path, lamdagent: Any) -> None:
    process = start("run", study)
    until(lambda: events(study, "Asked") >= 1)
    second = lamdagent("run", study)
    assert second.returncode == 2
    assert f"process {process.pid}" in second.stderr
    process.communicate(timeout=200)
    assert process.returncode == 0


def test_what_was_found_can_be_shown_drawn_exported_and_verified(study: Path, lamdagent: Any, tmp_path: Path) -> None:
    assert lamdagent("run", study).returncode == 0
    result = shown(study, lamdagent)
    assert set(result["base"]) == {"base"}
    assert {"number", "status", "objective", "stderr", "scores", "action", "reason", "cause", "cost"} <= set(
        result["trials"][0]
    )
    state = read_study(study).state
    datasets = state.of_kind("dataset")
    assert all(len(data.dataset["samples"]) == 2 for data in datasets)
    assert {len(prompts) for prompts in state.prompts.values()} == {2}
    assert all(set(data.dataset["affinity"]) == set(result["base_scores"]["base"]) for data in datasets)
    best = result["best"]["trial"]
    assert result["best"]["objective"] == max(t["objective"] for t in result["trials"])
    assert "base  0." in lamdagent("lineage", study).stdout
    assert json.loads(lamdagent("lineage", study, best, "--json").stdout)["result"] == f"model-{best}"
    assert "chosen by surrogate: predicted" in lamdagent("show", study, "0").stdout
    assert lamdagent("export", study, "best", "--to", tmp_path / "out").returncode == 0
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    AutoTokenizer.from_pretrained(tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "base_model" in card
    assert re.search(r"\| objective \| 0\.\d{3} ± 0\.\d{3} \(0\.\d{3} to [01]\.\d{3}\) \|", card), card
    weights = next((tmp_path / "runs" / "artifacts").glob("*/weights/model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    tampered = lamdagent("verify", study)
    assert tampered.returncode == 1
    assert str(weights) in tampered.stdout
    for folder in (tmp_path / "runs" / "artifacts").glob("*/weights"):
        shutil.rmtree(folder)
    assert lamdagent("export", study, "best", "--to", tmp_path / "again").returncode == 0
    first, again = ((tmp_path / to / "model.safetensors").read_bytes() for to in ("out", "again"))
    assert again == first


def test_finished_work_is_found_again_by_another_study_under_the_same_root(study: Path, lamdagent: Any) -> None:
    assert lamdagent("run", study).returncode == 0
    again = lamdagent("run", study, "--set", "study=again", "--json")
    trials = json.loads(again.stdout)["trials"]
    assert without_cost(json.loads(again.stdout)) == without_cost(shown(study, lamdagent))
    assert all(t["cost"]["phases_s"].get("train", 0) == 0 for t in trials)


def test_a_changed_study_is_refused_with_what_changed_and_a_raised_budget_is_not(study: Path, lamdagent: Any) -> None:
    assert lamdagent("run", study, "--trials", "1").returncode == 0
    changed = lamdagent("run", study, "--set", "actions.sft.hyperparameters.firm.learning_rate=2e-3")
    assert changed.returncode == 2
    assert "actions.sft.hyperparameters.firm.learning_rate: was 0.001, is 0.002" in changed.stderr
    rows = study.parent / "data" / "call.jsonl"
    rows.write_text(rows.read_text().replace("a", "b"))
    assert "dataset call" in lamdagent("run", study).stderr


def test_doctor_says_what_this_machine_is(lamdagent: Any) -> None:
    done = lamdagent("doctor", "--json")
    assert done.returncode == 0, done.stdout
    assert {"check": "trl", "status": "ok"}.items() <= {c["check"]: c for c in json.loads(done.stdout)["checks"]}[
        "trl"
    ].items()
