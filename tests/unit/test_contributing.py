"""What CONTRIBUTING quotes of a plug-in are lines of the package in examples/plugin, which tests install and run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from lamdagent.study import registry
from lamdagent.testing import contracts
from lamdagent.ui.cli.plugins import GROUP

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples" / "plugin"
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (Add an? [^\n]+)\n(.*?)(?=^##)", GUIDE, flags=re.MULTILINE | re.DOTALL))
FAMILIES = {
    f"Add {'an' if name[0] in 'ao' else 'a'} {name}": f"lamdagent.{family}"
    for family, name in registry.SINGULAR.items()
}
FAMILIES["Add a command"] = GROUP
FILES = {
    file: file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*") if file.suffix in (".py", ".toml", ".yaml")
}


def quoted(section: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)


def test_every_family_has_its_section() -> None:
    assert set(SECTIONS) == set(FAMILIES)


@pytest.mark.parametrize("title", FAMILIES)
def test_a_section_quotes_the_example_package(title: str) -> None:
    blocks = quoted(SECTIONS[title], r"\w+")
    assert blocks
    for block in blocks:
        assert any(block in text for text in FILES.values()), block


@pytest.mark.parametrize("title", FAMILIES)
def test_a_section_names_the_entry_point_the_key_the_suite_and_the_example(title: str) -> None:
    section, group = SECTIONS[title], FAMILIES[title]
    (block,) = quoted(section, "toml")
    ((name, value),) = tomllib.loads(block)["project"]["entry-points"][group].items()
    assert f"`{value.partition(':')[0].removeprefix('lamdagent_example.')}.py`" in section
    if group == GROUP:
        return
    (used,) = quoted(section, "yaml")
    assert name in yaml.safe_dump(yaml.safe_load(used))
    (suite,) = re.findall(r"suite `(\w+)`", section)
    assert suite in contracts.__all__
    assert f"({suite})" in FILES[PACKAGE / "tests" / "test_contracts.py"]
