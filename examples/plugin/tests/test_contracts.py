"""Each plug-in passes the contract of its family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from lamdagent_example.best_so_far import BestSoFar
from lamdagent_example.csv_lines import CsvLines
from lamdagent_example.elsewhere import Elsewhere
from lamdagent_example.gentle import Gentle
from lamdagent_example.in_order import InOrder
from lamdagent_example.likelihood import Likelihood
from lamdagent_example.rounding import Rounding

from lamdagent.core.types import Object, Split
from lamdagent.objects.models import Models
from lamdagent.runners.job import Toolkit
from lamdagent.study.templates.tiny.model import make_model, make_tokenizer
from lamdagent.testing import toy
from lamdagent.testing.contracts import (
    ActionTypeContract,
    ArtifactStoreContract,
    MemoryContract,
    ObserverContract,
    PolicyContract,
    RunnerContract,
    TaskContract,
)


class TestRounding(ActionTypeContract):
    def action_type(self) -> Rounding:
        return Rounding()

    def inputs(self, bits: int) -> Mapping[str, Sequence[Object]]:
        model = Object(id="a", kind="model", name="a", made_by="a", meta={"root": "base", "bits": 8})
        meta = {"action": "rounding", "values": {"bits": bits}}
        return {"model": [model], "hyperparameters": [Object(id="s", kind="hyperparameters", name="s", meta=meta)]}

    def admitted(self) -> Sequence[Mapping[str, Sequence[Object]]]:
        return [self.inputs(bits=4)]

    def refused(self) -> Sequence[Mapping[str, Sequence[Object]]]:
        return [self.inputs(bits=8)]


class TestInOrder(PolicyContract):
    def policy(self) -> InOrder:
        return InOrder()


class TestBestSoFar(MemoryContract):
    def memory(self) -> BestSoFar:
        return BestSoFar()


class TestLikelihood(TaskContract):
    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        (tmp_path / "greetings.txt").write_text("good morning\nhow are you\nwelcome\n")
        (tmp_path / "farewells.txt").write_text("good night\nso long\n")
        tokenizer = make_tokenizer()
        make_model(tokenizer, width=16).save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")

    def task(self) -> Likelihood:
        files: dict[Split, Path | None] = {
            "validation": self.folder / "greetings.txt",
            "test": self.folder / "farewells.txt",
        }
        return Likelihood("greetings", files)

    def model(self) -> Object:
        return Object(id="base", kind="model", name="base", uri=str(self.folder / "model"))

    def toolkit(self, folder: Path) -> Toolkit:
        return replace(super().toolkit(folder), models=Models(device="cpu"))


class TestGentle(RunnerContract):
    stops_running = False

    def runner(self, folder: Path, *, capacity: int = 1) -> Gentle:
        return Gentle(toy.toolkit(), capacity=capacity, niceness=0)


class TestElsewhere(ArtifactStoreContract):
    def store(self, folder: Path) -> Elsewhere:
        return Elsewhere(folder)


class TestCsvLines(ObserverContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def observer(self) -> CsvLines:
        return CsvLines(self.folder / "trials.csv")
