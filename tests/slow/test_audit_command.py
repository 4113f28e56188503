"""The audit as `run` and `run --dry-run` do it, on real files in a worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.tiny_world import Lamdagent

pytestmark = pytest.mark.slow


def write_rows(file: Path, rows: list[dict[str, str]]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def test_a_dry_run_says_what_is_cut_and_refuses_what_leaves_nothing_and_writes_nothing(
    lamdagent: Lamdagent, study: Path
) -> None:
    long = [{"prompt": f"reverse {'a' * 60}:", "completion": "aa"}] * 3
    some = write_rows(study.parent / "some.jsonl", [*long, {"prompt": "reverse abc:", "completion": "cba"}])
    sets = (
        "--set",
        "actions.sft.hyperparameters={s: {learning_rate: 1.0e-3, max_length: 40}}",
        "--set",
        "budget.trials=1",
    )
    planned = lamdagent("run", study, "--dry-run", *sets, "--set", f"datasets.reverse.path={some}")
    assert planned.returncode == 0, planned.stderr
    assert "max_length 40 leaves out 3 of 4 examples" in planned.stdout
    none = write_rows(study.parent / "none.jsonl", long)
    refused = lamdagent("run", study, "--dry-run", *sets, "--set", f"datasets.reverse.path={none}")
    assert refused.returncode == 2
    assert "max_length 40 leaves nothing to learn" in refused.stderr
    assert not (study.parent / "runs").exists()
    done = lamdagent("run", study, "--plain", *sets, "--set", f"datasets.reverse.path={some}")
    assert done.returncode == 0, done.stderr
    assert "max_length 40 leaves out 3 of 4 examples" in done.stderr
    assert "max_length 40 leaves out 3 of 4 examples" in lamdagent("show", study.parent / "runs" / "slow").stdout


def test_a_setting_that_cannot_be_built_is_refused_before_anything_is_scored(lamdagent: Lamdagent, study: Path) -> None:
    refused = lamdagent("run", study, "--set", "actions.sft.hyperparameters.lora.peft.target_modules=[q_porj]")
    assert refused.returncode == 2
    assert "setting lora" in refused.stderr and "Did you mean 'q_proj'?" in refused.stderr
    assert "scoring base" not in refused.stdout
