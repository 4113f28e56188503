"""Code that comes with a model is never run."""

from __future__ import annotations

import builtins
import json
import shutil
from pathlib import Path

import pytest

from lamdagent.objects.models import Models

pytestmark = pytest.mark.slow

CODE = """
from pathlib import Path
from transformers import LlamaConfig

Path({marker!r}).touch()


class Foreign(LlamaConfig):
    model_type = "foreign"
"""


def test_a_model_that_brings_code_fails_and_nobody_is_asked(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, marker, asked = tmp_path / "foreign", tmp_path / "ran", list[str]()
    shutil.copytree(world / "models" / "base", folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "foreign", "auto_map": {"AutoConfig": "foreign.Foreign"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "foreign.py").write_text(CODE.format(marker=str(marker)))

    def answer(question: str = "") -> str:
        asked.append(question)
        return "y"

    monkeypatch.setattr(builtins, "input", answer)
    with pytest.raises(ValueError, match="trust_remote_code"):
        Models(device="cpu").load("m", folder)
    assert asked == []
    assert not marker.exists()
