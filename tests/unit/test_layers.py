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
CORE = ("errors", "types", "events", "menu", "protocols", "search")
HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "mergekit", "lm_eval", "pyarrow", "ray", "accelerate")

# Beside the core, each plugin family may import what is named here, and never another family.
MAY_IMPORT = {
    "actions": {"models", "models.facts", "settings"},
    "policies": {"settings", "plan", "words", "evidence", "llm.chat", "llm.prompts", "llm.settings"},
    "memories": {"settings", "words", "evidence", "llm.chat", "llm.prompts"},
    "llm": {"settings", "machine"},
    "tasks": {"models", "models.validity"},
    "runners": {"execution", "worker"},
    "store": set(),
    "display": {"words"},
    "data": set(),
    "models": {"store.artifacts"},
}
CORE_MAY_IMPORT = {
    "errors": set(),
    "types": set(),
    "events": {"types"},
    "menu": {"errors", "types", "events", "protocols"},
    "protocols": {"types", "events", "menu"},
    "search": {"errors", "types", "events", "menu", "protocols"},
}


def imports(tree: ast.AST, *, inside_functions: bool) -> Iterator[str]:
    """Every module that is imported, with dots."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = str(node.module)
            yield from (f"{module}.{alias.name}" if module == "lamdagent" else module for alias in node.names)
        elif inside_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports(node, inside_functions=inside_functions)


def imported(file: Path, *, inside_functions: bool = True) -> set[str]:
    return set(imports(ast.parse(file.read_text(encoding="utf-8")), inside_functions=inside_functions))


def own(names: set[str]) -> set[str]:
    return {name.removeprefix("lamdagent.") for name in names if name.startswith("lamdagent.")}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("module", CORE)
def test_the_core_imports_the_standard_library_and_itself(module: str) -> None:
    names = imported(ROOT / f"{module}.py")
    assert own(names) <= CORE_MAY_IMPORT[module]
    others = {name.split(".")[0] for name in names} - {"lamdagent"}
    assert others <= sys.stdlib_module_names


def test_menu_needs_protocols_for_its_types_only() -> None:
    tree = ast.parse((ROOT / "menu.py").read_text(encoding="utf-8"))
    at_runtime = [node for node in tree.body if not isinstance(node, ast.If)]
    assert "lamdagent.protocols" not in set(imports(ast.Module(at_runtime, []), inside_functions=True))


@pytest.mark.parametrize("family", MAY_IMPORT)
def test_a_plugin_family_imports_the_core_and_never_another_family(family: str) -> None:
    for file in (ROOT / family).rglob("*.py"):
        used = {name for name in own(imported(file)) if name.split(".")[0] != family}
        assert used - set(CORE) <= MAY_IMPORT[family], name_of(file)


def test_policies_and_memories_see_values_only() -> None:
    for family in ("policies", "memories"):
        for file in (ROOT / family).rglob("*.py"):
            assert own(imported(file)).isdisjoint({"search", "build", "driver", "execution"})


def test_nothing_but_the_command_line_the_driver_and_the_worker_builds_a_study() -> None:
    users = {name_of(file).split(".")[0] for file in modules() if "build" in own(imported(file))}
    assert users <= {"cli", "driver", "worker", "verify"}


def test_no_module_imports_a_heavy_library_before_it_is_used() -> None:
    for file in modules():
        top = {name.split(".")[0] for name in imported(file, inside_functions=False)}
        assert top.isdisjoint(HEAVY), name_of(file)


def test_the_package_never_imports_pytest() -> None:
    for file in modules():
        assert "pytest" not in {name.split(".")[0] for name in imported(file)}, name_of(file)


LIGHT = [
    "import lamdagent",
    "import lamdagent.cli.app",
    "import lamdagent.testing.toy, lamdagent.testing.contracts",
    "from lamdagent import registry; [registry.find(f, n) for f in registry.BUILT_IN for n in registry.names(f)]",
    "import lamdagent.worker, lamdagent.runners.process, lamdagent.display.plain",
    "from typer.testing import CliRunner; from lamdagent.cli.app import app; CliRunner().invoke(app, ['--help'])",
]


@pytest.mark.parametrize("code", LIGHT, ids=["package", "cli", "testing", "registry", "worker", "help"])
def test_importing_loads_nothing_heavy(code: str) -> None:
    check = f"{code}\nimport sys\nsys.stderr.write(' '.join(m for m in {(*HEAVY, 'pytest')!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stderr == ""
