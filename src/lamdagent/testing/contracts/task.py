"""The contract of `lamdagent.core.protocols.Task`."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import replace
from pathlib import Path

from lamdagent.core.action_type import Context, ModelLoader
from lamdagent.core.config import NAME
from lamdagent.core.errors import DataError
from lamdagent.core.jobs import Job
from lamdagent.core.protocols import Task
from lamdagent.core.types import SIDES, Object
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.runners.job import JobContext, Toolkit
from lamdagent.testing import toy


class TaskContract:
    """The same items in the same order for every model, each asked once, and a test side that stays apart.

    Scores a point of the toy world; a task that must open weights names a model of its own in `model` and `toolkit`.
    """

    def task(self) -> Task:
        """The task, made anew from the same things each time."""
        raise NotImplementedError

    def model(self) -> Object:
        """A model that the task can score."""
        return toy.point("base", (0.25, 0.5))

    def toolkit(self, folder: Path) -> Toolkit:
        """What scoring is done with; scores are kept under `folder`."""
        return replace(toy.toolkit(), artifacts=LocalArtifacts(folder))

    def context(self, folder: Path) -> Context:
        """What the task is given while a job scores `model`."""
        return JobContext(
            Job(key="base", action=None, objects=(self.model(),)), self.toolkit(folder), lambda progress: None
        )

    def test_its_name_and_ids_can_stand_in_a_journal_and_in_file_names(self) -> None:
        task = self.task()
        assert re.fullmatch(NAME, task.name)
        assert set(task.ids) == set(SIDES)
        assert all(re.fullmatch(r"[\w.\-]+", task.ids[side]) for side in SIDES)

    def test_a_task_made_anew_from_the_same_things_has_the_same_ids(self) -> None:
        assert dict(self.task().ids) == dict(self.task().ids)

    def test_a_sound_task_is_found_so_and_described_without_torch(self) -> None:
        task, had_torch = self.task(), "torch" in sys.modules
        task.check()
        assert len(task.about()) > 2
        assert task.to_fetch() is None or len(str(task.to_fetch())) > 2
        assert ("torch" in sys.modules) == had_torch, "the driver never loads torch"

    def test_each_side_has_as_many_items_as_it_says(self) -> None:
        task = self.task()
        sizes = task.sizes()
        assert sizes["validation"] > 0
        assert task.has_test == (sizes["test"] > 0)
        for side in SIDES:
            documents = list(task.documents(side))
            assert [place for place, _, _ in documents] == list(range(len(documents)))
            assert len(documents) >= sizes[side]
            assert all(isinstance(text, str) for _, *texts in documents for text in texts)

    def test_items_keep_their_order(self) -> None:
        for side in SIDES:
            task = self.task()
            assert list(task.documents(side)) == list(task.documents(side)) == list(self.task().documents(side))

    def test_no_item_of_the_sealed_test_is_one_of_validation(self) -> None:
        shown, sealed = ({texts[1:] for texts in self.task().documents(side)} for side in SIDES)
        assert not shown & sealed

    def test_each_item_gives_one_finite_value(self, tmp_path: Path) -> None:
        task, context = self.task(), self.context(tmp_path)
        for side in (side for side in SIDES if task.sizes()[side]):
            values = task.values(self.model(), side, context)
            assert len(values) == task.sizes()[side]
            assert all(isinstance(value, float) and math.isfinite(value) for value in values)

    def test_fewer_items_are_the_first_ones_and_more_than_there_are_is_all(self, tmp_path: Path) -> None:
        task = self.task()
        few = task.values(self.model(), "validation", self.context(tmp_path / "few"), 2)
        whole = task.values(self.model(), "validation", self.context(tmp_path / "whole"))
        beyond = task.values(self.model(), "validation", self.context(tmp_path / "beyond"), len(whole) + 10)
        assert list(few) == list(whole)[:2]
        assert list(beyond) == list(whole)

    def test_the_same_model_gives_the_same_values_again(self, tmp_path: Path) -> None:
        first, second = (
            self.task().values(self.model(), "validation", self.context(tmp_path / run), 4) for run in ("one", "two")
        )
        assert list(first) == list(second)

    def test_what_was_asked_before_is_not_asked_again(self, tmp_path: Path) -> None:
        asked = self.task().values(self.model(), "validation", self.context(tmp_path), 4)
        task, found = self.task(), _WithoutModels(self.context(tmp_path))
        assert list(task.values(self.model(), "validation", found, 4)) == list(asked)
        assert list(task.values(self.model(), "validation", found, 2)) == list(asked)[:2]

    def test_a_test_side_that_is_not_there_is_an_error_of_the_data(self, tmp_path: Path) -> None:
        task = self.task()
        if task.has_test:
            return
        try:
            task.values(self.model(), "test", self.context(tmp_path))
        except DataError:
            return
        raise AssertionError("it scored a side that it does not have")


class _WithoutModels:
    """A context that opens no weights: what was asked before must be enough."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.workdir = context.workdir
        self.object, self.folder, self.weights = context.object, context.folder, context.weights
        self.keep, self.asking = context.keep, context.asking
        self.progress, self.trained = context.progress, context.trained

    @property
    def models(self) -> ModelLoader:
        raise AssertionError("it opened the model again, for items that were asked before")
