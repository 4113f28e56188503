"""Each key of the study file is run for real: what docs/config.md names does something and breaks nothing."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.bad_server import bad_server, completion, fitting
from tests.tiny_world import STUDY

import lamdagent
from lamdagent.core.state import State
from lamdagent.core.types import Made

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "config.md"
HUB = "of a hub repository, which is fetched from the network"
NOT_RUN = {
    ("models.NAME", "revision"): HUB,
    ("datasets.NAME", "name"): HUB,
    ("datasets.NAME", "revision"): HUB,
    ("tasks[] (kind: rows)", "name"): HUB,
    ("policy (kind: agent)", "gguf"): "the weights of a second model: see test_local_llm.py",
    ("tasks[] (kind: judge)", "name"): HUB,
    ("tasks[].judge (kind: judge)", "gguf"): "the weights of a second model: see test_local_llm.py",
    ("The study file", "leave_out"): "for made datasets: see test_made_data.py",
}
"""Keys that no study here has, and why."""

SFT: dict[str, dict[str, Any]] = {
    "steps": {
        "learning_rate": 1e-3, "max_steps": 3, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2,
        "max_length": 24, "lr_scheduler_type": "cosine", "warmup_steps": 0.3, "weight_decay": 0.1, "max_grad_norm": 0.5,
        "adam_beta1": 0.8, "adam_beta2": 0.99, "adam_epsilon": 1e-7,
    },
    "packed": {"num_train_epochs": 0.5, "packing": True, "max_length": 64, "optim": "adafactor"},
    "noisy": {"gradient_checkpointing": True, "neftune_noise_alpha": 5.0, "label_smoothing_factor": 0.1, "max_steps": 2},
    "half": {"bf16": True, "dtype": "bfloat16", "max_steps": 2},
    "even": {"mixture": "even", "max_steps": 2},
    "lora": {"max_steps": 2, "peft": {
        "r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"], "use_rslora": True}},
    "dora": {"max_steps": 2, "peft": {"r": 4, "use_dora": True}},
}  # fmt: skip
SHORT = {"max_steps": 2, "learning_rate": 1e-3}
MERGES: dict[str, dict[str, Any]] = {
    "linear": {"method": "linear", "weight": [0.7, 0.3], "normalize": False, "tokenizer_source": "first"},
    "slerp": {"method": "slerp", "t": 0.3},
    "nuslerp": {
        "method": "nuslerp", "weight": 0.5, "nuslerp_flatten": False, "nuslerp_row_wise": True, "base_model": True,
    },
    "multislerp": {"method": "multislerp", "weight": 0.5, "normalize_weights": True, "eps": 1e-7},
    "karcher": {"method": "karcher", "max_iter": 5, "tol": 1e-4},
    "della": {
        "method": "della", "weight": 0.9, "density": 0.6, "epsilon": 0.1, "rescale": False, "lambda": 0.8,
        "int8_mask": True,
    },
    "breadcrumbs": {"method": "breadcrumbs", "weight": 1.0, "density": 0.8, "gamma": 0.05},
    "model_stock": {"method": "model_stock", "filter_wise": True},
    "sce": {"method": "sce", "select_topk": 0.5},
    "ramplus_tl": {"method": "ramplus_tl", "r": 0.2, "alpha": 0.1, "epsilon": 1e-4},
}  # fmt: skip
TIES: dict[str, dict[str, Any]] = {
    "plain": {"density": 0.5, "weight": 0.8, "normalize": False, "tokenizer_source": "base"},
    "listed": {"density": [0.3, 0.9], "weight": [1.0, 0.5], "tokenizer_source": "first"},
}
Prepare = Callable[[Path], dict[str, Any]]


def plan(folder: Path, *steps: tuple[str, str, dict[str, str]], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The policy that does these steps: what each makes, its action type, and its inputs, `a+b` for two of a slot."""
    provided = {"base": "model", "reverse": "dataset", "call": "dataset", **dict.fromkeys(settings, "hyperparameters")}
    data = {
        "results": [make for make, _, _ in steps],
        "objects": {name: {"kind": kind} for name, kind in provided.items()},
        "steps": [
            {"make": make, "action": action, "inputs": {slot: names.split("+") for slot, names in inputs.items()}}
            for make, action, inputs in steps
        ],
    }
    (folder / "plan.yaml").write_text(yaml.safe_dump(data))
    return {"kind": "replay", "from": "plan.yaml"}


def every_setting_of_sft(folder: Path) -> dict[str, Any]:
    steps = [
        (f"m-{name}", "sft", {"model": "base", "dataset": "reverse+call", "hyperparameters": name}) for name in SFT
    ]
    return {
        "seed": 3,
        "root": "elsewhere",
        "actions": {"sft": {"datasets": [1, "all"], "hyperparameters": SFT}},
        "policy": plan(folder, *steps, settings=SFT),
        "memory": {"kind": "table", "best": 2, "latest": 1, "evidence": False},
        "artifacts": {"kind": "local"},
        "observers": [{"kind": "jsonl", "path": "happened.jsonl"}],
        "budget": {"trials": len(SFT), "hours": 1.0, "train_rows": 10**6, "train_tokens": 10**8, "gpu_hours": 1.0},
        "execution": {
            "runner": {"kind": "inline"},
            "workers": 1,
            "device": "cpu",
            "dtype": "float32",
            "batch_size": "auto",
        },
    }


def every_setting_of_ties(folder: Path) -> dict[str, Any]:
    """Of models one of which was brought with the name of its base."""
    shutil.copytree(folder / "models" / "base", folder / "models" / "tuned")
    steps = [
        ("a", "sft", {"model": "base", "dataset": "reverse", "hyperparameters": "short"}),
        *((f"m-{name}", "ties", {"models": "a+tuned", "hyperparameters": name}) for name in TIES),
    ]
    policy = plan(folder, *steps, settings={"short": SHORT, **TIES})
    data = yaml.safe_load((folder / "plan.yaml").read_text())
    data["objects"]["tuned"] = {"kind": "model"}
    (folder / "plan.yaml").write_text(yaml.safe_dump(data))
    _nudge(folder / "models" / "tuned" / "model.safetensors")
    return {
        "models": {"base": {"path": "models/base"}, "tuned": {"path": "models/tuned", "base": "base"}},
        "settings": {"short": SHORT},
        "actions": {"sft": {"hyperparameters": ["short"]}, "ties": {"models": [2, 2], "hyperparameters": TIES}},
        "policy": policy,
    }


def every_setting_of_merge(folder: Path) -> dict[str, Any]:
    steps = [
        ("a", "sft", {"model": "base", "dataset": "reverse", "hyperparameters": "short"}),
        ("b", "sft", {"model": "base", "dataset": "call", "hyperparameters": "short"}),
        *((f"m-{name}", "merge", {"models": "a+b", "hyperparameters": name}) for name in MERGES),
    ]
    return {
        "actions": {
            "sft": {"hyperparameters": {"short": SHORT}},
            "merge": {"models": [2, 3], "hyperparameters": MERGES},
        },
        "policy": plan(folder, *steps, settings={"short": SHORT, **MERGES}),
        "budget": {"trials": len(steps)},
    }


def every_key_of_data_and_tasks(folder: Path) -> dict[str, Any]:
    rows = [json.loads(line) for line in (folder / "data" / "reverse.jsonl").read_text().splitlines()[:60]]
    with (folder / "data" / "rows.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["ask", "say"])
        table.writeheader()
        table.writerows({"ask": row["prompt"], "say": row["completion"]} for row in rows)
    items = [{"q": f"pick {i}:", "options": ["a", "b"], "right": "ab"[i % 2], "page": i // 2} for i in range(24)]
    (folder / "tasks" / "pick.jsonl").write_text("\n".join(map(json.dumps, items)))
    own = folder / "tasks" / "own.jsonl"
    own.write_text("\n".join(json.dumps({"q": f"say {i}", "a": str(i)}) for i in range(40)))
    (folder / "tasks" / "own.yaml").write_text(
        "task: own\ndataset_path: json\noutput_type: generate_until\n"
        f"dataset_kwargs: {{data_files: {{train: {own}, validation: {own}}}}}\n"
        "validation_split: validation\nfewshot_split: train\ndoc_to_text: '{{q}}:'\n"
        "doc_to_target: '{{a}}'\ngeneration_kwargs: {until: [' '], max_gen_toks: 4}\nmetric_list: [{metric: exact_match}]\n"
    )
    pick = {"q": "q", "options": "options", "right": "right"}
    return {
        "datasets": {
            "reverse": {
                "path": "data/rows.csv", "about": "words spelled backwards",
                "split": "train[:50]", "limit": 40, "leave_out": [0, 3], "chat": True,
                "columns": {"prompt": "ask", "completion": " {{say}}"},
            },
        },
        "actions": {"sft": {"hyperparameters": {"short": SHORT}}},
        "tasks": [
            {
                "task": "pick", "about": "one of two letters",
                "kind": "rows", "path": "tasks/pick.jsonl", "split": "train[:16]", "test": "train[16:]",
                "columns": {"prompt": pick["q"], "choices": pick["options"], "answer_text": pick["right"], "page": "page"},
                "metric": "acc_norm", "target_delimiter": " ", "cluster": "page", "weight": 2.0, "max_score": 1.0,
            },
            {
                "task": "reverse", "path": "tasks/reverse.validation.jsonl", "limit": 16, "max_new_tokens": 6,
                "until": ["Z"], "chat": True,
            },
            {
                "task": "own", "about": "a number said again",
                "kind": "lm_eval", "metric": "exact_match", "num_fewshot": 2, "limit": 12, "weight": 0.0,
                "max_score": 1.0, "chat": True, "cluster": "q",
            },
        ],
        "include_path": "tasks",
        "guards": [{"task": "own", "max_drop": 1.0}],
        "evaluation": {"items": 8, "max_items": 12},
        "contamination": "drop",
        "policy": {"kind": "greedy", "exploration": 0.5},
        "budget": {"trials": 2, "target": 2.0, "patience": 9},
        "execution": {"device": "cpu", "threads": 1, "timeout_min": 10, "workers": 1},
    }  # fmt: skip


def policy(**keys: Any) -> Prepare:
    free = {"num_train_epochs": [0.1, 3.0], "learning_rate": [1e-4, 1e-3]}
    sft = {"datasets": [1, 2], "hyperparameters": {"free": free, "firm": {"learning_rate": 1e-3}}}
    return lambda folder: {"actions": {"sft": sft}, "policy": keys, "budget": {"trials": 2}}


def agent(url: str, **keys: Any) -> Prepare:
    def prepare(folder: Path) -> dict[str, Any]:
        for name, words in (("type.md", "Which type?"), ("reflection.md", "Write notes.")):
            (folder / "prompts").mkdir(exist_ok=True)
            (folder / "prompts" / name).write_text(words)
        model = {"model": "mine", "base_url": url, "temperature": 0.5, "output": "native", "timeout_s": 20.0}
        bounds = {"answer_tokens": 300, "attempts": 2, "max_failures": 3, "price": {"input": 1.0, "output": 2.0}}
        notes = {"kind": "reflection", "max_tokens": 200, "evidence": False, "prompts": "prompts"}
        return {
            "policy": {"kind": "agent", **model, **bounds, "fallback": "random", "shown": 5, **keys},
            "memory": notes,
            "budget": {"trials": 1, "usd": 1.0, "llm_tokens": 10**6},
        }

    return prepare


def judged(url: str) -> Prepare:
    def prepare(folder: Path) -> dict[str, Any]:
        prompts = [{"turns": [f"say {i}", "and again"], "best": str(i)} for i in range(20)]
        (folder / "tasks" / "talk.jsonl").write_text("\n".join(map(json.dumps, prompts)))
        (folder / "rubric.md").write_text("10: it says the number. 1: it does not.")
        judge = {"model": "mine", "base_url": url, "temperature": 0.5, "output": "native", "timeout_s": 20.0}
        bounds = {"answer_tokens": 300, "attempts": 2, "max_failures": 3, "price": {"input": 1.0, "output": 2.0}}
        task = {
            "task": "talk", "kind": "judge", "about": "numbers said again", "path": "tasks/talk.jsonl",
            "split": "train[:10]", "test": "train[10:]", "limit": 6, "weight": 2.0, "max_score": 5.0, "chat": False,
            "max_new_tokens": 6, "columns": {"prompt": "{{ turns[0] }}", "reference": "best"},
            "judge": {**judge, **bounds, "rubric": "rubric.md", "scale": [1.0, 5.0]},
        }  # fmt: skip
        return {"tasks": [task], "policy": {"kind": "random"}, "budget": {"trials": 1, "usd": 1.0}}

    return prepare


def prepared(url: str) -> dict[str, Prepare]:
    return {
        "sft": every_setting_of_sft,
        "ties": every_setting_of_ties,
        "merge": every_setting_of_merge,
        "data": every_key_of_data_and_tasks,
        "evolution": policy(kind="evolution", warmup=1, population=2, tournament=1),
        "tpe": policy(kind="tpe", depth=1, startup=1),
        "surrogate": policy(kind="surrogate", candidates=100),
        "screen": policy(kind="screen", looks=False),
        "by-hand": policy(kind="by-hand", quick=True),
        "agent": agent(url, prompts="prompts", questions=2, repeats=True, examples=1),
        "shortlist": agent(url, shortlist="surrogate"),
        "advice": agent(url, advice="surrogate"),
        "judge": judged(url),
    }


def _nudge(file: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    torch.manual_seed(0)
    moved = {name: t + 0.01 * torch.randn_like(t) for name, t in load_file(file).items()}
    save_file(moved, file, metadata={"format": "pt"})


def run(study: Path, prepare: Prepare) -> State:
    body = {**yaml.safe_load(study.read_text()), **prepare(study.parent)}
    study.write_text(yaml.safe_dump(body))
    return lamdagent.run_study(study)


@pytest.mark.parametrize("name", sorted(prepared("")))
def test_a_study_with_these_keys_runs_and_each_trial_of_it_makes_a_model(name: str, study: Path) -> None:
    with bad_server(lambda body: (200, completion(fitting(body)))) as server:
        state = run(study, prepared(server.url)[name])
    failed = [trial.outcome for trial in state.trials if not isinstance(trial.outcome, Made)]
    assert not failed
    assert len(state.trials) == (state.config["budget"]["trials"] if name != "by-hand" else 2)
    assert not any(trial.choice.fell_back for trial in state.trials)
    assert all(state.objective(trial.choice.action.id) for trial in state.trials)


def test_every_documented_key_is_in_one_of_these_studies(study: Path) -> None:
    documented = set(_documented())
    run_here: set[tuple[str, str]] = set()
    for prepare in prepared("http://127.0.0.1:1/v1").values():
        for part in ("models/tuned",):
            shutil.rmtree(study.parent / part, ignore_errors=True)
        run_here |= set(_keys({**yaml.safe_load(STUDY), **prepare(study.parent)}))
    assert documented - run_here == set(NOT_RUN)
    assert not run_here - documented


def _documented() -> Iterator[tuple[str, str]]:
    section = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"##? (.*)", line):
            section = heading[1]
        elif key := re.match(r"\| `([^`]+)` \|", line):
            yield section, key[1]


def _keys(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(section of docs/config.md, key) of all that a study file says."""

    def keys(section: str, part: Mapping[str, Any], *but: str) -> Iterator[tuple[str, str]]:
        yield from ((section, key) for key in part if key not in ("kind", *but))

    yield from keys("The study file", body)
    for section in ("models", "datasets"):
        for entry in body[section].values():
            yield from keys(f"{section}.NAME", entry)
    for section in ("evaluation", "budget", "execution"):
        yield from keys(section, body.get(section, {}))
    for guard in body.get("guards", ()):
        yield from keys("guards[]", guard)
    for action, options in body["actions"].items():
        yield from keys(f"actions.{action}", options)
        settings = options["hyperparameters"]
        if isinstance(settings, list):
            continue
        for name, setting in settings.items():
            section = f"actions.{action}.hyperparameters"
            if name == "free":
                yield section, "free"
                yield from keys(f"{section}.free", setting)
            else:
                yield from keys(f"{section}.NAME", setting)
                yield from keys(f"{section}.NAME.peft", setting.get("peft", {}))
    for task in body["tasks"]:
        kind = task.get("kind", "rows" if "path" in task else "lm_eval")
        yield from keys(f"tasks[] (kind: {kind})", task)
        yield from keys("tasks[].judge (kind: judge)", task.get("judge", {}))
        yield from keys("tasks[].judge.price (kind: judge)", task.get("judge", {}).get("price", {}))
    for section in ("policy", "memory", "artifacts"):
        part = body.get(section, {})
        yield from keys(f"{section} (kind: {part.get('kind')})", part)
    yield from keys("policy.price (kind: agent)", body.get("policy", {}).get("price", {}))
    for observer in body.get("observers", ()):
        yield from keys(f"observers[] (kind: {observer['kind']})", observer)
