"""YAML with a line for every value, and dotted overrides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lamdagent.core.errors import ConfigError, nearest
from lamdagent.core.text import without_credentials

Path_ = tuple[str | int, ...]
MERGE = "tag:yaml.org,2002:merge"
MOST_BYTES, MOST_VALUES, DEEPEST, LONGEST_KEY = 1 << 20, 20_000, 30, 200
"""A study file is written by people: beyond this it is an accident, or meant to do harm."""


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
        self.overridden: set[str] = set()
        """The top keys that overrides reached into."""
        self._where: dict[Path_, str] = {}
        self._values = 0
        try:
            if file.stat().st_size > MOST_BYTES:
                raise ConfigError(f"{file}: a study file has at most {MOST_BYTES:,} bytes; this one has more.")
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"{file}: cannot be read ({error.strerror}). Make a study with: lamdagent init --template tiny FOLDER"
            ) from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{file}: not UTF-8 text ({error}).") from error
        self.data = self._parse(text, (), str(file))
        if not isinstance(self.data, dict):
            raise ConfigError(f"{file}:1: a study file is a mapping of keys, such as `study: my-first-search`.")
        for override in overrides:
            self._override(override)

    @classmethod
    def of(cls, file: Path, data: dict[str, Any], overrides: Sequence[str] = ()) -> Document:
        """A document from data that was read before, such as what a journal recorded. Its values have no lines."""
        document = cls.__new__(cls)
        document.file, document.data, document.overridden, document._where = file, data, set(), {}
        document._values = 0
        for override in overrides:
            document._override(override)
        return document

    def where(self, path: Sequence[str | int]) -> str:
        """`file:line` of the value at a path, or of the nearest value around it."""
        for end in range(len(path), -1, -1):
            if (found := self._where.get(tuple(path[:end]))) is not None:
                return found
        return f"{self.file}:1"

    def _parse(self, text: str, path: Path_, source: str) -> Any:
        """The value of a text from `source`: the file, or an override that puts it at `path`."""
        try:
            self._check_depth(text, source)
            loader = _Loader(text)
            node = loader.get_single_node()
            return None if node is None else self._construct(loader, node, path, source)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line if error.problem_mark else 0
            raise ConfigError(f"{self._at(source, line)}: not YAML: {error.problem}.") from error
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position)
            raise ConfigError(f"{self._at(source, line)}: not YAML: {error.reason}.") from error

    def _check_depth(self, text: str, source: str) -> None:
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                line = event.start_mark.line if event.start_mark else 0
                raise ConfigError(f"{self._at(source, line)}: nested deeper than {DEEPEST} levels.")

    def _count(self, where: str, depth: int) -> None:
        """Aliases (`*name`) make much, or endlessly much, of a short text."""
        self._values += 1
        if depth > DEEPEST or self._values > MOST_VALUES:
            raise ConfigError(f"{where}: a value that holds itself, or more than {MOST_VALUES:,} values.")

    def _at(self, source: str, line: int) -> str:
        return f"{source}:{line + 1}" if source == str(self.file) else source

    def _construct(self, loader: _Loader, node: yaml.Node, path: Path_, source: str) -> Any:
        self._where.setdefault(path, where := self._at(source, node.start_mark.line))
        self._count(where, len(path))
        if isinstance(node, yaml.SequenceNode):
            return [self._construct(loader, child, (*path, i), source) for i, child in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            return self._scalar(loader, node, source)
        mapping: dict[str, Any] = {}
        for key, (line, child) in self._pairs(loader, node, path, source).items():
            self._where[(*path, key)] = line
            mapping[key] = self._construct(loader, child, (*path, key), source)
        return mapping

    def _pairs(
        self, loader: _Loader, node: yaml.MappingNode, path: Path_, source: str, depth: int = 0
    ) -> dict[str, tuple[str, yaml.Node]]:
        """Each key with its line and value. A mapping's own keys win over those that `<<` merges in."""
        own: dict[str, tuple[str, yaml.Node]] = {}
        merged: dict[str, tuple[str, yaml.Node]] = {}
        for key_node, child in node.value:
            line = self._at(source, key_node.start_mark.line)
            if key_node.tag == MERGE:
                for mapping in child.value if isinstance(child, yaml.SequenceNode) else [child]:
                    if not isinstance(mapping, yaml.MappingNode):
                        raise ConfigError(f"{line}: << takes a mapping, or a list of them, to merge in.")
                    self._count(line, depth)
                    merged = {**self._pairs(loader, mapping, path, source, depth + 1), **merged}
                continue
            key = str(self._scalar(loader, key_node, source))
            if len(key) > LONGEST_KEY:
                raise ConfigError(f"{line}: {key:.60}…: a key of more than {LONGEST_KEY} characters.")
            if key in own:
                raise ConfigError(f"{line}: {'.'.join(map(str, (*path, key)))} is given twice.")
            own[key] = (line, child)
        return {**merged, **own}

    def _scalar(self, loader: _Loader, node: yaml.Node, source: str) -> Any:
        where, shown = self._at(source, node.start_mark.line), f"{node.value!r:.60}"
        try:
            value = loader.construct_object(node, deep=True)
        except ValueError as error:
            raise ConfigError(f"{where}: {shown}: {error}. If it is meant as text, quote it.") from error
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ConfigError(
                f"{where}: {shown}: whole numbers have at most 64 bits. If it is meant as text, quote it."
            )
        return value

    def _override(self, override: str) -> None:
        self.overridden.add(re.split(r"[.=]", override.removeprefix("-").strip(), maxsplit=1)[0])
        if override.startswith("-"):
            self._remove(override[1:])
            return
        dotted, equals, text = override.partition("=")
        source = f"--set {without_credentials(override):.200}"
        if not equals or not dotted.strip():
            raise ConfigError(f"{source}: expected KEY.KEY=VALUE, such as budget.trials=50.")
        path: Path_ = ()
        holder, left = self.data, dotted.strip().split(".")
        if len(left) > DEEPEST or max(map(len, left)) > LONGEST_KEY:
            raise ConfigError(
                f"{source:.60}…: deeper than {DEEPEST} levels, or a key of more than {LONGEST_KEY} characters."
            )
        while True:
            step, left = _step(holder, left, source)
            path = (*path, step)
            if not left:
                break
            if isinstance(holder, dict) and not isinstance(holder.get(step), dict | list):
                holder[step] = {}
                self._where[path] = source
            holder = holder[step]
        self._forget(path)
        self._where[path] = source
        holder[step] = self._parse(text, path, source)

    def _remove(self, dotted: str) -> None:
        """Take a key out: an override that begins with a minus, such as `-actions.ties`."""
        holder, left = self.data, dotted.split(".")
        while True:
            step, left = _step(holder, left, f"--set -{dotted}")
            if not left:
                break
            holder = holder[step]
        if isinstance(holder, list):
            key = dotted.partition(".")[0]
            raise ConfigError(
                f"--set -{dotted}: no entry of a list can be taken out; give it anew, as --set '{key}=[…]'."
            )
        if step not in holder:
            raise ConfigError(f"--set -{dotted}: there is no {step!r} to take out. {nearest(step, holder)}")
        del holder[step]

    def _forget(self, path: Path_) -> None:
        for known in [p for p in self._where if p[: len(path)] == path]:
            del self._where[known]


def _step(holder: Any, parts: list[str], source: str) -> tuple[Any, list[str]]:
    """The first step into a mapping (a key) or a list (an index, or the `task` of an entry), and the parts left.

    Names may have dots: the longest known one is taken, and a single part where none is known.
    """
    if isinstance(holder, dict):
        known = {key: key for key in holder}
    elif isinstance(holder, list):
        known = {str(e["task"]): i for i, e in enumerate(holder) if isinstance(e, dict) and "task" in e}
        known |= {str(i): i for i in range(len(holder))}
    else:
        raise ConfigError(f"{source}: {parts[0]!r} is asked for inside a single value.")
    for end in range(len(parts), 0, -1):
        if (name := ".".join(parts[:end])) in known:
            return known[name], parts[end:]
    if isinstance(holder, dict):
        return parts[0], parts[1:]
    names = [str(e.get("task")) for e in holder if isinstance(e, dict)]
    raise ConfigError(f"{source}: no entry {parts[0]!r}. {nearest(parts[0], names)}")
