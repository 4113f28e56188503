"""YAML with a line for every value, and dotted overrides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lamdagent.errors import ConfigError, nearest

Path_ = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads `1e-5` as text; people mean the number."""


# add_implicit_resolver copies the parent's table first, so other loaders are left as they are.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


class Document:
    """A study file as plain data, with where each value stands.

    Raises:
        ConfigError: no such file, not YAML, a key given twice, or an override that fits nowhere.
    """

    def __init__(self, file: Path, overrides: Sequence[str] = ()) -> None:
        self.file = file
        self._where: dict[Path_, str] = {}
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"{file}: cannot be read ({error.strerror}). Make a study with: lamdagent init --template tiny FOLDER"
            ) from error
        self.data = self._parse(text, str(file))
        if not isinstance(self.data, dict):
            raise ConfigError(f"{file}:1: a study file is a mapping of keys, such as `study: my-first-search`.")
        for override in overrides:
            self._override(override)

    @classmethod
    def of(cls, file: Path, data: dict[str, Any]) -> Document:
        """A document from data that was read before, such as what a journal recorded."""
        document = cls.__new__(cls)
        document.file, document.data, document._where = file, data, {}
        return document

    def where(self, path: Sequence[str | int]) -> str:
        """`file:line` of the value at a path, or of the nearest value around it."""
        for end in range(len(path), -1, -1):
            if (found := self._where.get(tuple(path[:end]))) is not None:
                return found
        return f"{self.file}:1"

    def _parse(self, text: str, source: str) -> Any:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            return None if node is None else self._construct(loader, node, (), source)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{source}:{line}: not YAML: {error.problem}.") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"{source}: not YAML: {error}.") from error
        finally:
            loader.dispose()

    def _construct(self, loader: _Loader, node: yaml.Node, path: Path_, source: str) -> Any:
        here = f"{source}:{node.start_mark.line + 1}" if source == str(self.file) else source
        self._where.setdefault(path, here)
        if isinstance(node, yaml.SequenceNode):
            return [self._construct(loader, child, (*path, i), source) for i, child in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            return loader.construct_object(node, deep=True)
        loader.flatten_mapping(node)
        mapping: dict[str, Any] = {}
        for key_node, child in node.value:
            key = str(loader.construct_object(key_node, deep=True))
            line = f"{source}:{key_node.start_mark.line + 1}" if source == str(self.file) else source
            if key in mapping:
                raise ConfigError(f"{line}: {'.'.join(map(str, (*path, key)))} is given twice.")
            self._where[(*path, key)] = line
            mapping[key] = self._construct(loader, child, (*path, key), source)
        return mapping

    def _override(self, override: str) -> None:
        dotted, equals, text = override.partition("=")
        source = f"--set {override}"
        if not equals or not dotted.strip():
            raise ConfigError(f"{source}: expected KEY.KEY=VALUE, such as budget.trials=50.")
        path: Path_ = ()
        holder, keys = self.data, dotted.strip().split(".")
        for place, key in enumerate(keys):
            last = place == len(keys) - 1
            step = _step(holder, key, source)
            path = (*path, step)
            if last:
                self._forget(path)
                value = self._construct_value(text, path, source)
                if isinstance(holder, list):
                    holder[int(step)] = value
                else:
                    holder[step] = value
            else:
                if isinstance(holder, dict) and not isinstance(holder.get(key), dict | list):
                    holder[key] = {}
                    self._where[path] = source
                holder = holder[step]

    def _construct_value(self, text: str, path: Path_, source: str) -> Any:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            self._where[path] = source
            return None if node is None else self._construct(loader, node, path, source)
        except yaml.YAMLError as error:
            raise ConfigError(f"{source}: the value is not YAML: {error}.") from error
        finally:
            loader.dispose()

    def _forget(self, path: Path_) -> None:
        for known in [p for p in self._where if p[: len(path)] == path]:
            del self._where[known]


def _step(holder: Any, key: str, source: str) -> str | int:
    """A key of a mapping; in a list, an index or the `task` of an entry."""
    if isinstance(holder, dict):
        return key
    if isinstance(holder, list):
        named = {str(e.get("task")): i for i, e in enumerate(holder) if isinstance(e, dict)}
        if key.isdigit() and int(key) < len(holder):
            return int(key)
        if key in named:
            return named[key]
        raise ConfigError(f"{source}: no entry {key!r}. {nearest(key, named)}")
    raise ConfigError(f"{source}: {key!r} is asked for inside a single value.")
