"""Trace one `run` of a study in this process: how often its wiring is entered, and how often calls climb back.

    python benchmarks/trace_run.py STUDY.yaml [KEY=VALUE ...]

A call is counted between two modules of lamdagent, the nearest ones on the stack. It climbs where the called module
stands above its caller: the height of a module is the longest chain of imports below it, read from the source. Calls of
a search's own loop through protocols (a policy, a task) climb too, so compare runs of as many trials only. Works on the
tree before the rooms as well (`build` and `intake` were there what `study.build` to `study.initial_pool` are here).
"""

from __future__ import annotations

import ast
import dis
import functools
import importlib
import sys
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import lamdagent

ROOT = Path(lamdagent.__file__).parent
WIRING = {
    "build": ("lamdagent.build", "lamdagent.study.build", "lamdagent.study.parts", "lamdagent.study.tasks"),
    "intake": ("lamdagent.intake", "lamdagent.study.initial_pool"),
}


def module_of(file: Path) -> str:
    parts = ("lamdagent", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def heights() -> dict[str, int]:
    """The longest chain of imports below each module; an import that closes a circle is left out."""
    files = {module_of(file): file for file in ROOT.rglob("*.py")}
    below: dict[str, set[str]] = {}
    for module, file in files.items():
        below[module] = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                below[module] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                below[module] |= (inner & set(files)) or {node.module}
        below[module] &= set(files) - {module}

    known: dict[str, int] = {}

    def height(module: str, above: tuple[str, ...]) -> int:
        if module not in known:
            chains = [height(m, (*above, module)) for m in sorted(below[module]) if m not in above]
            known[module] = 1 + max(chains, default=-1)
        return known[module]

    return {module: height(module, ()) for module in sorted(files)}


class Trace:
    """Counts of calls from module to module, and of the files of tasks that were opened for reading."""

    def __init__(self, tasks: Path) -> None:
        self.calls: Counter[tuple[str, str, str]] = Counter()  # caller's module, called module, function
        self.opened: Counter[str] = Counter()
        self._tasks = str(tasks)

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        called = module_at(frame.f_code.co_filename)
        if called is None or frame.f_code.co_name == "<module>" or frame.f_lasti > begin(frame.f_code):
            return  # not ours, an import, or a generator that goes on
        caller = frame.f_back
        while caller is not None and (module := module_at(caller.f_code.co_filename)) is None:
            caller = caller.f_back
        if caller is not None and module != called and caller.f_code.co_name != "<module>":
            self.calls[str(module), called, frame.f_code.co_qualname] += 1

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open":
            return
        file, mode = arguments[:2]
        if isinstance(file, str) and file.startswith(self._tasks) and isinstance(mode, str) and "r" in mode:
            self.opened[Path(file).name] += 1


@functools.cache
def module_at(filename: str) -> str | None:
    file = Path(filename)
    return module_of(file) if file.is_relative_to(ROOT) else None


@functools.cache
def begin(code: CodeType) -> int:
    """Where a call of this code begins; a generator that goes on stands further."""
    return next(i.offset for i in dis.get_instructions(code) if i.opname == "RESUME")


def main(study: str, *overrides: str) -> None:
    """Run the study with calls traced, and print what was counted."""
    entry = importlib.import_module("lamdagent.study.run" if (ROOT / "study").exists() else "lamdagent.driver")
    trace = Trace(Path(study).resolve().parent / "tasks")
    sys.addaudithook(trace.audit)
    sys.setprofile(trace.profile)
    try:
        entry.run_study(Path(study).resolve(), overrides, inline=True)
    finally:
        sys.setprofile(None)

    for name, group in WIRING.items():
        entered = {call: n for call, n in trace.calls.items() if call[1] in group and call[0] not in group}
        ways = ", ".join(f"{f} {n}" for (_, _, f), n in sorted(entered.items(), key=lambda item: -item[1]))
        print(f"{name}: entered {sum(entered.values())} times from outside ({ways or 'never'})")
    height = heights()
    climbs = {call: n for call, n in trace.calls.items() if height[call[1]] > height[call[0]]}
    print(f"climbs back: {sum(climbs.values())} calls, {len(climbs)} different ones")
    for (caller, called, function), n in sorted(climbs.items(), key=lambda item: -item[1]):
        print(f"  {n:6} {caller} -> {called}: {function}")
    print("task files opened for reading:", dict(sorted(trace.opened.items())))


if __name__ == "__main__":
    main(*sys.argv[1:])
