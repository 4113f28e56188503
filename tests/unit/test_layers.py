"""Who may import whom, and that nobody loads torch before there is work for it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lamdagent

ROOT = Path(lamdagent.__file__).parent
HEAVY = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "mergekit",
    "lm_eval",
    "pyarrow",
    "ray",
    "accelerate",
    "pandas",
    "matplotlib",
)

# Each room of the house, and the rooms that it may import. A room that is not named here has no place yet.
MAY_IMPORT = {
    "core": set(),
    "objects": {"core"},
    "llm": {"core"},
    "policies": {"core", "llm"},
    "memories": {"core", "llm"},
    "observers": {"core"},
    "actions": {"core", "objects", "llm"},
    "evaluation": {"core", "objects", "llm"},
    "runners": {"core", "objects", "evaluation"},
    "study": {"core", "objects", "llm", "evaluation", "runners"},
    "results": {"core", "objects", "evaluation", "study"},
    "testing": {"core", "objects", "llm", "policies", "memories", "actions", "evaluation", "runners", "study"},
    "ui": {"core", "objects", "evaluation", "runners", "study", "results"},
}
CORE_KNOWS = {
    "core.config": {"pydantic", "pydantic_core"},
    "core.settings": {"pydantic", "pydantic_core"},
    "core.templates": {"jinja2"},
}
MODULES = {
    ".".join(("lamdagent", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for file in ROOT.rglob("*.py")
}


def imports(tree: ast.AST, *, inside_functions: bool) -> Iterator[str]:
    """Every module that is imported, with dots."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)
        elif inside_functions or not (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or for_type_checkers_only(node)
        ):
            yield from imports(node, inside_functions=inside_functions)


def for_type_checkers_only(node: ast.AST) -> bool:
    """Whether it is an `if TYPE_CHECKING:`, which is never run."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def imported(file: Path, *, inside_functions: bool = True) -> set[str]:
    return set(imports(ast.parse(file.read_text(encoding="utf-8")), inside_functions=inside_functions))


def rooms(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("lamdagent.")}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def test_every_room_has_its_place() -> None:
    there = {folder.name for folder in ROOT.iterdir() if folder.is_dir() and folder.name != "__pycache__"}
    assert there == set(MAY_IMPORT)
    assert {file.name for file in ROOT.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_no_two_rooms_import_each_other() -> None:
    below: set[str] = set()
    while left := {room: may - below for room, may in MAY_IMPORT.items() if room not in below}:
        lowest = {room for room, may in left.items() if not may}
        assert lowest, f"a circle among {sorted(left)}"
        below |= lowest


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_those_below_it(room: str) -> None:
    for file in (ROOT / room).rglob("*.py"):
        assert rooms(imported(file)) - {room} <= MAY_IMPORT[room], name_of(file)


def test_the_core_imports_the_standard_library_and_itself() -> None:
    for file in (ROOT / "core").rglob("*.py"):
        others = {name.split(".")[0] for name in imported(file)} - {"lamdagent"} - CORE_KNOWS.get(name_of(file), set())
        assert others <= sys.stdlib_module_names, name_of(file)


def test_no_module_imports_itself_in_a_circle() -> None:
    """No circle of files, imports inside functions included; those for type checkers only do not count."""
    graph = {}
    for file in modules():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        tree.body = [node for node in tree.body if not for_type_checkers_only(node)]
        graph[name_of(file).removesuffix(".__init__")] = {
            name.removeprefix("lamdagent.") for name in imports(tree, inside_functions=True)
        }
    left = {name: used & set(graph) - {name} for name, used in graph.items()}
    while free := [name for name, used in left.items() if not used & set(left)]:
        left = {name: used for name, used in left.items() if name not in free}
    assert not left


def test_no_module_imports_a_heavy_library_before_it_is_used() -> None:
    for file in modules():
        top = {name.split(".")[0] for name in imported(file, inside_functions=False)}
        assert top.isdisjoint(HEAVY), name_of(file)


def test_the_package_never_imports_pytest() -> None:
    for file in modules():
        assert "pytest" not in {name.split(".")[0] for name in imported(file)}, name_of(file)


LIGHT = [
    "import lamdagent",
    "import lamdagent.ui.cli.app",
    "import lamdagent.testing.toy, lamdagent.testing.contracts",
    "from lamdagent.study import registry as r; [r.find(f, n) for f in r.BUILT_IN for n in r.names(f)]",
    "import lamdagent.study.worker, lamdagent.runners.process, lamdagent.ui.terminal.plain",
    "from typer.testing import CliRunner; from lamdagent.ui.cli.app import app; CliRunner().invoke(app, ['--help'])",
]


@pytest.mark.parametrize("code", LIGHT, ids=["package", "cli", "testing", "registry", "worker", "help"])
def test_importing_loads_nothing_heavy(code: str) -> None:
    check = f"{code}\nimport sys\nsys.stderr.write(' '.join(m for m in {(*HEAVY, 'pytest')!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stderr == ""
