"""Items that were drawn together: questions on one document, and tasks over the same rows."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lamdagent.core.errors import DataError
from lamdagent.core.intervals import score_interval
from lamdagent.core.items import Draw, ItemValues, draw_of, mean_and_error
from lamdagent.core.state import State, objective_of
from lamdagent.core.types import Object, Score, Split, TaskWeight
from lamdagent.evaluation.bootstrap import measured
from lamdagent.evaluation.evaluator import Evaluation
from lamdagent.evaluation.held_out import held_out_picks
from lamdagent.evaluation.passages import repeating, unnamed
from lamdagent.evaluation.statistics import difference
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.objects.datasets.formats import task_items
from lamdagent.results.notes import notes_on
from lamdagent.results.statistics import item_error, paired

GOALS, TWO = [TaskWeight(task="t")], [TaskWeight(task="t"), TaskWeight(task="u")]
DOCUMENTS, QUESTIONS = 40, 5
PASSAGES = Draw(clusters=tuple(f"passage {i // QUESTIONS}" for i in range(DOCUMENTS * QUESTIONS)))


def on_documents(rng: np.random.Generator, correlation: float = 0.6) -> list[float]:
    """Right or wrong at 1/2, alike within a document."""
    shared = np.repeat(rng.normal(size=DOCUMENTS), QUESTIONS)
    own = rng.normal(size=DOCUMENTS * QUESTIONS)
    return [float(x) for x in math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own > 0]


def test_the_error_of_questions_on_one_document_is_that_of_documents() -> None:
    drawn = [on_documents(np.random.default_rng(seed)) for seed in range(400)]
    spread = float(np.std([np.mean(values) for values in drawn]))
    alone = np.mean([mean_and_error(values)[1] or 0 for values in drawn])
    together = np.mean([mean_and_error(ItemValues(values, PASSAGES))[1] or 0 for values in drawn])
    assert alone == pytest.approx(0.035, abs=0.001)
    assert spread == pytest.approx(0.057, abs=0.006)
    assert together == pytest.approx(spread, rel=0.1)


def test_equal_models_are_told_apart_as_rarely_as_said_though_questions_share_documents() -> None:
    def told_apart(draw: Draw | None) -> float:
        found = 0
        for seed in range(200):
            rng = np.random.default_rng(seed)
            a, b = ({"t": ItemValues(on_documents(rng), draw)} for _ in range(2))
            found += difference(a, b, GOALS, seed=seed, resamples=500).p < 0.05
        return found / 200

    assert told_apart(None) > 0.15
    assert told_apart(PASSAGES) <= 0.08


def test_single_clusters_are_single_items() -> None:
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    draw = Draw(clusters=tuple("abcde"))
    assert mean_and_error(ItemValues(values, draw)) == mean_and_error(values)
    plain, drawn = (measured([{"t": np.array(values)}, {"t": found}], GOALS) for found in (np.ones(5), np.zeros(5)))
    assert plain.stderr == pytest.approx(drawn.stderr)


def test_two_tasks_over_the_same_rows_are_one_sample() -> None:
    rng = np.random.default_rng(0)
    a, b = ((rng.random(100) < 0.5).astype(float).tolist() for _ in range(2))
    rows = Draw(clusters=tuple(map(str, range(100))))
    once = difference({"t": ItemValues(a, rows)}, {"t": ItemValues(b, rows)}, GOALS, seed=0)
    twice = [{"t": ItemValues(x, rows), "u": ItemValues(x, rows)} for x in (a, b)]
    both = difference(twice[0], twice[1], TWO, seed=0)
    assert both.stderr == pytest.approx(once.stderr)
    apart = [{"t": np.array(x), "u": np.array(x)} for x in (a, b)]
    assert difference(apart[0], apart[1], TWO, seed=0).stderr == pytest.approx(once.stderr / math.sqrt(2))


class Kept:
    """A task whose items are known."""

    has_test = False

    def __init__(self, name: str, values: Sequence[float]) -> None:
        self.name, self._values = name, values
        self.ids: dict[Split, str] = {"validation": name, "test": name}

    def values(self, model: Object, split: Split, ctx: Any, n: int | None = None) -> Sequence[float]:
        return self._values


def test_the_objective_of_tasks_over_the_same_rows_has_the_error_of_one_of_them() -> None:
    rows = Draw(clusters=tuple(map(str, range(100))))
    values = ItemValues([float(i % 2) for i in range(100)], rows)
    tasks: Any = [Kept("t", values), Kept("u", values)]
    model = Object(id="m", kind="model", name="m")
    scores = Evaluation(tasks=tasks, goals=TWO).scores(model, "validation", None, None, None)  # type: ignore[arg-type]
    found = objective_of(TWO, scores)
    assert found is not None and found.stderr == pytest.approx(scores[0].stderr)
    assert (found.low, found.high) == pytest.approx(score_interval(scores[0]), abs=0.002)


def test_few_clusters_leave_more_open_than_many_items() -> None:
    def reach(**more: Any) -> float:
        low, high = score_interval(Score(task="t", split="validation", value=1.0, n=200, stderr=0.0, **more)) or (0, 0)
        return high - low

    assert reach(clusters=40) > 4 * reach()


def test_no_pick_is_judged_on_a_question_whose_document_picked_it() -> None:
    lucky = {"t": ItemValues([1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], Draw(clusters=tuple("aabbccdd")))}
    steady = {"t": ItemValues([0.2] * 8, Draw(clusters=tuple("aabbccdd")))}
    # Documents `a` and `c` are one fold, `b` and `d` the other. Without `a` the lucky one has nothing.
    found = held_out_picks([lucky, steady], GOALS, [2])
    assert found is not None and found["t"].tolist() == [[0.2, 0.2, 0.0, 0.0, 0.2, 0.2, 0.0, 0.0]]


def test_the_items_that_seeds_share_err_as_their_documents_do() -> None:
    def told_apart(draw: Draw | None) -> float:
        found = 0
        for seed in range(300):
            rng = np.random.default_rng(seed)
            favoured = np.repeat(rng.normal(size=DOCUMENTS), QUESTIONS)  # by the arm, on these documents; truly by 0
            gaps = [{"t": ItemValues(favoured + rng.normal(size=len(favoured)), draw)} for _ in range(5)]
            means = [float(np.mean(items["t"])) for items in gaps]
            p = paired(means, [0.0] * 5, item_error(gaps, GOALS)).t_p
            found += p is not None and p < 0.05
        return found / 300

    assert told_apart(None) > 0.15
    assert told_apart(PASSAGES) <= 0.08


def test_how_items_were_drawn_is_kept_with_them(tmp_path: Path) -> None:
    folder = tmp_path / "m" / "scores"
    folder.mkdir(parents=True)
    items = [{"value": 1.0}, {"value": 0.0, "cluster": "p"}, {"value": 1.0, "cluster": "p"}, {"value": 0.0}]
    (folder / "id.validation.json").write_text(json.dumps({"task_id": "id", "items": items}))
    score = Score(task="t", split="validation", value=0.5, n=3, task_id="id")
    found = LocalArtifacts(tmp_path).values("m", score)
    assert found == [1.0, 0.0, 1.0]
    draw = draw_of(found)
    assert draw is not None and draw.clusters == ("id/0", "p", "p")


def test_a_row_that_does_not_name_its_cluster_is_refused() -> None:
    rows = [("rows.jsonl:1", {"prompt": "a", "answer": "b", "passage": 3})]
    assert next(task_items(rows, {}, "passage"))["cluster"] == "3"
    with pytest.raises(DataError, match=r"rows.jsonl:1: no column 'passage_id' .*passage"):
        next(task_items(rows, {}, "passage_id"))


def test_prompts_that_repeat_a_long_passage_are_told_of_unless_their_cluster_is_named() -> None:
    words = [" ".join(f"word{passage}x{i}" for i in range(60)) for passage in range(10)]
    questions = [f"Read. {words[i // 5]} Question {i}?" for i in range(50)]
    instruction = [f"{words[0]} Question number {i} of quite another matter?" for i in range(50)]
    assert repeating(questions) == 50
    assert repeating(instruction) == 0
    found = {"passages": "line"}
    assert unnamed(found, [{"task": "passages"}]) == ["line"]
    assert unnamed(found, [{"task": "passages", "cluster": "id"}]) == []


def shown(*scores: Score) -> str:
    model = Object(id="m", kind="model", name="m")
    goals = tuple(TaskWeight(task=s.task) for s in scores)
    return "\n".join(notes_on(State(goals=goals, pool={"m": model}, scores={"m": scores})))


def test_a_small_task_is_named_with_what_it_costs() -> None:
    large = Score(task="large", split="validation", value=0.5, n=1000, stderr=0.0158)
    tiny = Score(task="tiny", split="validation", value=0.5, n=4, stderr=0.289)
    assert "task tiny has 4 items: it makes the error of the objective 0.145, 0.012 with the 1000" in shown(large, tiny)
    assert "has" not in shown(large, Score(task="other", split="validation", value=0.5, n=900, stderr=0.0167))


def test_what_is_shown_says_what_it_covers_and_which_tasks_ask_the_same_rows() -> None:
    t = Score(task="t", split="validation", value=0.5, n=100, stderr=0.05, shared=(("u", 0.002),))
    u = Score(task="u", split="validation", value=0.5, n=100, stderr=0.05, shared=(("t", 0.002),))
    assert "cover the draw of the items" in shown(t, u)
    assert shown(t, u).count("tasks t and u ask the same rows") == 1


SIZES = {"easy": 80, "middle": 60, "hard": 60}
CHANCES = {"easy": 0.95, "middle": 0.5, "hard": 0.1}


def group(rng: np.random.Generator, shares: dict[str, float]) -> ItemValues:
    parts = tuple(part for part, size in SIZES.items() for _ in range(size))
    draw = Draw(clusters=tuple(map(str, range(len(parts)))), strata=parts, shares=shares)
    return ItemValues([float(rng.random() < CHANCES[part]) for part in parts], draw)


@pytest.mark.parametrize("shares", [{"easy": 0.4, "middle": 0.3, "hard": 0.3}, dict.fromkeys(SIZES, 1 / 3)])
def test_the_error_of_a_group_of_unlike_subtasks_is_that_within_them(shares: dict[str, float]) -> None:
    found = [mean_and_error(group(np.random.default_rng(seed), shares)) for seed in range(400)]
    means, errors = [mean for mean, _ in found], [error or 0.0 for _, error in found]
    assert np.mean(means) == pytest.approx(sum(shares[part] * CHANCES[part] for part in shares), abs=0.004)
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.1)
    alone = np.mean([mean_and_error(list(group(np.random.default_rng(seed), shares)))[1] for seed in range(50)])
    assert alone > 1.3 * np.mean(errors)


def test_groups_are_paired_by_their_own_mean() -> None:
    rng, shares = np.random.default_rng(0), {"easy": 0.8, "middle": 0.1, "hard": 0.1}
    a, b = (group(rng, shares) for _ in range(2))
    found = difference({"t": a}, {"t": b}, GOALS, seed=0)
    assert found.value == pytest.approx(mean_and_error(a)[0] - mean_and_error(b)[0])


def test_the_parts_of_a_group_are_kept_with_its_items(tmp_path: Path) -> None:
    folder = tmp_path / "m" / "scores"
    folder.mkdir(parents=True)
    items = [{"item": "law/0", "value": 1.0}, {"item": "law/1", "value": 1.0}, {"item": "art/0", "value": 0.0}]
    kept = {"task_id": "id", "items": items, "shares": {"law": 0.5, "art": 0.5}}
    (folder / "id.validation.json").write_text(json.dumps(kept))
    score = Score(task="t", split="validation", value=0.5, n=3, task_id="id")
    assert mean_and_error(LocalArtifacts(tmp_path).values("m", score) or [])[0] == pytest.approx(0.5)
