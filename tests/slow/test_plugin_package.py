"""The package in examples/plugin, as its users would have it: installed into a fresh environment and searched with."""

from __future__ import annotations

import csv
import json
import os
import shutil
import site
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.tiny_world import Lamdagent

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("plugin")]
ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, since building it writes into its folder."""
    copy = tmp_path_factory.mktemp("plugin") / "plugin"
    shutil.copytree(ROOT / "examples" / "plugin", copy)
    return copy


@pytest.fixture(scope="module")
def python(package: Path) -> Path:
    """The interpreter of a new environment on top of this one, with the package installed by pip, from no network."""
    folder = package.parent / "venv"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    (here,) = folder.glob("lib/python*/site-packages")
    (here / "below.pth").write_text(
        "".join(f"import site; site.addsitedir({path!r})\n" for path in site.getsitepackages())
    )
    installed = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "--no-index",
         "--no-deps", "--no-build-isolation", str(package)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stderr
    return python


@pytest.fixture
def run(python: Path) -> Run:
    def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-m", *map(str, args)], capture_output=True, text=True, timeout=600, check=False,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "200"},
        )  # fmt: skip

    return run


@pytest.fixture
def study(package: Path, tmp_path: Path) -> Path:
    """The package's study file, beside an untrained model and some lines of text."""
    from lamdagent.study.templates.tiny.model import make_model, make_tokenizer

    tokenizer = make_tokenizer()
    make_model(tokenizer, width=16).save_pretrained(tmp_path / "models" / "base")
    tokenizer.save_pretrained(tmp_path / "models" / "base")
    (tmp_path / "greetings.txt").write_text("good morning\nhow are you\nwelcome\n")
    (tmp_path / "farewells.txt").write_text("good night\nso long\n")
    return Path(shutil.copy(package / "study.yaml", tmp_path))


def test_its_plugins_pass_their_contracts(package: Path, run: Run) -> None:
    done = run("pytest", "-q", package / "tests", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout


def test_its_command_stands_in_the_help_with_its_name(run: Run) -> None:
    shown = run("lamdagent", "--help").stdout
    assert any("where" in line and "lamdagent-example" in line for line in shown.splitlines())


def test_a_search_with_one_plugin_of_each_family(study: Path, run: Run, lamdagent: Lamdagent) -> None:
    planned = run("lamdagent", "run", study, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "policy in_order, memory best_so_far" in planned.stdout

    done = run("lamdagent", "run", study, "--json")
    assert done.returncode == 0, done.stderr
    trials = json.loads(done.stdout)["trials"]
    assert [trial["status"] for trial in trials] == ["made", "made"], done.stdout

    with (study.parent / "trials.csv").open() as lines:
        assert [row[:2] for row in csv.reader(lines)] == [["base", "base"], ["0", "model-0"], ["1", "model-1"]]
    best = run("lamdagent", "where", study)
    assert best.returncode == 0, best.stderr
    assert Path(best.stdout.strip()).parent == study.parent / "kept"
    assert (Path(best.stdout.strip()) / "weights" / "config.json").exists()

    without = lamdagent("run", study)  # this environment does not have the package
    assert without.returncode == 2
    assert "unknown" in without.stderr
