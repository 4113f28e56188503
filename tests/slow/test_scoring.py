"""Scores through lm-eval: the user's own rows, and tasks by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import lamdagent
from lamdagent.core.errors import ConfigError
from lamdagent.core.jobs import Job
from lamdagent.core.types import Object
from lamdagent.runners.job import JobContext
from lamdagent.study.parts import StudyParts

pytestmark = pytest.mark.slow

NAMED = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {files}}}
{splits}
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 6}}
metric_list: [{{metric: exact_match}}]
"""


def bench_and_base(study: Path, *overrides: str) -> tuple[Any, Object]:
    loaded = lamdagent.load_study(study, overrides)
    with lamdagent.open_study(loaded, inline=True) as opened:
        return StudyParts(loaded).toolkit, opened.search.state.unscored[0]


def context(toolkit: Any, base: Object) -> JobContext:
    return JobContext(Job(key="test", action=None, objects=(base,)), toolkit, lambda progress: None)


def test_items_are_kept_and_their_mean_and_spread_are_the_score(study: Path) -> None:
    toolkit, base = bench_and_base(study)
    (score, _) = toolkit.evaluation.scores(base, "validation", context(toolkit, base), None, None)
    record = json.loads((toolkit.artifacts.open(base.id) / "scores" / f"{score.task_id}.validation.json").read_text())
    values = [item["value"] for item in record["items"]]
    assert score.n == len(values) == 32
    assert score.value == pytest.approx(sum(values) / 32)
    assert score.stderr == pytest.approx((score.value * (1 - score.value) / 31) ** 0.5)
    assert all(item["value"] == float(item["answer"].strip() == item["target"]) for item in record["items"])


def test_a_choice_is_right_where_its_loglikelihood_is_highest(study: Path) -> None:
    import torch

    toolkit, base = bench_and_base(study, "tasks.largest.limit=8")
    task = toolkit.evaluation.tasks[1]
    task.values(base, "validation", context(toolkit, base))
    record = json.loads(
        (toolkit.artifacts.open(base.id) / "scores" / f"{task.ids['validation']}.validation.json").read_text()
    )
    loaded = toolkit.models.load(base.id, toolkit.locate(base))
    rows = [json.loads(line) for line in (study.parent / "tasks/largest.validation.jsonl").read_text().splitlines()]

    def loglikelihood(prompt: str, choice: str) -> float:
        ids = loaded.tokenizer(prompt + choice, return_tensors="pt")["input_ids"]
        start = len(loaded.tokenizer(prompt)["input_ids"])
        with torch.no_grad():
            logs = loaded.model(ids).logits.log_softmax(-1)[0]
        return float(sum(logs[i - 1, ids[0, i]] for i in range(start, ids.shape[1])))

    for item in record["items"]:
        row = rows[int(item["item"].split("/")[1])]
        best = max(range(4), key=lambda i: loglikelihood(row["prompt"], row["choices"][i]))
        assert item["value"] == float(best == row["answer"])


def test_a_smaller_limit_scores_a_part_of_what_a_larger_one_scores(study: Path) -> None:
    items = []
    for limit in (8, 20):
        toolkit, base = bench_and_base(study, f"tasks.reverse.limit={limit}", f"study=limit-{limit}")
        task = toolkit.evaluation.tasks[0]
        task.values(base, "validation", context(toolkit, base))
        file = toolkit.artifacts.open(base.id) / "scores" / f"{task.ids['validation']}.validation.json"
        items.append([item["item"] for item in json.loads(file.read_text())["items"]])
    assert items[1][:8] == items[0]


def named_task(study: Path, name: str, splits: dict[str, str]) -> list[str]:
    folder = study.parent / "lm_eval_tasks"
    folder.mkdir(exist_ok=True)
    files = {split: str(study.parent / "tasks" / file) for split, file in splits.items()}
    lines = "\n".join(f"{split}_split: {split}" for split in splits)
    (folder / f"{name}.yaml").write_text(NAMED.format(name=name, files=json.dumps(files), splits=lines))
    return ["include_path=lm_eval_tasks", f"tasks=[{{task: {name}, metric: exact_match, limit: 16}}]"]


def test_a_named_task_with_both_splits_is_searched_on_its_validation_split(study: Path) -> None:
    files = {"validation": "reverse.validation.jsonl", "test": "reverse.test.jsonl"}
    toolkit, base = bench_and_base(study, *named_task(study, "tiny_both", files))
    (task,) = toolkit.evaluation.tasks
    values = task.values(base, "validation", context(toolkit, base))
    own, _ = bench_and_base(study, "study=own", "tasks.reverse.limit=16")
    assert values == own.evaluation.tasks[0].values(base, "validation", context(own, base))
    assert task.sizes() == {"validation": 16, "test": 16}


def test_a_named_task_with_one_split_is_cut_in_two_halves_that_share_nothing(study: Path) -> None:
    overrides = named_task(study, "tiny_single", {"test": "reverse.test.jsonl"})
    toolkit, _ = bench_and_base(study, *overrides, "tasks.tiny_single.limit=null")
    (task,) = toolkit.evaluation.tasks
    halves = [{i for _, i in task._drawn(split)} for split in ("validation", "test")]
    assert halves[0] | halves[1] == set(range(200))
    assert not halves[0] & halves[1]


def test_a_metric_that_a_task_does_not_give_is_an_error_that_lists_what_it_gives(study: Path) -> None:
    overrides = named_task(study, "tiny_metric", {"test": "reverse.test.jsonl"})
    toolkit, base = bench_and_base(study, *overrides, "tasks.tiny_metric.metric=bleu")
    with pytest.raises(ConfigError, match="exact_match,none"):
        toolkit.evaluation.tasks[0].values(base, "validation", context(toolkit, base))


def test_an_unknown_lm_eval_task_is_an_error_with_its_line_and_the_nearest_name(study: Path, lamdagent: Any) -> None:
    done = lamdagent("run", study, "--dry-run", "--set", "tasks=[{task: gsm8, metric: exact_match}]")
    assert done.returncode == 2
    assert "Did you mean 'gsm8k'?" in done.stderr
    assert "Traceback" not in done.stderr


FEW_SHOT = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {files}}}
{splits}
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: choices
doc_to_target: answer
target_delimiter: ""
fewshot_delimiter: "\\n"
fewshot_config: {{sampler: {sampler}}}
metric_list: [{{metric: acc}}]
"""


def few_shot_task(study: Path, name: str, splits: dict[str, str], n: int, sampler: str = "default") -> Any:
    folder = study.parent / "lm_eval_tasks"
    folder.mkdir(exist_ok=True)
    files = {split: str(study.parent / "tasks" / file) for split, file in splits.items()}
    keys = {"train": "training_split", "validation": "validation_split", "test": "test_split"}
    lines = "\n".join(f"{keys[split]}: {split}" for split in splits)
    text = FEW_SHOT.format(name=name, files=json.dumps(files), splits=lines, sampler=sampler)
    (folder / f"{name}.yaml").write_text(text)
    tasks = f"tasks=[{{task: {name}, metric: acc, num_fewshot: {n}}}]"
    (task,) = StudyParts(lamdagent.load_study(study, ["include_path=lm_eval_tasks", tasks])).tasks
    return task


def prompts(task: Any, split: str, *, backwards: bool = False) -> dict[int, str]:
    """What each item of a side is asked, in the words of lm-eval's own requests."""
    found = {}
    for lm_task, index in reversed(task._drawn(split)) if backwards else task._drawn(split):
        lm_task.build_all_requests(samples=[index])
        found[index] = lm_task.instances[0].args[0]
    return found


@pytest.mark.parametrize("sampler", ["default", "first_n"])
@pytest.mark.parametrize("side", ["validation", "test"])
def test_a_task_with_one_split_shows_no_item_as_its_own_example_and_none_of_the_other_half(
    study: Path, side: str, sampler: str
) -> None:
    lines = (study.parent / "tasks/largest.test.jsonl").read_text().splitlines()[:24]
    (study.parent / "tasks/few.jsonl").write_text("\n".join(lines))
    rows = list(map(json.loads, lines))
    task = few_shot_task(study, f"one_split_{sampler}", {"test": "few.jsonl"}, 5, sampler)
    shown = [row["prompt"] + row["choices"][row["answer"]] for row in rows]
    own_side = {index for _, index in task._drawn(side)}
    for index, prompt in prompts(task, side).items():
        examples = prompt.split("\n")[:-1]
        assert len(examples) == 5
        allowed = {shown[i] for i in own_side if rows[i] != rows[index]}
        assert set(examples) <= allowed


def test_the_same_item_is_asked_the_same_prompt_in_every_order_and_every_process(study: Path) -> None:
    folder = study.parent / "tasks"
    rows = [json.loads(line) for line in (folder / "largest.validation.jsonl").read_text().splitlines()[:36]]
    for place, side in enumerate(("train", "validation", "test")):
        part = ({**row, "prompt": f"{side} {row['prompt']}"} for row in rows[place * 12 : place * 12 + 12])
        (folder / f"few.{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    files = {side: f"few.{side}.jsonl" for side in ("train", "validation", "test")}
    first, again = (few_shot_task(study, "three_splits", files, 3) for _ in range(2))
    asked = prompts(first, "validation")
    assert prompts(first, "validation", backwards=True) == asked
    assert prompts(again, "validation") == asked
    assert len({prompt.rpartition("\n")[0] for prompt in asked.values()}) > 1  # each item has examples of its own
    assert all(line.startswith("train ") for prompt in asked.values() for line in prompt.split("\n")[:-1])


def test_more_examples_than_there_are_items_for_is_an_error_that_says_how_many_there_are(study: Path) -> None:
    short = study.parent / "tasks" / "short.jsonl"
    short.write_text("".join((study.parent / "tasks/largest.test.jsonl").read_text().splitlines(keepends=True)[:6]))
    task = few_shot_task(study, "too_many", {"test": "short.jsonl"}, 3)
    with pytest.raises(ConfigError, match="num_fewshot is 3, and 2 items are left"):
        task.sizes()


ERROR_RATE = """
def process(doc, results):
    wrong = sum(a != b for a, b in zip(doc["answer"], results[0].strip().ljust(len(doc["answer"]))))
    return {"error": wrong / len(doc["answer"])}
"""


def test_a_metric_of_which_less_is_better_is_turned_round_so_that_the_better_model_leads(study: Path) -> None:
    files = {"validation": "reverse.validation.jsonl", "test": "reverse.test.jsonl"}
    overrides = named_task(study, "tiny_error", files)
    (study.parent / "lm_eval_tasks" / "rates.py").write_text(ERROR_RATE)
    file = study.parent / "lm_eval_tasks" / "tiny_error.yaml"
    text = file.read_text().replace(
        "{metric: exact_match}", "{metric: error, aggregation: mean, higher_is_better: false}"
    )
    file.write_text(text + "process_results: !function rates.process\n")
    more = ["policy={kind: random}", "budget.trials=1", "-actions.ties", "-datasets.call", "contamination=warn"]
    firm = "actions.sft.hyperparameters={firm: {learning_rate: 1e-3, num_train_epochs: 4, per_device_train_batch_size: 16}}"
    guard = "guards=[{task: tiny_error, max_drop: 0.0}]"
    state = lamdagent.run_study(study, [*overrides, "tasks.tiny_error.metric=error", firm, guard, *more])
    (best, value), (base, before) = state.ranked()
    assert (best.name, base.name) == ("model-0", "base")
    assert 0 < before.value < value.value <= 1
    assert not state.broken(best.id)
    (score,) = state.scores[best.id]
    assert score.gain is not None and score.gain > 0
    assert state.audit is not None
    assert any("of error less is better" in finding.text for finding in state.audit.findings)


def test_a_made_model_is_examined_with_the_requests_of_scoring(study: Path) -> None:
    overrides = named_task(study, "spaced", {"test": "reverse.test.jsonl"})
    toolkit, base = bench_and_base(study, *overrides)
    loaded = toolkit.models.load(base.id, toolkit.locate(base))
    (example, *_) = toolkit.evaluation.tasks[0].examples(1, loaded)
    answer = next(toolkit.evaluation.tasks[0].documents("validation"))[2]
    assert example.targets == (
        answer,
        f" {answer}",
    )  # a generated answer follows its prompt without the space of examples
    assert (example.new_tokens, example.until) == (6, ("\n",))
    own, _ = bench_and_base(study, "study=own")
    choice = own.evaluation.tasks[1].examples(1, loaded)[0]
    assert len(choice.targets) == 1 and choice.new_tokens == 0
