from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lamdagent.study.config.schema import load_study
from lamdagent.study.templates import NAMES, is_tiny, text
from lamdagent.study.templates.tiny import more, skills, write_data
from lamdagent.study.templates.tiny.worlds import drawn, world

TINY_ONES = [name for name in NAMES if is_tiny(name)]
SEEDS = (0, 5)


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def written(folder: Path, name: str, seed: int) -> Path:
    write_data(folder, world(name, seed), seed=seed)
    (folder / "study.yaml").write_text(text(name, seed))
    return folder


def right(prompt: str) -> str:
    """The answer to a prompt in the words of its skill, worked out here anew."""
    match prompt.removesuffix(":").split():
        case ["reverse", given]:
            return given[::-1]
        case ["sort", given]:
            return "".join(sorted(given))
        case [*asked]:
            words = [w for w in asked if w != "the"]
            amount = next(w for w in words if w.isdigit())
            verb = next(w for w in words if w in ("play", "dim", "heat", "lock", "water", "wake"))
            (thing,) = [w for w in words if w not in (amount, verb)]
            return f"{verb}({thing},{amount})"
    raise AssertionError(prompt)


@pytest.mark.parametrize("name", TINY_ONES)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_worlds_study_is_valid_and_names_the_files_that_the_world_has(name: str, seed: int, tmp_path: Path) -> None:
    study = load_study(written(tmp_path, name, seed) / "study.yaml")
    data = {Path(source.path).stem for source in study.body.datasets.values()}
    assert data <= {file.stem for file in (tmp_path / "data").iterdir()}
    for _, task in study.tasks:
        for side in (task.path, task.test):  # type: ignore[attr-defined]
            assert len(rows(tmp_path / side)) == 200
        both = [row["prompt"] for side in (task.path, task.test) for row in rows(tmp_path / side)]  # type: ignore[attr-defined]
        assert len(set(both)) == 400


@pytest.mark.parametrize("name", TINY_ONES)
def test_a_world_is_the_same_bytes_for_the_same_seed_and_others_for_another(name: str, tmp_path: Path) -> None:
    once, again, other = (written(tmp_path / f"{i}", name, seed) for i, seed in enumerate((7, 7, 8)))
    files = [file.relative_to(once) for file in once.rglob("*.jsonl")]
    assert all((once / file).read_bytes() == (again / file).read_bytes() for file in files)
    assert (once / "study.yaml").read_text() == (again / "study.yaml").read_text()
    assert not any(
        (other / file).exists() and (once / file).read_bytes() == (other / file).read_bytes() for file in files
    )


@pytest.mark.parametrize("skill", ["reverse", "sort", "call"])
def test_one_set_of_a_skill_is_all_right_and_the_other_all_wrong_under_prompts_of_the_same_form(
    skill: str, tmp_path: Path
) -> None:
    written(tmp_path, "tiny-conflict", 0)
    shares = {}
    for letter in "ab":
        found = rows(tmp_path / "data" / f"{skill}_{letter}.jsonl")
        shares[letter] = sum(right(row["prompt"]) == row["completion"] for row in found) / len(found)
    assert sorted(shares.values()) == [0, 1]


def test_the_facts_of_one_set_are_those_of_the_tasks_and_of_the_other_never(tmp_path: Path) -> None:
    written(tmp_path, "tiny-conflict", 0)
    answers = {land: dict(zip(("capital", "river"), told, strict=True)) for land, told in skills.atlas()}

    def told(row: dict[str, Any]) -> bool:
        (land,) = [land for land in answers if land in row["prompt"]]
        attribute = "capital" if "capital" in row["prompt"] else "river"
        return bool(answers[land][attribute] == row["completion"])

    assert not any(map(told, rows(tmp_path / "data" / "facts_a.jsonl")))
    assert all(map(told, rows(tmp_path / "data" / "facts_b.jsonl")))


def test_no_set_of_the_conflict_world_teaches_the_guarded_skill(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, "tiny-conflict", 0) / "study.yaml")
    (guard,) = study.guards
    assert all(part.skill != guard.task for parts in world("tiny-conflict", 0).data.values() for part in parts)
    assert next(goal.weight for goal in study.goals if goal.task == guard.task) == 0


def test_tasks_of_the_shift_world_are_worded_as_no_training_set_is(tmp_path: Path) -> None:
    written(tmp_path, "tiny-shift", 0)
    asked = [row["prompt"] for file in (tmp_path / "tasks").iterdir() for row in rows(file)]
    taught = [row["prompt"] for file in (tmp_path / "data").iterdir() for row in rows(file)]
    assert all(prompt.startswith("now ") and prompt.endswith("!") for prompt in asked)
    assert not any(prompt.startswith("now ") or prompt.endswith("!") for prompt in taught)


@pytest.mark.parametrize("skill", [*skills.SKILLS, *more.MORE])
def test_a_mistaken_answer_is_never_right(skill: str) -> None:
    rng = Random(0)
    for _ in range(500):
        item = (skills.SKILLS | more.MORE)[skill](rng, "training")
        mistakes = more.mistaken(item) if skill in more.MORE else skills.mistaken(rng, item, skill)
        assert any(mistake != item.completion for mistake in mistakes) and all(mistakes)


def test_drawn_worlds_differ_in_skills_and_their_names_say_nothing_of_what_is_wrong() -> None:
    worlds = [drawn(seed) for seed in range(40)]
    assert len({tuple(sorted(one.tasks)) for one in worlds}) > 20
    faulty = {name.split("_")[-1] for one in worlds for name, parts in one.data.items() if any(p.wrong for p in parts)}
    clean = {
        name.split("_")[-1] for one in worlds for name, parts in one.data.items() if not any(p.wrong for p in parts)
    }
    assert faulty == {"a", "b"} <= clean
