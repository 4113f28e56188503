"""No file and no function grows too long to be read. `pytest -s tests/unit/test_caps.py` prints the sizes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("src", "tests", "examples", "benchmarks", "docs")
FILE_LINES, FUNCTION_LINES = 400, 60
# Longer ones, and why: "folder/file.py" or "folder/file.py: function".
EXCEPTIONS: dict[str, str] = {}


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Every function's name and its lines, from `def` to its end."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def sizes(folder: str) -> tuple[dict[str, int], dict[str, int]]:
    """Lines of each file, and of each function; of functions of one name in a file the longest."""
    file_lines, function_lines = dict[str, int](), dict[str, int]()
    for file in sorted((ROOT / folder).rglob("*.py")):
        name, source = file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")
        file_lines[name] = source.count("\n")
        for function, lines in functions(source):
            key = f"{name}: {function}"
            function_lines[key] = max(lines, function_lines.get(key, 0))
    return file_lines, function_lines


def p90(lines: Sequence[int]) -> int:
    return sorted(lines)[int(0.9 * len(lines))]


@pytest.mark.parametrize("folder", FOLDERS)
def test_files_and_functions_are_short(folder: str) -> None:
    file_lines, function_lines = sizes(folder)
    summary = (
        f"{folder}: {len(file_lines)} files, p90 {p90([*file_lines.values()])} lines, of {FILE_LINES} at most; "
        f"{len(function_lines)} functions, p90 {p90([*function_lines.values()])} lines, of {FUNCTION_LINES} at most"
    )
    print(f"\n{summary}")
    long = {k: n for k, n in file_lines.items() if n > FILE_LINES}
    long |= {k: n for k, n in function_lines.items() if n > FUNCTION_LINES}
    assert {k: n for k, n in long.items() if k not in EXCEPTIONS} == {}, summary


def test_an_exception_is_still_there_and_still_long() -> None:
    lines = {key: n for folder in FOLDERS for both in sizes(folder) for key, n in both.items()}
    for key, reason in EXCEPTIONS.items():
        assert lines[key] > (FUNCTION_LINES if ": " in key else FILE_LINES), key
        assert reason


def test_a_function_is_counted_from_def_to_its_end_wherever_it_stands() -> None:
    source = "class A:\n    @staticmethod\n    def f():\n        async def g():\n            pass\n        return g\n"
    assert dict(functions(source)) == {"f": 4, "g": 2}
