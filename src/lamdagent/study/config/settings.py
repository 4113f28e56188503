"""Hyperparameter settings of actions: written in place, or once under `settings` and taken by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lamdagent.core.config import Config
from lamdagent.core.errors import ConfigError, nearest
from lamdagent.core.settings import Settings
from lamdagent.study.config.yaml import Document, Path_

KEY = "hyperparameters"


def settings_of(config: Any) -> Mapping[str, Config]:
    """An action's own settings by name; none where its options have no `hyperparameters`."""
    found: Mapping[str, Config] | Settings = getattr(config, KEY, {})
    return found.named if isinstance(found, Settings) else found


def in_place(
    type: str, options: Any, shared: Mapping[str, Any], document: Document
) -> tuple[Any, Mapping[Path_, Path_]]:
    """An action's options with the settings that it names written out, as if they stood there; and where they do stand.

    Raises:
        ConfigError: a name that no shared setting has, or that is given twice.
    """
    options = {} if options is None else options
    named = options.get(KEY) if isinstance(options, dict) else None
    if not isinstance(named, list):
        return options, {}
    path = ("actions", type, KEY)
    settings: dict[str, Any] = {}
    for name, setting in _entries(named, path, shared, document):
        if name in settings:
            raise ConfigError(f"{document.where(path)}: {'.'.join(path)}: setting {name!r} is given twice.")
        settings[name] = setting
    elsewhere: dict[Path_, Path_] = {(*path, name): ("settings", name) for name in named if isinstance(name, str)}
    return {**options, KEY: settings}, elsewhere


def refuse_untaken(actions: Mapping[str, Any], shared: Mapping[str, Any], document: Document) -> None:
    """Nothing where some action takes each shared setting. One that none takes could be checked by no action's keys.

    Raises:
        ConfigError: one is left over.
    """
    if (
        "actions" in document.overridden
    ):  # whoever takes an action out by an override need not take its settings out too
        return
    lists = (options[KEY] for options in actions.values() if isinstance(options, dict) and KEY in options)
    taken = {name for named in lists if isinstance(named, list) for name in named if isinstance(name, str)}
    lines = [
        f"{document.where(('settings', name))}: settings.{name}: no action takes it. Name it in the `{KEY}: […]` of an "
        "action, or remove it."
        for name in shared
        if name not in taken
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def _entries(named: Sequence[Any], path: Path_, shared: Mapping[str, Any], document: Document) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for i, entry in enumerate(named):
        where = f"{document.where((*path, i))}: {'.'.join(map(str, path))}"
        if isinstance(entry, dict):
            found += entry.items()
        elif not isinstance(entry, str):
            raise ConfigError(f"{where}: expected names of settings, or mappings of some (given: {entry!r:.60})")
        elif entry not in shared:
            raise ConfigError(f"{where}: no setting {entry!r} under settings. {nearest(entry, shared)}")
        else:
            found.append((entry, shared[entry]))
    return found
