"""What is not on this machine is told soon and in words, whether the hub is out of reach or answers oddly."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.errors import DataError
from lamdagent.evaluation.tasks.item_templates import errors_of
from lamdagent.objects import reach
from lamdagent.objects.datasets.readers import Source, read_rows
from lamdagent.objects.models.hub import may_be_hub_id, resolve
from lamdagent.study.config import load_study
from lamdagent.study.initial_pool import load_pool, to_fetch

STUDY = """
study: s
models: {base: {path: models/a}}
datasets: {d: {path: d.jsonl}}
actions: {sft: {hyperparameters: {plain: {}}}}
tasks: [{task: own, path: d.jsonl}]
"""


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that answers a knock, whatever it says then."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(reach, "_LOOKED", [True])


def test_a_knock_tells_who_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "getproxies", dict)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert reach._answers(f"http://127.0.0.1:{port}")
    began = time.monotonic()
    assert not reach._answers(f"http://127.0.0.1:{port}")
    assert not reach._answers("https://nothing.invalid")
    assert not reach._answers("no address")
    assert time.monotonic() - began < 2 * reach.PROBE_S
    monkeypatch.setattr(reach, "getproxies", lambda: {"https": "http://proxy"})
    assert reach._answers("https://nothing.invalid")


def test_where_the_hub_is_out_of_reach_its_clients_try_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(reach, "_LOOKED", [])
    monkeypatch.setattr(reach, "getproxies", dict)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert reach.only_what_is_here() == "the hub cannot be reached from here, so nothing is fetched"
    assert constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("error", [RuntimeError("no name"), OSError("x"), ValueError("y"), KeyError("z")])
@pytest.mark.usefixtures("online")
def test_whatever_the_hub_raises_is_told_with_the_place_on_disk(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail)
    (tmp_path / "models" / "ab").mkdir(parents=True)
    with pytest.raises(DataError) as told:
        resolve("models/a", None, place=tmp_path / "models" / "a")
    assert f"{tmp_path}/models/a: no such file or folder (did you mean '{tmp_path}/models/ab'?)" in str(told.value)
    assert f"the hub gives no such model ({type(error).__name__}" in str(told.value)
    monkeypatch.setattr("datasets.load_dataset", fail)
    with pytest.raises(DataError, match=r"'data/x' cannot be loaded from the hub .*/data/x is no local file either"):
        list(read_rows(Source(path="data/x", folder=tmp_path)))


def test_offline_a_model_that_is_nowhere_is_told_with_both_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match=r"models/a: no such file or folder; HF_HUB_OFFLINE is set.*cache has no model"):
        resolve("models/a", None, place=tmp_path / "models" / "a")


def test_what_can_be_no_hub_id_is_looked_for_on_disk_only(tmp_path: Path) -> None:
    assert [p for p in ("gpt2", "org/name-1.0_x") if not may_be_hub_id(p)] == []
    assert [
        p for p in ("a/b/c", "a b", "../x", "./x", "/x", "~/x", "a/", "", "a--b", "x" * 300, "ü/x") if may_be_hub_id(p)
    ] == []
    (tmp_path / "d.jsonl").write_text(json.dumps({"prompt": "a", "completion": "b", "answer": "b"}))
    (tmp_path / "study.yaml").write_text(STUDY)
    study = load_study(tmp_path / "study.yaml", ["models.base.path=models/x/a"])
    with pytest.raises(DataError, match=r"models/x/a: no such folder"):
        load_pool(study, {}, offline=True)
    (line,) = to_fetch(load_study(tmp_path / "study.yaml", []), [])
    assert line == f"model models/a ({tmp_path}/models/a: no such file or folder)"


def test_data_of_a_task_that_cannot_be_had_names_the_task_and_why() -> None:
    with (
        pytest.raises(DataError, match=r"task gsm8k: ConnectionError: no way \(the hub is out of reach\)"),
        errors_of("gsm8k", "the hub is out of reach"),
    ):
        raise ConnectionError("no way")
