"""Studies to start from, as `lamdagent init` writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path

from lamdagent.core.errors import UserError

NAMES = ("tiny", "tiny-conflict", "tiny-shift", "tiny-drawn", "smollm2", "paper")
WORLD_FILE = "world.json"
"""Says which world a folder holds, so that other items can be drawn for its tasks."""


def write_template(
    name: str,
    folder: Path,
    *,
    seed: int = 0,
    width: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> None:
    """Write a template's study file to a folder, and for the tiny ones their whole world.

    Args:
        seed: of the tiny world; `tiny-drawn` draws its skills and sets from it, too.
        width: of the tiny model; None is its usual one.
        report: hears of the pretraining of the tiny model: steps done, steps in all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if is_tiny(name):
        from lamdagent.study.templates.tiny import WIDTH, write
        from lamdagent.study.templates.tiny.worlds import world

        write(folder, world(name, seed), seed=seed, width=width or WIDTH, report=report)
        (folder / WORLD_FILE).write_text(json.dumps({"template": name, "seed": seed}) + "\n", encoding="utf-8")
    (folder / "study.yaml").write_text(text(name, seed), encoding="utf-8")


def is_tiny(name: str) -> bool:
    """Whether a template brings its own world: data, tasks and a model."""
    return name.split("-")[0] == "tiny"


def text(name: str, seed: int = 0) -> str:
    """The study file of a template; that of `tiny-drawn` depends on the seed."""
    found = (files(__package__) / f"{name}.yaml").read_text(encoding="utf-8")
    if name != "tiny-drawn":
        return found
    from lamdagent.study.templates.tiny.worlds import world

    drawn = world(name, seed)
    *counted, guarded = drawn.tasks
    sides = "path: tasks/{0}.validation.jsonl, test: tasks/{0}.test.jsonl, max_new_tokens: 18"
    datasets = "".join(f"\n  {name}: {{path: data/{name}.jsonl}}" for name in drawn.data)
    tasks = "".join(f"\n  - {{task: {name}, {sides.format(name)}}}" for name in counted)
    watched = f"\n  - {{task: {guarded}, {sides.format(guarded)}, weight: 0}}"
    return (
        found.replace("datasets: {}", f"datasets:{datasets}")
        .replace("tasks: []", f"tasks:{tasks}{watched}")
        .replace("guards: []", f"guards: [{{task: {guarded}, max_drop: 0.3}}]")
    )


def fresh_items(home: Path, tasks: Iterable[tuple[str, str]], to: Path, draw_seed: int) -> list[str]:
    """Draw other items for every task of a world, into a folder; the overrides (`key=value`) that have a study ask them.

    Args:
        home: the folder that `init` wrote.
        tasks: the name of every task, and its file of validation items as the study names it.
        to: a folder, which may hold the same items already.
    Raises:
        UserError: it is no world that can draw items, or a task asks other rows than the world's.
    """
    from lamdagent.study.templates.tiny import SIDES, write_fresh_tasks
    from lamdagent.study.templates.tiny.worlds import world

    named = dict(tasks)
    try:
        made = json.loads((home / WORLD_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{home}: items are drawn anew only for a world that `lamdagent init --template tiny` wrote ({WORLD_FILE} "
            "beside the study file); these tasks are fixed files or benchmarks. Leave --fresh-items out: seeds then "
            "share one set of items, and intervals say how far that set can tell."
        ) from None
    known = {(home / "tasks" / f"{name}.validation.jsonl").resolve(): name for name in named}
    if foreign := [name for name, path in named.items() if known.get((home / path).resolve()) != name]:
        raise UserError(
            f"--fresh-items draws for tasks that ask tasks/TASK.validation.jsonl of their own name; {', '.join(foreign)} "
            "does not. Leave these tasks out (--set tasks=…), or leave --fresh-items out."
        )
    to = to.resolve()  # a study reads relative paths from its own folder
    write_fresh_tasks(to, world(made["template"], made["seed"]), seed=made["seed"], draw_seed=draw_seed)
    keys = dict(zip(("path", "test"), SIDES, strict=True))
    return [
        f"tasks.{name}.{key}={to / 'tasks' / f'{name}.{side}.jsonl'}" for name in named for key, side in keys.items()
    ]
