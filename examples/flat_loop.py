"""The whole loop without the engine, in plain TRL, mergekit and lm-eval: the quickest way to understand the project.

    lamdagent init --template tiny demo
    python examples/flat_loop.py demo flat 4      # the world, where models go, how many trials

A pool of models grows. In each trial an action is selected from all that can be done, executed, evaluated, and
remembered. What the engine adds is around this loop: a policy that learns, a journal that survives a kill, workers,
errors of scores, checks against leaks. A test holds both equal: the same actions give the same weights to the bit, and
the same score on each item.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, DatasetDict
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate as lm_evaluate
from lm_eval.models.huggingface import HFLM
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

BASE = "base"
DATASETS = ("reverse", "sort", "call", "facts")
SFT = {
    "gentle": {"learning_rate": 3e-4, "per_device_train_batch_size": 16},
    "firm": {"learning_rate": 1e-3, "per_device_train_batch_size": 16},
}
TIES = {"half": {"density": 0.5, "weight": 1.0}}
TASKS = {"reverse": 6, "sort": 8, "call": 18, "facts": 6}  # each task's longest answer, in tokens
SEED = 0

Action = tuple[str, ...]  # ("sft", model, dataset, setting) or ("ties", model, model, setting)
Values = Mapping[str, Sequence[float]]  # by task, what each item gave: 1 is right, 0 is wrong
Select = Callable[[Sequence[Action], Sequence[str]], Action]


def loop(world: Path, out: Path, trials: int, select: Select) -> dict[str, Values]:
    """Run some trials; what every model of the pool gave on each item, the base model first."""
    pool = {BASE: world / "models" / BASE}
    values: dict[str, Values] = {BASE: evaluate(world, pool[BASE])}
    tried: set[Action] = set()
    memory = [f"{BASE}: {objective(values[BASE]):.3f}"]
    print(memory[-1])
    for trial in range(trials):
        menu = [action for action in enumerate_actions(pool) if action not in tried]
        action, made = select(menu, memory), f"model-{trial}"
        tried.add(action)
        pool[made] = execute(world, pool, action, out / made)
        values[made] = evaluate(world, pool[made])
        memory.append(f"{made}: {objective(values[made]):.3f} by {' '.join(action)}")
        print(memory[-1])
    return values


def enumerate_actions(pool: Mapping[str, Path]) -> list[Action]:
    """All that can be done: training any model on any dataset, and merging any two models that were made."""
    train = itertools.product(["sft"], pool, DATASETS, SFT)
    made = [name for name in pool if name != BASE]
    merge = [("ties", *pair, setting) for pair in itertools.combinations(made, 2) for setting in TIES]
    return [*train, *merge]


def at_random(menu: Sequence[Action], memory: Sequence[str], rng: random.Random = random.Random(SEED)) -> Action:
    """Here the paper asks a language model, which is shown the memory: of both, the text is all it sees."""
    return rng.choice(menu)


def execute(world: Path, pool: Mapping[str, Path], action: Action, folder: Path) -> Path:
    if action[0] == "sft":
        _, model, dataset, setting = action
        train(pool[model], world / "data" / f"{dataset}.jsonl", SFT[setting], folder)
    else:
        _, *models, setting = action
        merge([pool[model] for model in models], pool[BASE], TIES[setting], folder)
    return folder


def train(model: Path, data: Path, setting: Mapping[str, Any], folder: Path) -> None:
    """Supervised fine-tuning, float32 on a CPU; the loss is on completions only, as TRL does with such rows."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        processing_class=tokenizer,
        train_dataset=Dataset.from_list(read(data)),
        args=SFTConfig(
            output_dir=str(folder / "trainer"), save_strategy="no", report_to="none", disable_tqdm=True,
            use_cpu=True, dataloader_pin_memory=False, bf16=False, seed=SEED, data_seed=SEED,
            num_train_epochs=1, optim="adamw_torch", **setting,
        ),
    )  # fmt: skip
    trainer.train()
    trainer.model.config.use_cache = (
        True  # the trainer turned it off, and answers would be computed anew for each token
    )
    trainer.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def merge(models: Sequence[Path], base: Path, setting: Mapping[str, float], folder: Path) -> None:
    """TIES-Merging: what each model learnt beyond the base, trimmed, where signs differ outvoted, and averaged."""
    recipe = {
        "merge_method": "ties",
        "base_model": str(base),
        "models": [{"model": str(model), "parameters": dict(setting)} for model in models],
        "parameters": {"normalize": True},
        "dtype": "float32",
    }
    run_merge(MergeConfiguration.model_validate(recipe), str(folder), MergeOptions(device="cpu", copy_tokenizer=True))


def evaluate(world: Path, model: Path) -> dict[str, list[float]]:
    """What each validation item gave, by task. The test side stays closed: the search would fit to it."""
    lm = HFLM(
        pretrained=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval(),
        tokenizer=AutoTokenizer.from_pretrained(model),
        batch_size=64,
    )
    tasks = {name: lm_eval_task(world, name) for name in TASKS}
    results = lm_evaluate(lm=lm, task_dict={"tasks": tasks, "groups": {}}, bootstrap_iters=0)
    rows = {name: sorted(results["samples"][name], key=lambda row: row["doc_id"]) for name in TASKS}
    return {name: [row["exact_match"] for row in rows[name]] for name in TASKS}


def lm_eval_task(world: Path, name: str) -> ConfigurableTask:
    items = DatasetDict({"validation": Dataset.from_list(read(world / "tasks" / f"{name}.validation.jsonl"))})
    return ConfigurableTask(
        config={
            "task": name,
            "custom_dataset": lambda **_: items,
            "validation_split": "validation",
            "output_type": "generate_until",
            "doc_to_text": lambda item: item["prompt"],
            "doc_to_target": lambda item: item["answer"],
            "process_results": lambda item, answers: {"exact_match": float(answers[0].strip() == item["answer"])},
            "generation_kwargs": {"until": [], "max_gen_toks": TASKS[name], "do_sample": False},
            "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
            "num_fewshot": 0,
        }
    )


def objective(values: Values) -> float:
    """The mean over tasks of the mean over items, which the search is to raise."""
    return sum(sum(items) / len(items) for items in values.values()) / len(values)


def read(file: Path) -> list[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


if __name__ == "__main__":
    torch.set_num_threads(1)  # sums of floats depend on the number of threads
    loop(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), at_random)
