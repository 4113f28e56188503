"""The leakage gate: planted leaks stop a study, are left out, or are said; clean sets pass."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.errors import DataError
from lamdagent.core.types import Object, Split
from lamdagent.evaluation.contamination import gate
from lamdagent.evaluation.contamination.overlap import Evaluated
from lamdagent.objects.artifacts import LocalArtifacts

ITEMS = {"validation": [("what is two and two", "four")], "test": [("name the river of besi", "daso")]}


class Quiz:
    name, ids = "quiz", {"validation": "v", "test": "t"}

    def documents(self, split: Split) -> Iterator[tuple[int, str, str]]:
        yield from ((i, prompt, answer) for i, (prompt, answer) in enumerate(ITEMS[split]))


def put(store: LocalArtifacts, name: str, rows: list[dict[str, str]]) -> Object:
    obj = Object(id=f"id-of-{name}", kind="dataset", name=name, uri=name, meta={"rows": len(rows), "format": "text"})
    with store.write(obj.id, {"id": obj.id}) as folder:
        (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return obj


def found(tmp_path: Path, rows: list[dict[str, str]]) -> tuple[LocalArtifacts, Object, dict[str, Any]]:
    store = LocalArtifacts(tmp_path)
    obj, quiz = put(store, "chat", rows), Quiz()
    return store, obj, gate.overlaps({"chat": obj.id}, Evaluated(gate.evaluation_items([quiz])), store)  # type: ignore[list-item]


CLEAN = [{"prompt": f"say {word}", "completion": word} for word in ("one", "two", "three")]
LEAK = {"prompt": "Name the RIVER of Besi?", "completion": "daso"}


def test_a_clean_set_passes(tmp_path: Path) -> None:
    store, obj, overlaps = found(tmp_path, CLEAN)
    assert overlaps == {}
    assert gate.close(overlaps, "fail", [obj], store) == (obj,)


def test_a_planted_test_item_stops_the_study_and_is_shown(tmp_path: Path) -> None:
    store, obj, overlaps = found(tmp_path, [*CLEAN, LEAK])
    with pytest.raises(DataError, match=r"dataset 'chat' overlaps task 'quiz' \(test\): 1 item in 1 row, e.g. row 3"):
        gate.close(overlaps, "fail", [obj], store)


def test_dropping_leaves_exactly_the_overlapping_rows_out(tmp_path: Path) -> None:
    store, obj, overlaps = found(tmp_path, [CLEAN[0], LEAK, *CLEAN[1:]])
    (kept,) = gate.close(overlaps, "drop", [obj], store)
    rows = [json.loads(line) for line in (store.open(kept.id) / "data.jsonl").read_text().splitlines()]
    assert rows == CLEAN
    assert kept.id != obj.id
    assert {k: kept.meta[k] for k in ("rows", "dropped", "whole")} == {"rows": 3, "dropped": 1, "whole": obj.id}


def test_warning_keeps_the_rows_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, obj, overlaps = found(tmp_path, [LEAK])
    with caplog.at_level(logging.WARNING):
        assert gate.close(overlaps, "warn", [obj], store) == (obj,)
    assert "overlaps task 'quiz'" in caplog.text


def test_a_set_of_nothing_but_leaks_cannot_be_dropped_empty(tmp_path: Path) -> None:
    store, obj, overlaps = found(tmp_path, [LEAK])
    with pytest.raises(DataError, match="nothing is left to train on"):
        gate.close(overlaps, "drop", [obj], store)
