"""Read rows, one at a time, from a local file, a folder, or a dataset of the Hugging Face hub.

`split` follows the hub's slicing for local files too: `train[:300]`, `train[300:400]`, `train[10%:]`.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamdagent.core.errors import DataError
from lamdagent.core.text import parse_json, told
from lamdagent.objects.reach import only_what_is_here

LOCAL = (".jsonl", ".json", ".csv", ".parquet")
SLICE = re.compile(r"^(?P<split>[\w.\-]+)(?:\[(?P<start>\d+%?)?:(?P<stop>\d+%?)?\])?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where rows come from. `path` is a local file with one of the endings in LOCAL, or the id of a hub dataset."""

    path: str
    folder: Path
    name: str | None = None
    split: str = "train"
    revision: str | None = None

    @property
    def file(self) -> Path | None:
        """The local file, or None for a hub dataset."""
        local = self.folder / Path(self.path).expanduser()
        return local if local.exists() or local.suffix in LOCAL else None


def rows_digest() -> Any:
    """What a dataset's id is the digest of, line by line as they are kept."""
    return hashlib.blake2b(digest_size=10)


def read_rows(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row with where it stands (`file:line`, or `file row n`).

    Raises:
        DataError: the file is missing, of another kind, holds something that is no row, or holds no rows.
    """
    rows = _from_hub(source) if source.file is None else _sliced(_from_file(source.file), source)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{source.file or source.path}: no rows in split {source.split!r}.")
    return itertools.chain([first], rows)


def _from_file(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if not file.is_file():
        raise DataError(f"{file}: no such file.")
    if file.suffix not in LOCAL:
        raise DataError(f"{file}: expected a file ending in {', '.join(LOCAL)}.")
    try:
        yield from {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".parquet": _parquet}[file.suffix](file)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read as UTF-8 text ({error}).") from error


def _jsonl(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    row = parse_json(line)
                except ValueError as error:
                    raise DataError(f"{file}:{number}: not JSON ({error}).") from error
                yield f"{file}:{number}", _mapping(row, f"{file}:{number}")


def _json(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        rows = parse_json(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{file}: not JSON ({error}). One object a line is .jsonl.") from error
    if not isinstance(rows, list):
        raise DataError(f"{file}: expected a list of objects.")
    for number, row in enumerate(rows):
        yield f"{file} row {number}", _mapping(row, f"{file} row {number}")


def _csv(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines)):
            if None in row or None in row.values():
                raise DataError(f"{file} row {number}: has more or fewer cells than the header.")
            yield f"{file} row {number}", dict(row)


def _parquet(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow.parquet
    from pyarrow.lib import ArrowException

    try:
        batches = pyarrow.parquet.ParquetFile(file).iter_batches()
        rows = (row for batch in batches for row in batch.to_pylist())
        for number, row in enumerate(rows):
            yield f"{file} row {number}", row
    except (ArrowException, OSError) as error:
        raise DataError(f"{file}: not a parquet file ({error}).") from error


def _from_hub(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    from datasets import load_dataset

    unreached = only_what_is_here()
    try:
        rows = load_dataset(source.path, source.name, split=source.split, revision=source.revision)
    except Exception as error:  # its clients raise errors of many libraries, and a dataset may bring code
        why = f"; {unreached}" if unreached else ""
        local = f"; {source.folder / source.path} is no local file either"
        raise DataError(
            f"dataset {source.path!r} cannot be loaded from the hub ({told(error)}){why}{local}."
        ) from error
    for number, row in enumerate(rows):
        yield f"{source.path} row {number}", dict(row)


def _sliced(rows: Iterator[tuple[str, dict[str, Any]]], source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    match = SLICE.match(source.split)
    if match is None:
        raise DataError(f"split {source.split!r} is not of the form train or train[10:20] or train[10%:].")
    start, stop = match["start"], match["stop"]
    if "%" in f"{start}{stop}":
        listed = list(rows)
        return iter(listed[_place(start, len(listed)) : _place(stop, len(listed))])
    return itertools.islice(rows, _place(start, 0) or 0, _place(stop, 0))


def _place(mark: str | None, total: int) -> int | None:
    if mark is None:
        return None
    return round(total * int(mark[:-1]) / 100) if mark.endswith("%") else int(mark)


def _mapping(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object with named columns, found {type(row).__name__}.")
    return row
