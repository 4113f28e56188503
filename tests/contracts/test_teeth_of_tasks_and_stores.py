"""The contracts of tasks and of artifact stores fail an implementation that breaks them."""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.errors import ContractViolation
from lamdagent.core.types import Object, Score, Split, content_id
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.testing import toy
from lamdagent.testing.contracts import ArtifactStoreContract, TaskContract

MADE = itertools.count()


class Toy(toy.ToyTask):
    def __init__(self) -> None:
        super().__init__("near-east", (1.5, 0.5))


class Renamed(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.name = "near / east"


class Unsteady(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.ids: Mapping[Split, str] = {"validation": content_id(next(MADE)), "test": "t"}


class Boasting(Toy):
    def sizes(self) -> dict[Split, int]:
        return {"validation": 1000, "test": 1000}


class Shuffled(Toy):
    def documents(self, split: Split) -> Iterator[tuple[int, str, str]]:
        found = [text for _, *text in super().documents(split)]
        random.Random(next(MADE)).shuffle(found)
        yield from ((i, prompt, answer) for i, (prompt, answer) in enumerate(found))


class Unsealed(Toy):
    def documents(self, split: Split) -> Iterator[tuple[int, str, str]]:
        return super().documents("validation")


class Infinite(Toy):
    def values(self, model: Object, split: Split, ctx: Any, n: int | None = None) -> Sequence[float]:
        return [float("nan"), *super().values(model, split, ctx, n)[1:]]


class LastFirst(Toy):
    def values(self, model: Object, split: Split, ctx: Any, n: int | None = None) -> Sequence[float]:
        return [*range(50)][-n if n else 0 :]


class Moody(Toy):
    def values(self, model: Object, split: Split, ctx: Any, n: int | None = None) -> Sequence[float]:
        return [random.random() for _ in super().values(model, split, ctx, n)]


class Forgetful(Toy):
    def values(self, model: Object, split: Split, ctx: Any, n: int | None = None) -> Sequence[float]:
        with contextlib.suppress(ContractViolation):  # the toy world has no weights
            ctx.models.load(model.id, ctx.weights(model))
        return super().values(model, split, ctx, n)


class Unbounded(Toy):
    has_test = False

    def sizes(self) -> dict[Split, int]:
        return {"validation": 50, "test": 0}


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Renamed, "test_its_name_and_ids_can_stand_in_a_journal_and_in_file_names"),
        (Unsteady, "test_a_task_made_anew_from_the_same_things_has_the_same_ids"),
        (Boasting, "test_each_side_has_as_many_items_as_it_says"),
        (Shuffled, "test_items_keep_their_order"),
        (Unsealed, "test_no_item_of_the_sealed_test_is_one_of_validation"),
        (Infinite, "test_each_item_gives_one_finite_value"),
        (Boasting, "test_each_item_gives_one_finite_value"),
        (LastFirst, "test_fewer_items_are_the_first_ones_and_more_than_there_are_is_all"),
        (Moody, "test_the_same_model_gives_the_same_values_again"),
        (Forgetful, "test_what_was_asked_before_is_not_asked_again"),
        (Unbounded, "test_a_test_side_that_is_not_there_is_an_error_of_the_data"),
    ],
)
def test_a_broken_task_fails_its_contract(broken: type[Toy], test: str, tmp_path: Path) -> None:
    class Broken(TaskContract):
        def task(self) -> Toy:
            return broken()

    method = getattr(Broken(), test)
    with pytest.raises(AssertionError):
        method(tmp_path) if "tmp_path" in method.__code__.co_varnames else method()


class InPlace(LocalArtifacts):
    """Writes where it is read from."""

    @contextlib.contextmanager
    def write(self, object_id: str, record: dict[str, Any]) -> Iterator[Path]:
        self.open(object_id).mkdir(parents=True, exist_ok=True)
        (self.open(object_id) / "object.json").write_text('{"files": {}}')
        yield self.open(object_id)


class Stale(LocalArtifacts):
    """Writes what it was told of an object before the block."""

    @contextlib.contextmanager
    def write(self, object_id: str, record: dict[str, Any]) -> Iterator[Path]:
        with super().write(object_id, dict(record)) as folder:
            yield folder


class Overwriting(LocalArtifacts):
    @contextlib.contextmanager
    def write(self, object_id: str, record: dict[str, Any]) -> Iterator[Path]:
        with super().write(object_id, record) as folder:
            yield folder
            self.remove(object_id)


class Keeping(LocalArtifacts):
    def remove(self, object_id: str, *, scores: bool = True) -> None:
        """It stays."""


class Thorough(LocalArtifacts):
    def remove(self, object_id: str, *, scores: bool = True) -> None:
        super().remove(object_id)


class Blind(LocalArtifacts):
    def damaged(self, object_id: str) -> list[str]:
        return []


class Padding(LocalArtifacts):
    def values(self, object_id: str, score: Score) -> list[float] | None:
        return [0.0] * score.n


class Untidy(LocalArtifacts):
    def sweep(self) -> None:
        """It leaves all as it is."""


class Zealous(LocalArtifacts):
    """Sweeps whatever is half written, whoever writes it."""

    def sweep(self) -> None:
        for partial in self.root.glob(".partial-*"):
            shutil.rmtree(partial)


class Broken(ArtifactStoreContract):
    def __init__(self, store: type[LocalArtifacts]) -> None:
        self.broken = store

    def store(self, folder: Path) -> LocalArtifacts:
        return self.broken(folder)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (InPlace, "test_an_artifact_is_there_when_its_block_ends_and_not_before"),
        (InPlace, "test_a_block_that_fails_leaves_nothing"),
        (Stale, "test_its_record_holds_what_the_block_filled_in"),
        (Overwriting, "test_two_who_write_the_same_do_not_disturb_each_other_and_the_first_stays"),
        (Keeping, "test_what_was_removed_is_gone_and_can_be_written_again"),
        (Thorough, "test_what_is_made_again_has_what_its_items_gave"),
        (Blind, "test_damage_is_found_and_scores_added_later_are_none"),
        (Padding, "test_the_values_behind_a_score_are_those_that_were_kept_or_none"),
        (InPlace, "test_what_a_killed_writer_left_is_no_artifact_and_is_swept_away"),
        (Untidy, "test_what_a_killed_writer_left_is_no_artifact_and_is_swept_away"),
        (Zealous, "test_a_sweep_leaves_those_who_write_alone"),
        (Zealous, "test_a_sweep_never_deletes_another_hosts_work"),
    ],
)
def test_a_broken_store_fails_its_contract(broken: type[LocalArtifacts], test: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, FileNotFoundError)):
        getattr(Broken(broken), test)(tmp_path / "store")
