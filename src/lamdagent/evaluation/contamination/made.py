"""Rows that an action made, held against the evaluation before anything trains on them.

The id of a made dataset follows from its action alone, and what is left out of it from the tasks of a study. So its
artifact keeps all rows that were made beside those that stayed, and an artifact that another study made is held against
the tasks again: it is taken only where the same rows are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from lamdagent.core.errors import Contaminated, ContractViolation
from lamdagent.core.protocols import Task
from lamdagent.core.types import ObjectId
from lamdagent.evaluation.contamination.gate import ROWS, SHOWN, Mode, evaluation_items
from lamdagent.evaluation.contamination.overlap import Evaluated, fields_of, scan
from lamdagent.objects.datasets.readers import rows_digest

WHOLE = "whole.jsonl"  # all rows that were made, where some of them were left out


class RowScreen:
    """Holds made rows against every item of every task. The items are loaded and indexed once, when first needed.

    Args:
        mode: what to do with rows that hold items; see `gate.close`.
        leave_out: rows by number that are left out whatever they hold, by the id of the made dataset. So a replay leaves
            out what the study did that it makes again, without its tasks.
    """

    def __init__(
        self, tasks: Sequence[Task], *, mode: Mode, leave_out: Mapping[ObjectId, Sequence[int]] | None = None
    ) -> None:
        self.tasks, self._mode, self._leave_out = tasks, mode, leave_out or {}

    @cached_property
    def index(self) -> Evaluated:
        return Evaluated(evaluation_items(self.tasks))

    def admit(self, object_id: ObjectId, folder: Path, record: MutableMapping[str, Any]) -> dict[str, Any]:
        """Hold the rows in a new dataset's folder against the items, and leave out of it what must be.

        Args:
            record: of the artifact, with its `meta`; the numbers of the rows left out are added.
        Returns:
            The dataset's `meta`.
        Raises:
            Contaminated: rows hold items and may not, or none is left.
            ContractViolation: the action wrote no rows, or others than it said.
        """
        lines = _rows(folder / ROWS, record["meta"])
        left_out, overlapping = self._found(object_id, lines)
        if left_out:
            (folder / ROWS).rename(folder / WHOLE)
            lines = [line for number, line in enumerate(lines) if number not in left_out]
            (folder / ROWS).write_text("".join(lines), encoding="utf-8")
            record["left_out"] = sorted(left_out)
        dropped = {"dropped": len(left_out)} if left_out else {}
        record["meta"] = {**record["meta"], "rows": len(lines), "digest": _digest(lines), **dropped}
        return {**record["meta"], **overlapping}

    def admit_again(self, object_id: ObjectId, folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
        """The `meta` of a dataset that was made before, maybe by another study with other tasks.

        Raises:
            Contaminated: rows hold items and may not, or this study would have left out others.
        """
        digest = _digest(_lines(folder / ROWS))
        before = record.get("left_out", [])
        left_out, overlapping = self._found(object_id, list(_lines(folder / (WHOLE if before else ROWS))))
        if sorted(left_out) != before:
            raise Contaminated(
                f"it was made before under this root with {_some(before)} left out, by a study with other tasks or another "
                f"`contamination:`; for the tasks of this study {_some(sorted(left_out))} must be. Give this study a "
                "`root:` of its own"
            )
        return {**record["meta"], "digest": digest, **overlapping}

    def _found(self, object_id: ObjectId, lines: Sequence[str]) -> tuple[set[int], dict[str, int]]:
        """The rows to leave out by number, and how many overlap and stay."""
        left_out = set(self._leave_out.get(object_id, ()))
        if not self.tasks:
            return left_out, {}
        rows = (() if number in left_out else fields_of(json.loads(line)) for number, line in enumerate(lines))
        overlap = scan(rows, self.index)
        if not overlap.rows or self._mode == "warn":
            return left_out, {"overlapping": len(overlap.rows)} if overlap.rows else {}
        found = "\n".join(overlap.lines("made here")[:SHOWN])
        if self._mode == "fail":
            raise Contaminated(
                f"{found}\nNothing is trained on it. In a study of another name, `contamination: drop` leaves such rows out."
            )
        left_out.update(overlap.rows)
        if len(left_out) == len(lines):
            raise Contaminated(f"{found}\nEvery row holds an evaluation item; nothing is left to train on.")
        return left_out, {}


def _rows(file: Path, meta: Mapping[str, Any]) -> list[str]:
    """The lines of a dataset's file, if it is what every dataset must be."""
    if not file.is_file():
        raise ContractViolation(f"an action that makes a dataset wrote no {file.name} to its workdir")
    lines = [line if line.endswith("\n") else f"{line}\n" for line in _lines(file)]
    for number, line in enumerate(lines):
        try:
            fine = isinstance(json.loads(line), dict)
        except ValueError:
            fine = False
        if not fine:
            raise ContractViolation(f"an action made a dataset whose row {number} is no JSON object: {line[:80]!r}")
    if len(lines) != meta["rows"]:
        raise ContractViolation(f"an action made a dataset of {len(lines)} rows and returned rows: {meta['rows']}")
    return lines


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8", newline="\n") as rows:
        yield from rows


def _digest(lines: Iterable[str]) -> str:
    digest = rows_digest()
    for line in lines:
        digest.update(line.encode())
    made: str = digest.hexdigest()
    return made


def _some(numbers: Sequence[int]) -> str:
    return f"{len(numbers)} rows" if numbers else "no row"
