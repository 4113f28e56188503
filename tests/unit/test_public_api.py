"""The public names are those of docs/python.md: each can be imported and says what it is, and the examples run."""

from __future__ import annotations

import importlib
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import lamdagent
from lamdagent.study.journal import SqliteJournal
from lamdagent.testing import toy

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
NAMES = re.findall(r"^\| `([\w.]+)` \|", PAGE, flags=re.MULTILINE)
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_the_public_names_of_the_package_are_these() -> None:
    assert sorted(lamdagent.__all__) == [
        "OpenStudy", "Search", "StudyView", "__version__", "load", "load_study", "open_study", "run", "run_study",
    ]  # fmt: skip


def test_every_public_name_of_the_package_is_on_the_page() -> None:
    assert {f"lamdagent.{name}" for name in lamdagent.__all__} - {"lamdagent.__version__"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    assert (found.__doc__ or "").strip(), name
    assert not found.__doc__.startswith(f"{attribute}("), f"{name} has the text that dataclasses make up"


@pytest.fixture
def in_a_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which `demo/runs/tiny` is a toy study of some trials, so that examples take no time."""
    from lamdagent.core.events import Asked, Scored, Told

    folder = tmp_path / "demo" / "runs" / "tiny"
    folder.mkdir(parents=True)
    state = toy.grown(12)
    journal = SqliteJournal(folder / "journal.sqlite", writer=True)
    base = state.of_kind("model")[0]
    journal.append(*toy.first_events(), Scored(object_id=base.id, scores=state.scores[base.id]))
    for trial in state.trials:
        assert trial.outcome is not None
        journal.append(Asked(number=trial.number, choice=trial.choice))
        journal.append(Told(number=trial.number, outcome=trial.outcome))
    journal.close()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("code", EXAMPLES, ids=lambda code: code.strip().splitlines()[0])
def test_an_example_of_the_page_runs(code: str, in_a_demo: None, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "docs/python.md", "exec"), names)
    assert capsys.readouterr().out.strip()


def test_type_checkers_are_told_that_the_package_is_typed() -> None:
    assert files("lamdagent").joinpath("py.typed").is_file()
