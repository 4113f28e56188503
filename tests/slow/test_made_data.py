"""A study whose plug-in makes data, on a real tiny model: every command that speaks of objects speaks of datasets too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

PLUG_IN = '''
import json

from lamdagent.core.config import Config
from lamdagent.core.types import Slot


class MixConfig(Config):
    hyperparameters: dict[str, Config] = {}

    def arguments(self, parts):
        return {}


class Mix:
    """Takes the rows of two datasets in turn, and one more that holds what models are scored on."""

    Config = MixConfig
    name, version, makes = "mix", 1, "dataset"
    slots = (Slot(name="datasets", kind="dataset", at_least=2, at_most=2),)

    def validate(self, inputs):
        return None

    def execute(self, inputs, seed, ctx):
        rows = [(ctx.folder(d) / "data.jsonl").read_text().splitlines() for d in inputs["datasets"]]
        lines = [line for pair in zip(*rows) for line in pair]
        lines.insert(1, LEAK)
        (ctx.workdir / "data.jsonl").write_text("".join(f"{line}\\n" for line in lines))
        return {"rows": len(lines), "format": inputs["datasets"][0].dataset["format"]}


LEAK = json.dumps({"prompt": "PROMPT", "completion": "well"})
'''
STEPS = {
    "results": ["trained"],
    "objects": {"base": {"kind": "model"}, "reverse": {"kind": "dataset"}, "call": {"kind": "dataset"},
                "firm": {"kind": "hyperparameters"}},
    "steps": [
        {"make": "mixed", "action": "mix", "inputs": {"datasets": ["reverse", "call"]}},
        {"make": "plain", "action": "sft",
         "inputs": {"model": ["base"], "dataset": ["call"], "hyperparameters": ["firm"]}},
        {"make": "trained", "action": "sft",
         "inputs": {"model": ["base"], "dataset": ["mixed"], "hyperparameters": ["firm"]}},
    ],
}  # fmt: skip


def test_a_dataset_that_an_action_made_is_screened_shown_exported_replayed_attributed_and_verified(
    study: Path, tmp_path: Path
) -> None:
    environment = with_plug_in(study, tmp_path / "plug-in")

    def lamdagent(*args: str | Path, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "lamdagent", *map(str, args)],
            capture_output=True, text=True, timeout=300, env=environment, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    assert "a dataset if it is as large as the largest given one" in lamdagent("run", study, "--dry-run")
    assert "trial 0: 320 rows, prompt_completion; 1 with evaluation items left out" in lamdagent(
        "run", study, "--plain"
    )
    detail: dict[str, Any] = json.loads(lamdagent("show", study, "0", "--json"))
    assert (len(detail["rows"]), detail["figures"]["dropped"], detail["gain"]["n"]) == (3, 1, 1)
    assert "mix → dataset-0: 320 rows" in lamdagent("lineage", study, "2")
    assert "0 problems" in lamdagent("verify", study)

    lamdagent("export", study, "2", "--to", tmp_path / "out")
    steps = yaml.safe_load((tmp_path / "out" / "pipeline.yaml").read_text())["steps"]
    assert steps[0]["leave_out"] == [1]
    assert "bit-identical to those exported, in all 2 steps" in lamdagent(
        "replay", tmp_path / "out", "--to", tmp_path / "again"
    )

    scaled = json.loads(lamdagent("scale", study, "--data", "2", "--json"))
    assert {row["how"]: row["lost"] for row in scaled["pipelines"]} == {
        "base > sft call/firm": {},
        "base > sft dataset-0/firm": {},
    }
    twice = json.loads(lamdagent("show", study.parent / "runs" / "slow.scale-data-2", "--json"))
    assert [made["contents"] for made in twice["datasets"]] == ["640 rows, prompt_completion"]

    worth = json.loads(lamdagent("attribute", study, "2", "--json"))["steps"]
    assert [step["step"] for step in worth] == ["dataset-0", "model-2"]
    assert worth[0]["stands_in"] == [
        "in place of dataset-0 stands call, the one that models gained most on, of call, reverse"
    ]
    assert worth[0]["worth"] is not None

    rows = study.parent / "runs" / "artifacts" / steps[0]["id"] / "data.jsonl"
    rows.write_text(rows.read_text().replace("a", "b"))
    assert "dataset dataset-0: " in lamdagent("verify", study, code=1)


def with_plug_in(study: Path, folder: Path) -> dict[str, str]:
    """Let a study do its steps with an installed plug-in; the environment to run it in."""
    folder.mkdir()
    prompt = json.loads((study.parent / "tasks" / "reverse.validation.jsonl").read_text().splitlines()[0])["prompt"]
    (folder / "mixing.py").write_text(PLUG_IN.replace("PROMPT", prompt))
    (folder / "mixing-1.dist-info").mkdir()
    (folder / "mixing-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: mixing\nVersion: 1\n")
    (folder / "mixing-1.dist-info" / "entry_points.txt").write_text("[lamdagent.actions]\nmix = mixing:Mix\n")
    (study.parent / "plan.yaml").write_text(yaml.safe_dump(STEPS))
    data = yaml.safe_load(study.read_text())
    data["actions"]["mix"] = {}
    data |= {"policy": {"kind": "replay", "from": "plan.yaml"}, "contamination": "drop"}
    study.write_text(yaml.safe_dump(data))
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": path}
