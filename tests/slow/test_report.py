"""The sealed test, validation sizes, guards, the gate and the examination, on real tiny models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

TESTS = ("tasks.reverse.test=tasks/reverse.test.jsonl", "tasks.largest.test=tasks/largest.test.jsonl")


def sets(*overrides: str) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


def test_a_report_opens_the_test_once_and_counts_it(study: Path, lamdagent: Any) -> None:
    assert lamdagent("report", study).returncode == 2
    assert lamdagent("run", study, "--plain").returncode == 0
    refused = lamdagent("report", study)
    assert refused.returncode == 2
    assert "no sealed test for task reverse, largest" in refused.stderr
    done = lamdagent("report", study, "--top", "2", "--json", *sets(*TESTS))
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert data["test_opened"] == 1
    assert len(data["models"]) == 2
    best = data["models"][0]
    assert best["tasks"]["reverse"]["test"]["n"] == 32
    assert best["gap"] == best["validation"]["value"] - best["test"]["value"]
    assert best["against"][0]["relation"] == "base model"
    assert len(data["diagnosis"]) == 6
    again = lamdagent("report", study, "--top", "2", "--json", *sets(*TESTS))
    assert json.loads(again.stdout) == data
    folder = study.parent / "runs" / "slow"
    page = (folder / "report.html").read_text()
    assert page.count("<svg") >= 3
    assert 'src="http' not in page
    assert 'href="http' not in page
    other = ("tasks.reverse.test=tasks/sort.test.jsonl", TESTS[1])
    exchanged = json.loads(lamdagent("report", study, "--top", "2", "--json", *sets(*other)).stdout)
    assert exchanged["test_opened"] == 2
    assert exchanged["models"][0]["tasks"]["reverse"]["test"] != best["tasks"]["reverse"]["test"]
    assert (folder / "report.md").read_text().startswith("# Report of the study slow")
    assert lamdagent("verify", study).returncode == 0
    sizes = lamdagent("validation-size", study, "--sizes", "8,16,64", "--top", "3", "--json", *sets(*other))
    assert sizes.returncode == 0, sizes.stderr
    rows = json.loads(sizes.stdout)
    assert [row["size"] for row in rows["sizes"]] == [8, 16, 64]
    assert rows["advice"]


def test_a_planted_leak_is_found_before_anything_is_trained_and_can_be_left_out(study: Path, lamdagent: Any) -> None:
    item = json.loads((study.parent / "tasks/reverse.validation.jsonl").read_text().splitlines()[0])
    rows = (study.parent / "data/reverse.jsonl").read_text().splitlines()[:20]
    leak = json.dumps({"prompt": item["prompt"].upper(), "completion": "whatever"})
    (study.parent / "data/reverse.jsonl").write_text("\n".join([*rows, leak]) + "\n")
    stopped = lamdagent("run", study, "--plain")
    assert stopped.returncode == 2
    assert "dataset 'reverse' overlaps task 'reverse' (validation): 1 item in 1 row, e.g. row 20" in stopped.stderr
    dropped = lamdagent("run", study, "--plain", *sets("contamination=drop", "budget.trials=1"))
    assert dropped.returncode == 0, dropped.stderr
    resumed = lamdagent("run", study, "--json", *sets("contamination=drop", "budget.trials=2"))
    assert resumed.returncode == 0, resumed.stderr
    assert len(json.loads(resumed.stdout)["trials"]) == 2


def test_test_items_that_are_validation_items_are_refused(study: Path, lamdagent: Any) -> None:
    done = lamdagent("run", study, "--dry-run", *sets("tasks.reverse.test=tasks/reverse.validation.jsonl"))
    assert done.returncode == 2
    assert "200 of 200 test items are validation items too" in done.stderr


def test_a_comparison_shares_what_its_searches_make_and_goes_on_where_it_stopped(study: Path, lamdagent: Any) -> None:
    command = ("compare", study, "--without", "ties", "--seeds", "2", "--trials", "2", "--json")
    done = lamdagent(*command)
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert list(data["arms"]) == ["random", "without-ties"]
    assert data["by"] == "tokens"
    assert data["arms"]["without-ties"]["by"]["tokens"]["gain"]["n"] == 2
    for end in ("json", "md", "curves.png", "curves-rows.png", "html"):
        assert (study.parent / f"runs/slow.comparison/comparison.{end}").exists()
    again = lamdagent(*command)
    assert json.loads(again.stdout)["arms"] == data["arms"]


def test_nothing_to_compare_is_an_error_that_says_how(study: Path, lamdagent: Any) -> None:
    done = lamdagent("compare", study)
    assert done.returncode == 2
    assert "give two --policies, or --without ACTION" in done.stderr
