"""From a user's own files to a search, in two commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.tiny_world import Lamdagent

pytestmark = pytest.mark.slow


def test_two_commands_lead_from_files_to_a_search(world: Path, tmp_path: Path, lamdagent: Lamdagent) -> None:
    for part in ("models", "data", "tasks"):
        shutil.copytree(world / part, tmp_path / part)
    own = [tmp_path / "models/base", tmp_path / "data/reverse.jsonl", tmp_path / "tasks/reverse.validation.jsonl"]
    options = [x for pair in zip(("--model", "--data", "--task"), own, strict=True) for x in pair]
    written = lamdagent("init", tmp_path / "mine", *options, "--yes")
    assert written.returncode == 0, written.stderr
    assert "exact_match: nearly every answer has at most" in written.stdout
    assert "audit:" in written.stdout
    study = tmp_path / "mine" / "study.yaml"
    ran = lamdagent("run", study, "--trials", "1", "--set", "execution={device: cpu, threads: 1}")
    assert ran.returncode == 0, ran.stderr
    assert "1 trial ended, 0 of them failed" in ran.stdout


def test_a_guess_that_the_audit_refuses_is_written_and_told_with_what_to_do(
    world: Path, tmp_path: Path, lamdagent: Lamdagent
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "a", "completion": "' + "b" * 3 + '"}\n' + '{"prompt": "a", "completion": ""}\n')
    task = world / "tasks/reverse.validation.jsonl"
    options = ("--model", world / "models/base", "--data", rows, "--task", task)
    refused = lamdagent("init", tmp_path / "mine", *options, "--yes")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
