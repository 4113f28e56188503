"""What of the user's own lm-eval task files a task reads, as a hash: an edit gives its scores another id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lamdagent.core.types import content_id
from lamdagent.objects.artifacts import file_hash

IGNORED = ("__pycache__", ".ipynb_checkpoints")
DATA_KEYS = ("data_files", "data_dir")


def task_files_id(name: str, index: Mapping[str, Any], include_path: Path | None) -> str | None:
    """The hash of the task files of the user's that a task, group or tag reads; None where all of it is lm-eval's own.

    These are its YAML files with all that they include, what lies beside them, the code under `include_path`, and local data
    files.

    Args:
        index: lm-eval's entries by name.
        include_path: the folder of the user's own task files.
    """
    import lm_eval.tasks

    shipped = Path(lm_eval.tasks.__file__).resolve().parent
    entries = [index[known] for known in _reached(name, index)]
    chains = [list(_included(Path(e.yaml_path).resolve())) for e in entries if e.yaml_path is not None]
    own = {file for chain in chains for file in chain if not file.is_relative_to(shipped)}
    if not own:
        return None
    beside = {Path(include_path).resolve() if include_path else file.parent for file in own}
    read = own | {file for folder in beside for file in _code(folder)}
    read |= {file for folder in {file.parent for file in own} for file in _beside_task_files(folder)}
    data = {file for entry in entries for file in _data_files(entry.cfg or {})}
    return content_id(
        [sorted([str(_named(file, beside)), file_hash(file)] for file in files) for files in (read, data)]
    )


def first_metric(name: str, index: Mapping[str, Any]) -> str | None:
    """The metric that a task's file, or a group's, names first; None where it names none."""
    from lm_eval.tasks._yaml_loader import load_yaml

    entry = index[name]
    config = load_yaml(entry.yaml_path, resolve_func=False) if entry.yaml_path is not None else entry.cfg or {}
    listed = config.get("metric_list") or config.get("aggregate_metric_list") or []
    return str(listed[0]["metric"]) if listed else None


def _named(file: Path, folders: Iterable[Path]) -> Path:
    """How task files find a file: from their folder, or else by its name."""
    return next((file.relative_to(folder) for folder in folders if file.is_relative_to(folder)), Path(file.name))


def _reached(name: str, index: Mapping[str, Any]) -> list[str]:
    """The names of a task, or of a group or tag and all that is in it."""
    found: list[str] = []
    open_names = [name]
    while open_names:
        if (one := open_names.pop()) in found or one not in index:
            continue
        found.append(one)
        entry = index[one]
        listed = (
            (entry.cfg or {}).get("task")
            if entry.kind.name == "GROUP"
            else entry.tags
            if entry.kind.name == "TAG"
            else ()
        )
        parts = [listed] if isinstance(listed, str) else listed or ()
        open_names += [part if isinstance(part, str) else str(part.get("task", part.get("group"))) for part in parts]
    return found


def _included(file: Path) -> Iterator[Path]:
    """A task file and those that it includes, over and over."""
    from lm_eval.tasks._yaml_loader import load_yaml

    seen, open_files = set[Path](), [file]
    while open_files:
        if (one := open_files.pop()) in seen:
            continue
        seen.add(one)
        yield one
        listed = load_yaml(one, resolve_func=False, recursive=False).get("include") or []
        open_files += [(one.parent / each).resolve() for each in ([listed] if isinstance(listed, str) else listed)]


def _code(folder: Path) -> Iterator[Path]:
    """What task files may import, in the folder and below it."""
    for file in folder.rglob("*.py"):
        if not any(part.startswith(".") or part in IGNORED for part in file.relative_to(folder).parts):
            yield file


def _beside_task_files(folder: Path) -> Iterator[Path]:
    """Examples and whatever else lies in one folder with task files. Other tasks' YAML files change nothing, and below it a
    study may have its runs."""
    for file in folder.iterdir():
        if file.is_file() and not file.name.startswith(".") and file.suffix not in (".yaml", ".pyc"):
            yield file


def _data_files(config: Mapping[str, Any]) -> Iterator[Path]:
    """The local files that a task's dataset_kwargs name."""
    kwargs = config.get("dataset_kwargs") or {}
    open_values: list[Any] = [config.get("dataset_path"), *(kwargs.get(key) for key in DATA_KEYS)]
    while open_values:
        value = open_values.pop()
        if isinstance(value, Mapping):
            open_values += value.values()
        elif isinstance(value, list):
            open_values += value
        elif isinstance(value, str) and (place := Path(value).expanduser()).exists():
            yield from [place] if place.is_file() else (f for f in sorted(place.rglob("*")) if f.is_file())
