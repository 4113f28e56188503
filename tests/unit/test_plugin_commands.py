"""Commands of other packages."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner, Result

from lamdagent.core.errors import UserError
from lamdagent.ui.cli.app import app

HELLO = """
def hello(name: str, loud: bool = False) -> None:
    "Say hello."
    print("HELLO" if loud else "hello", name)
"""
TYPER = """
import typer
app = typer.Typer()
@app.command()
def up(): print("up")
@app.command()
def down(): print("down")
"""
Install = Callable[..., None]
Invoke = Callable[..., Result]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A package with commands, as pip leaves it: a module, and its metadata."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(package: str, source: str, **commands: str) -> None:
        module = package.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        points = "".join(f"{name} = {module}:{attribute}\n" for name, attribute in commands.items())
        (info / "entry_points.txt").write_text(f"[lamdagent.commands]\n{points}")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


@pytest.fixture
def invoke() -> Invoke:
    def invoke(*args: str) -> Result:
        return CliRunner().invoke(app, list(args), catch_exceptions=True, env={"COLUMNS": "200"})

    return invoke


def test_a_function_of_another_package_is_a_command(install: Install, invoke: Invoke) -> None:
    install("greeting", HELLO, hello="hello")
    assert invoke("hello", "you", "--loud").stdout == "HELLO you\n"
    shown = invoke("hello", "--help").stdout
    assert "Say hello." in shown
    assert "lamdagent hello" in shown or "hello [OPTIONS] NAME" in shown


def test_a_typer_application_is_a_command_with_commands_of_its_own(install: Install, invoke: Invoke) -> None:
    install("lift", TYPER, lift="app")
    assert invoke("lift", "down").stdout == "down\n"


def test_help_names_the_package_of_a_command_and_imports_nothing_of_it(install: Install, invoke: Invoke) -> None:
    install("my-lift", TYPER, lift="app")
    shown = invoke("--help")
    assert [line for line in shown.stdout.splitlines() if "lift" in line and "my-lift" in line]
    assert "my_lift" not in sys.modules
    assert shown.stderr == ""
    invoke("lift", "up")
    assert "my_lift" in sys.modules


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nowhere_to_be_found\n", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("other = 1\n", "AttributeError"),
        ("hello = 'a text'\n", "is a str; it must be a function or a typer.Typer"),
    ],
)
def test_a_command_that_cannot_be_loaded_says_so_and_others_work(
    source: str, words: str, install: Install, invoke: Invoke
) -> None:
    install("broken", source, hello="hello")
    install("lift", TYPER, lift="app")
    failed = invoke("hello")
    assert isinstance(failed.exception, UserError)
    assert "command 'hello' of package broken (broken:hello)" in str(failed.exception)
    assert words in str(failed.exception)
    assert invoke("--help").exit_code == 0
    assert invoke("lift", "up").stdout == "up\n"


def test_a_name_of_lamdagents_own_is_not_taken_over(install: Install, invoke: Invoke) -> None:
    install("pirate", HELLO, doctor="hello", hello="hello")
    shown = invoke("--help")
    assert shown.stderr == "warning: command 'doctor' of package pirate is left out: lamdagent has one of that name\n"
    assert "NAME" not in invoke("doctor", "--help").stdout
    assert invoke("hello", "you").stdout == "hello you\n"


def test_a_name_that_two_packages_want_is_neithers(install: Install, invoke: Invoke) -> None:
    install("one", HELLO, hello="hello")
    install("two", HELLO, hello="hello")
    assert "command 'hello' of package one, two is left out: several have that name" in invoke("--help").stderr
    assert "several have that name" in str(invoke("hello", "you").exception)


def test_the_generated_docs_name_the_built_in_commands_only(install: Install) -> None:
    install("greeting", HELLO, hello="hello")
    assert "hello" not in typer.main.get_command(app).commands  # type: ignore[attr-defined]
