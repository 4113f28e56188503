from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.errors import UserError
from lamdagent.study.templates import WORLD_FILE, fresh_items
from lamdagent.study.templates.tiny import TASK_ROWS, write_data, write_fresh_tasks
from lamdagent.study.templates.tiny.more import MORE
from lamdagent.study.templates.tiny.skills import SKILLS, QAPair, atlas
from lamdagent.study.templates.tiny.worlds import TINY

DATA = TINY.data

TASKS = [f"{skill}.{split}" for skill in SKILLS for split in ("validation", "test")]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[QAPair]]:
    folder = tmp_path_factory.mktemp("world")
    return folder, write_data(folder, seed=3)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_world_holds_the_named_files_and_no_others(world: tuple[Path, list[QAPair]]) -> None:
    folder, _ = world
    assert sorted(path.stem for path in (folder / "data").iterdir()) == sorted(DATA)
    assert sorted(path.stem for path in (folder / "tasks").iterdir()) == sorted(TASKS)


def test_no_prompt_occurs_twice_in_tasks_training_sets_and_pretraining(world: tuple[Path, list[QAPair]]) -> None:
    folder, pretraining = world
    files = [*(folder / "data").iterdir(), *(folder / "tasks").iterdir()]
    prompts = Counter(row["prompt"] for path in files for row in rows(path))
    prompts.update(item.prompt for item in pretraining)
    assert max(prompts.values()) == 1


def test_fresh_items_are_none_of_the_world_and_others_for_every_draw(
    world: tuple[Path, list[QAPair]], tmp_path: Path
) -> None:
    folder, pretraining = world
    known = {row["prompt"] for part in ("data", "tasks") for path in (folder / part).iterdir() for row in rows(path)}
    known |= {item.prompt for item in pretraining}
    for place, draw in (("a", 0), ("b", 0), ("c", 1)):
        write_fresh_tasks(tmp_path / place, seed=3, draw_seed=draw)
    a, b, c = ({path.name: path.read_bytes() for path in (tmp_path / p / "tasks").iterdir()} for p in "abc")
    assert sorted(a) == sorted(path.name for path in (folder / "tasks").iterdir())
    assert a == b and not any(a[name] == c[name] for name in a)
    drawn = [row["prompt"] for path in (tmp_path / "a" / "tasks").iterdir() for row in rows(path)]
    assert len(set(drawn)) == len(drawn) == len(TASKS) * TASK_ROWS
    assert not known & set(drawn)


def test_items_are_drawn_anew_for_tasks_of_the_world_and_refused_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / WORLD_FILE).write_text('{"template": "tiny", "seed": 3}')
    own, to = [("sort", "tasks/sort.validation.jsonl")], tmp_path / "drawn"
    assert fresh_items(Path(), own, Path("drawn"), 1) == [
        f"tasks.sort.path={to}/tasks/sort.validation.jsonl",
        f"tasks.sort.test={to}/tasks/sort.test.jsonl",
    ]
    with pytest.raises(UserError, match="mine does not"):
        fresh_items(tmp_path, [*own, ("mine", "mine.jsonl")], to, 1)
    with pytest.raises(UserError, match="Leave --fresh-items out"):
        fresh_items(tmp_path / "elsewhere", own, to, 1)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    world: tuple[Path, list[QAPair]], tmp_path: Path
) -> None:
    folder, pretraining = world
    assert write_data(tmp_path / "again", seed=3) == pretraining
    assert write_data(tmp_path / "other", seed=4) != pretraining
    for path in folder.rglob("*.jsonl"):
        name = path.relative_to(folder)
        assert (tmp_path / "again" / name).read_bytes() == path.read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != path.read_bytes()


@pytest.mark.parametrize("name", DATA)
def test_a_training_set_has_its_rows_of_short_prompts_and_completions(
    world: tuple[Path, list[QAPair]], name: str
) -> None:
    data = rows(world[0] / "data" / f"{name}.jsonl")
    assert 800 <= len(data) == sum(part.rows for part in DATA[name]) <= 1600
    for row in data:
        assert list(row) == ["prompt", "completion"]
        assert 0 < len(row["prompt"]) <= 24
        assert 0 < len(row["completion"]) <= 16


@pytest.mark.parametrize("name", TASKS)
def test_a_task_has_its_rows_of_short_prompts_and_answers(world: tuple[Path, list[QAPair]], name: str) -> None:
    task = rows(world[0] / "tasks" / f"{name}.jsonl")
    assert len(task) == TASK_ROWS
    for row in task:
        assert 0 < len(row["prompt"]) <= 24
        if "choices" in row:
            assert 0 <= row["answer"] < len(set(row["choices"])) == len(row["choices"])
        else:
            assert 0 < len(row["answer"]) <= 16


def test_every_place_among_the_choices_holds_the_answer_about_equally_often(world: tuple[Path, list[QAPair]]) -> None:
    places = Counter(row["answer"] for row in rows(world[0] / "tasks" / "largest.test.jsonl"))
    assert len(places) == 4
    assert min(places.values()) > TASK_ROWS / 8


def test_the_sums_are_right_in_the_clean_set_and_wrong_in_the_noisy_one(world: tuple[Path, list[QAPair]]) -> None:
    def right(row: dict[str, Any]) -> bool:
        _, left, other = row["prompt"].removesuffix(":").split()
        return int(left) + int(other) == int(row["completion"])

    assert all(map(right, rows(world[0] / "data" / "add.jsonl")))
    assert not any(map(right, rows(world[0] / "data" / "add_noisy.jsonl")))


def test_every_fact_asked_is_told_in_the_training_set_of_facts(world: tuple[Path, list[QAPair]]) -> None:
    told = {row["completion"] for row in rows(world[0] / "data" / "facts.jsonl")}
    assert told == {answer for _, answers in atlas() for answer in answers}


def test_every_skill_says_in_a_line_what_it_is() -> None:
    assert all(
        skill.__doc__ and skill.__doc__.splitlines()[0].endswith(".") for skill in (*SKILLS.values(), *MORE.values())
    )


def test_importing_the_world_imports_no_heavy_library() -> None:
    heavy = "('torch', 'transformers', 'tokenizers')"
    code = f"import sys, lamdagent.study.templates.tiny; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_world_of_seed_0_is_the_one_that_all_measured_figures_are_of(tmp_path: Path) -> None:
    write_data(tmp_path, seed=0)
    digest = hashlib.blake2b(digest_size=10)
    for file in sorted([*(tmp_path / "data").glob("*.jsonl"), *(tmp_path / "tasks").glob("*.jsonl")]):
        digest.update(file.name.encode() + file.read_bytes())
    assert digest.hexdigest() == "84443a1a71ceb2f48653"
