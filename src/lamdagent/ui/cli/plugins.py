"""Commands of other packages, by entry points in the group `lamdagent.commands`.

None is imported before it is run, so that one which is broken or slow to import harms no other, nor `--help`.
"""

from __future__ import annotations

import sys
from collections import Counter
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from lamdagent.core.errors import UserError
from lamdagent.core.text import printable

GROUP = "lamdagent.commands"


class PluginCommand(TyperCommand):
    """Stands for a command of another package until it is run."""

    def __init__(self, point: EntryPoint) -> None:
        super().__init__(point.name, help=f"Of package {package(point)}.", rich_help_panel="Commands of other packages")
        self._point = point

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return self._load().make_context(info_name, args, parent, **extra)

    def _load(self) -> Any:
        """The command itself.

        Raises:
            UserError: it cannot be imported, or is no command.
        """
        named = f"command {self._point.name!r} of package {package(self._point)} ({self._point.value})"
        try:
            found = self._point.load()
        except Exception as error:  # whatever a package raises while it is imported
            raise UserError(
                f"{named} cannot be loaded: {type(error).__name__}: {error}. Other commands work; "
                f"to be rid of this one: pip uninstall {package(self._point)}"
            ) from error
        if not isinstance(found, typer.Typer):
            if not callable(found):
                raise UserError(f"{named} is a {type(found).__name__}; it must be a function or a typer.Typer")
            found, function = typer.Typer(add_completion=False), found
            found.command(self._point.name)(function)
        return typer.main.get_command(found)


class Commands(TyperGroup):
    """The built-in commands, and after them those of other packages. A command whose name is
    taken is left out with a warning."""

    def list_commands(self, ctx: Any) -> list[str]:
        for line in self._refused.values():
            print(f"warning: {printable(line)}", file=sys.stderr)
        return [*super().list_commands(ctx), *self._plugins]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if (own := super().get_command(ctx, cmd_name)) is not None:
            return own
        if cmd_name in self._refused:
            raise UserError(self._refused[cmd_name])
        return self._plugins.get(cmd_name)

    @cached_property
    def _points(self) -> list[EntryPoint]:
        return sorted(entry_points(group=GROUP), key=lambda point: (point.name, package(point)))

    @cached_property
    def _plugins(self) -> dict[str, PluginCommand]:
        named = Counter(point.name for point in self._points)
        free = [point for point in self._points if named[point.name] == 1 and point.name not in self.commands]
        return {point.name: PluginCommand(point) for point in free}

    @cached_property
    def _refused(self) -> dict[str, str]:
        found = {}
        for name in dict.fromkeys(point.name for point in self._points if point.name not in self._plugins):
            by = ", ".join(package(point) for point in self._points if point.name == name)
            why = "lamdagent has one of that name" if name in self.commands else "several have that name"
            found[name] = f"command {name!r} of package {by} is left out: {why}"
        return found


def package(point: EntryPoint) -> str:
    """The name of the package that an entry point came with."""
    return point.dist.name if point.dist is not None else point.value.partition(".")[0]
