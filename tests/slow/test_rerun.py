"""Pipelines done again on real tiny models: on more rows, without a step, from a file alone; killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow


def ended(folder: Path) -> int:
    """How many trials of a study have ended, read beside its driver."""
    if not (folder / "journal.sqlite").exists():
        return 0
    try:
        journal = sqlite3.connect(folder / "journal.sqlite")
        return int(journal.execute("select count(*) from events where kind = 'Told'").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def test_the_best_pipelines_are_scaled_and_a_killed_command_goes_on(study: Path, lamdagent: Any) -> None:
    refused = lamdagent("scale", study, "--data", "2")
    assert refused.returncode == 2
    assert "no search has begun here. Begin it with: lamdagent run" in refused.stderr
    assert lamdagent("run", study, "--plain").returncode == 0
    few = lamdagent("scale", study, "--data", "2,99")
    assert few.returncode == 2
    assert "1,200 rows there, limit 160, 99x takes 15,840; largest factor: 7" in few.stderr
    process = subprocess.Popen(
        [sys.executable, "-m", "lamdagent", "scale", study, "--data", "2"], env=os.environ | {"HF_HUB_OFFLINE": "1"}
    )
    derived = study.parent / "runs" / "slow.scale-data-2"
    end = time.monotonic() + 120
    while not ended(derived) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = lamdagent("scale", study, "--data", "2", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert len(data["pipelines"]) == 3
    assert all(row["replayed"]["2x"]["stderr"] is not None for row in data["pipelines"])
    assert len(data["arms"]["2x"]["pairs"]) == 3
    shown = json.loads(lamdagent("show", derived, "--json").stdout)
    assert len(shown["trials"]) == 3
    for name in ("scale.json", "scale.png", "scale.html"):
        assert (study.parent / "runs" / "slow.scale-data" / name).stat().st_size > 1000
    assert json.loads(lamdagent("scale", study, "--data", "2", "--json").stdout) == data
    base = study.parent / "models" / "base"
    other = lamdagent("scale", study, "--model", f"base={base}", "--json")
    assert other.returncode == 0, other.stderr
    (arm,) = json.loads(other.stdout)["arms"].values()
    assert all(pair["gap"] == pair["replayed_gap"] for pair in arm["pairs"]), "the same model gives the same scores"


def test_each_step_of_a_pipeline_is_given_its_worth(study: Path, lamdagent: Any) -> None:
    assert lamdagent("run", study, "--plain").returncode == 0
    found = json.loads(lamdagent("lineage", study, "2", "--json").stdout)
    done = lamdagent("attribute", study, "2", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert [step["step"] for step in data["steps"]] == [step["make"] for step in found["steps"]]
    luck = data["without_luck"]["luck"]
    assert luck != 0
    for step in data["steps"]:
        gap = data["objective"]["value"] - step["objective"]["value"]
        assert step["worth"]["value"] == pytest.approx(gap - luck)
        assert set(step["tasks"]) == {"reverse", "largest"}
    assert (study.parent / "runs" / "slow.attribute-2" / "attribution.png").stat().st_size > 1000


def test_a_pipeline_is_made_shorter_and_made_again_with_other_seeds(
    study: Path, lamdagent: Any, tmp_path: Path
) -> None:
    assert lamdagent("run", study, "--plain").returncode == 0
    done = lamdagent("simplify", study, "2", "--trials", "1", "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    (drop,) = data["tried"]
    assert drop["lost"]["value"] == pytest.approx(data["objective"]["value"] - drop["objective"]["value"])
    assert lamdagent("export", data["derived"], data["trial"], "--to", tmp_path / "short").returncode == 0
    again = lamdagent("simplify", study, "2", "--trials", "1", "--json")
    assert json.loads(again.stdout) == data
    spread = lamdagent("repeat", study, "2", "--seeds", "2", "--json")
    assert spread.returncode == 0, spread.stderr
    found = json.loads(spread.stdout)
    assert found["sd"] is not None and len({value["value"] for value in found["seeds"].values()}) == 2
    shown = json.loads(lamdagent("show", study, "2", "--json").stdout)
    assert shown["repeated"] == found


def test_an_exported_pipeline_is_made_again_from_its_file_to_the_same_bits(
    study: Path, lamdagent: Any, tmp_path: Path
) -> None:
    assert lamdagent("run", study, "--plain").returncode == 0
    out, again = tmp_path / "out", tmp_path / "again"
    assert lamdagent("export", study, "2", "--to", out).returncode == 0
    done = lamdagent("replay", out / "pipeline.yaml", "--to", again)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "the weights are bit-identical to those exported" in done.stdout
    assert (again / "model" / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()
    assert lamdagent("replay", out, "--to", again).returncode == 0, "run again, it finds all that is done"

    recipe = yaml.safe_load((out / "pipeline.yaml").read_text())
    dataset = next(name for name, leaf in recipe["objects"].items() if leaf["kind"] == "dataset")
    rows = study.parent / "data" / f"{dataset}.jsonl"
    rows.write_text(rows.read_text().replace("a", "b"))
    refused = lamdagent("replay", out, "--to", tmp_path / "changed")
    assert refused.returncode == 2
    assert f"dataset {dataset}:" in refused.stderr
    assert not (tmp_path / "changed").exists()
    changed = lamdagent("replay", out, "--to", tmp_path / "changed", "--anyway", "--json")
    assert changed.returncode == 1, changed.stderr
    data = json.loads(changed.stdout)
    assert data["identical"] is False
    assert len(data["objects"]) == 1
