"""What the README and the templates show is valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from lamdagent import __version__
from lamdagent.study.config import load_study
from lamdagent.study.templates import NAMES, text
from lamdagent.ui.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").glob("*.md")))]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
def test_every_template_is_a_valid_study(name: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(text(name))
    assert load_study(tmp_path / "study.yaml").body.study == name


def test_the_study_in_the_readme_is_valid(tmp_path: Path) -> None:
    (block,) = blocks("README.md", "yaml")
    (tmp_path / "study.yaml").write_text(block)
    assert load_study(tmp_path / "study.yaml").goals[0].task == "gsm8k"


def test_every_line_of_yaml_in_the_concepts_is_valid(tmp_path: Path) -> None:
    lines = [line for block in blocks("docs/concepts.md", "yaml") for line in block.splitlines()]
    assert lines
    for line in lines:
        part = yaml.safe_load(line)
        whole = {**yaml.safe_load(text("tiny")), **part}
        if "memory" in part:
            whole["policy"] = {"kind": "agent", "model": "local"}
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(whole))
        load_study(tmp_path / "study.yaml")


@pytest.mark.parametrize("page", PAGES)
def test_every_command_in_the_docs_exists(page: str) -> None:
    import typer.main

    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"(?m)^lamdagent ([\w-]+)", "\n".join(blocks(page, "bash"))))
    assert named <= known


def test_what_is_cited_is_the_version_that_is_here() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == __version__
