"""Pipelines of a tiny study in a bare torch loop, for developing searches: sets of datasets, any amount, TIES merges.

    lamdagent init --template tiny demo
    python benchmarks/bare.py demo CACHE                      # the base and all datasets mixed: scores, rows, seconds
    python benchmarks/bare.py demo CACHE --against demo/runs/tiny    # each model of a search, made and scored again here

In Python, where `python` runs in `benchmarks/`:

    world = World(Path("demo"), cache=Path("CACHE"))
    mixed = Sft(BASE, ("reverse", "sort"), "firm", epochs=2.5, learning_rate=5e-4)
    world.scores(mixed), world.objective(mixed, "test"), world.rows(mixed)
    world.scores(Ties((mixed, Sft(BASE, ("call",), "firm")), "half"))

What is asked twice is computed once: scores and weights are kept in the cache under the hash of all that they depend on,
so the same search again takes no time, in other processes too. Training does what the `sft` action does through TRL:
the loss on completions, AdamW, schedule, warm-up, clipping, the order of the rows by the seed.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from bare_llama import Adapter, Llama, Row, ties, token_rows
from torch import Tensor

import lamdagent
from lamdagent.actions.sft import SftHyperparameters, mixed, training_rows
from lamdagent.core.errors import Diverged
from lamdagent.core.metrics import is_right, likeliest
from lamdagent.core.pipeline import Pipeline as Node
from lamdagent.core.pipeline import pipeline_of
from lamdagent.core.state import ONE_SIDED_95
from lamdagent.core.types import Split, content_id
from lamdagent.evaluation.tasks.rows import Rows, RowsConfig
from lamdagent.study.read import read_study

KNOWN = {
    "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "max_length", "warmup_steps",
    "lr_scheduler_type", "weight_decay", "max_grad_norm", "adam_beta1", "adam_beta2", "adam_epsilon", "peft",
    "mixture",
}  # fmt: skip
Scores = dict[str, list[int]]
"""By task, 1 for each item that is right and 0 for the others."""


@dataclass(frozen=True)
class Base:
    """The model that the study starts from."""


BASE = Base()


@dataclass(frozen=True)
class Sft:
    """Training of a model on the rows of all these datasets together.

    `epochs` and `learning_rate` replace those of the named setting; None leaves them.
    """

    model: Model
    datasets: tuple[str, ...]
    setting: str
    epochs: float | None = None
    learning_rate: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Ties:
    """A TIES merge of models under a named setting."""

    models: tuple[Model, ...]
    setting: str


Model = Base | Sft | Ties


class World:
    """A study folder made by `lamdagent init`, whose one base model is tiny.

    `cache` keeps scores, and the weights of every model where `weights` is true (1.8 MB each at a width of 96).
    """

    def __init__(self, folder: Path, *, cache: Path, weights: bool = True) -> None:
        torch.set_num_threads(1)
        self.cache, self.keep_weights = cache, weights
        for part in ("scores", "weights"):
            (cache / part).mkdir(parents=True, exist_ok=True)
        study = lamdagent.load_study(folder / "study.yaml")
        body, folder = study.body, study.file.parent
        self.name = body.study
        (model,) = body.models.values()
        self.llama, self.base = Llama.read(folder / model.path)
        self.settings = _settings(study.actions["sft"])
        self.merges = _settings(study.actions["ties"]) if "ties" in study.actions else {}
        self.weights_of_tasks = {config.task: config.weight for _, config in study.tasks}
        tasks = [config for _, config in study.tasks if isinstance(config, RowsConfig)]
        self.tasks = {config.task: Rows(config=config, home=folder) for config in tasks}
        self.limits = {config.task: config.limit for config in tasks}
        self.guards = {guard.task: guard.max_drop for guard in study.guards}
        self._files = {name: (folder / data.path, data.limit) for name, data in body.datasets.items()}
        self._folder = folder / model.path
        self._recent: dict[str, Tensor] = {}

    @cached_property
    def data(self) -> dict[str, list[Row]]:
        """The rows of each dataset, as tokens."""
        files = self._files.items()
        return {name: token_rows(self._tokenizer, training_rows(file)[:limit]) for name, (file, limit) in files}

    def scores(self, model: Model, split: Split = "validation", tasks: Sequence[str] | None = None) -> Scores:
        """What a model gives on the items of these tasks; all without `tasks`.

        Raises:
            Diverged: a weight of the model, or of one that it is made from, is not finite.
        """
        return {task: self._items(model, split, task) for task in tasks or self.tasks}

    def objective(self, model: Model, split: Split = "validation") -> float:
        """The weighted mean of the tasks' means, 0 to 1."""
        weights = {task: weight for task, weight in self.weights_of_tasks.items() if weight}
        scores = self.scores(model, split, list(weights))
        return sum(weights[t] * sum(s) / len(s) for t, s in scores.items()) / sum(weights.values())

    def broken(self, model: Model) -> list[str]:
        """The guarded tasks that a model does worse at than its guard allows, beyond noise, as the product says it."""
        return [task for task, drop in self.guards.items() if self._highest_gain(model, task) < -drop]

    def _highest_gain(self, model: Model, task: str) -> float:
        """The upper end of the one-sided 95 % interval of the paired gain over the base."""
        ours, theirs = self._items(model, "validation", task), self._items(BASE, "validation", task)
        gains = [a - b for a, b in zip(ours, theirs, strict=True)]
        return fmean(gains) + ONE_SIDED_95 * stdev(gains) / math.sqrt(len(gains))

    def rows(self, *models: Model) -> float:
        """Training rows seen by all steps that these models are made of, each step once."""
        steps = {step for model in models for step in _steps(model) if isinstance(step, Sft)}
        return sum(len(self._data(step)) * self.values(step).num_train_epochs for step in steps)

    def values(self, step: Sft) -> SftHyperparameters:
        """All hyperparameters of a step."""
        given = {"num_train_epochs": step.epochs, "learning_rate": step.learning_rate}
        named: SftHyperparameters = self.settings[step.setting]
        return named.model_copy(update={k: v for k, v in given.items() if v is not None})

    def key(self, model: Model) -> str:
        """The hash of all that a model's weights depend on."""
        if isinstance(model, Base):
            return self._base_key
        if isinstance(model, Sft):
            rows = sorted(self._digests[name] for name in model.datasets)
            values = self.values(model).model_dump(exclude_defaults=True)
            return content_id(["sft", self.key(model.model), rows, values, model.seed])
        values = self.merges[model.setting].model_dump()
        return content_id(["ties", self._base_key, [self.key(m) for m in model.models], values])

    def vector(self, model: Model) -> Tensor:
        """All weights of a model, one after another in the order of `llama.shapes`."""
        if isinstance(model, Base):
            return self.base
        key = self.key(model)
        file = self.cache / "weights" / f"{key}.pt"
        if key not in self._recent:
            if file.exists():
                self._recent[key] = torch.load(file)
            else:
                self._recent[key] = self._train(model) if isinstance(model, Sft) else self._merge(model)
                if self.keep_weights:
                    torch.save(self._recent[key], part := file.with_suffix(f".{os.getpid()}"))
                    part.replace(file)
        while len(self._recent) > 50:
            self._recent.pop(next(iter(self._recent)))
        return self._recent[key]

    def _train(self, step: Sft) -> Tensor:
        values, data = self.values(step), self._data(step)
        _refuse(values)
        start = self.vector(step.model)
        torch.manual_seed(step.seed)
        adapter = (
            Adapter(self.llama, r=values.peft.r, scale=values.peft.lora_alpha / values.peft.r) if values.peft else None
        )
        frozen = self.llama.split(start)
        flat = (start if adapter is None else adapter.flat).clone().requires_grad_()
        size, steps = values.per_device_train_batch_size, _steps_of(len(data), values)
        optimizer = torch.optim.AdamW(
            [flat], lr=values.learning_rate, betas=(values.adam_beta1, values.adam_beta2), eps=values.adam_epsilon,
            weight_decay=values.weight_decay, fused=True,
        )  # fmt: skip
        schedule = _schedule(values, optimizer, steps)
        for batch in itertools.islice(_batches(data, size, step.seed), steps):
            w = self.llama.split(flat) if adapter is None else adapter.merged(frozen, flat)
            loss = self.llama.loss(w, batch, values.max_length)
            loss.backward()  # type: ignore[no-untyped-call]
            if values.max_grad_norm:
                torch.nn.utils.clip_grad_norm_([flat], values.max_grad_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            if not math.isfinite(loss.item()):
                break
        made = flat.detach()
        if adapter is not None:
            made = torch.cat([w.reshape(-1) for w in adapter.merged(frozen, made).values()])
        return made

    def _merge(self, step: Ties) -> Tensor:
        values = self.merges[step.setting]

        def each(value: float | list[float]) -> list[float]:
            return value if isinstance(value, list) else [value] * len(step.models)

        models = [self.vector(model) for model in step.models]
        return ties(self.llama, self.base, models, each(values.density), each(values.weight), values.normalize)

    def _items(self, model: Model, split: Split, task: str) -> list[int]:
        key = content_id([self.key(model), self.tasks[task].ids[split], self.limits[task]])
        file = self.cache / "scores" / f"{key}.json"
        if not file.exists():
            items = self._ask(model, split, task)
            part = file.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(items))
            part.replace(file)
        found: list[int] | None = json.loads(file.read_text())
        if found is None:
            raise Diverged("weights are not finite; try a lower learning_rate")
        return found

    def _ask(self, model: Model, split: Split, task: str) -> list[int] | None:
        rows = self.tasks[task]
        vector, items = self.vector(model), rows._sides[split][: self.limits[task]]
        if not bool(vector.isfinite().all()):
            return None
        w = self.llama.split(vector)
        if "choices" in items[0]:
            asked = [(i, choice) for i, item in enumerate(items) for choice in item["choices"]]
            pairs = [
                (self._prompt(items[i], rows.config.chat), self._tokenizer(choice).input_ids) for i, choice in asked
            ]
            logs = iter(self.llama.loglikelihoods(w, pairs))
            each = [[next(logs) for _ in item["choices"]] for item in items]
            return [
                int(likeliest(rows.metric, item["choices"], found) == item["answer"])
                for item, found in zip(items, each, strict=True)
            ]
        prompts = [self._prompt(item, rows.config.chat) for item in items]
        answers = self._tokenizer.batch_decode(self.llama.answers(w, prompts, rows.config.max_new_tokens))
        return [int(is_right(rows.metric, a, item["answer"])) for a, item in zip(answers, items, strict=True)]

    def _prompt(self, item: Mapping[str, Any], chat: bool) -> list[int]:
        if not chat:
            tokens: list[int] = self._tokenizer(item["prompt"]).input_ids
            return tokens
        asked = [{"role": "user", "content": item["prompt"]}]
        return list(
            self._tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)["input_ids"]
        )

    def _data(self, step: Sft) -> list[Row]:
        datasets: list[list[Any]] = [self.data[name] for name in sorted(step.datasets)]
        return list[Any](mixed(datasets, self.values(step).mixture))

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self._folder)

    @cached_property
    def _base_key(self) -> str:
        return _digest((self._folder / "model.safetensors").read_bytes())

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {name: f"{_digest(file.read_bytes())}:{limit}" for name, (file, limit) in self._files.items()}


def _settings(action: Any) -> dict[str, Any]:
    given = action.hyperparameters
    return dict(getattr(given, "named", given))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=10).hexdigest()


def _steps(model: Model) -> Iterator[Model]:
    yield model
    for below in () if isinstance(model, Base) else (model.model,) if isinstance(model, Sft) else model.models:
        yield from _steps(below)


def _refuse(values: SftHyperparameters) -> None:
    """What this loop does not do."""
    changed = values.model_dump(exclude_defaults=True)
    adapter = set(changed.get("peft") or {}) - {"r", "lora_alpha"}
    if others := sorted({*set(changed) - KNOWN, *(f"peft.{key}" for key in adapter)}):
        raise ValueError(f"the bare loop knows no {', '.join(others)}; take a setting without it")


def _steps_of(rows: int, values: SftHyperparameters) -> int:
    if values.max_steps > 0:
        return values.max_steps
    return math.ceil(values.num_train_epochs * math.ceil(rows / values.per_device_train_batch_size))


def _batches(data: Sequence[Row], size: int, seed: int) -> Iterator[list[Row]]:
    """Batches without end, each pass in the order that the Trainer's sampler draws for this seed."""
    for epoch in itertools.count():
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed + epoch)).tolist()
        for i in range(0, len(data), size):
            yield [data[j] for j in order[i : i + size]]


def _schedule(values: SftHyperparameters, optimizer: Any, steps: int) -> Any:
    from transformers import get_scheduler

    share = values.warmup_steps
    warmup = math.ceil(steps * share) if share < 1 else int(share)
    return get_scheduler(values.lr_scheduler_type, optimizer, num_warmup_steps=warmup, num_training_steps=steps)


def from_search(node: Node) -> Model:
    """The pipeline of a model that `lamdagent run` made."""
    if node.type is None:
        return BASE
    below = [from_search(child) for slot in ("model", "models") for child in node.inputs.get(slot, ())]
    setting = node.inputs["hyperparameters"][0].object
    name, varied = setting.setting.get("of", setting.name), setting.setting.get("varied", {})
    if node.type == "ties":
        return Ties(tuple(below), name)
    datasets = tuple(sorted(child.object.name for child in node.inputs["dataset"]))
    epochs, rate = varied.get("num_train_epochs"), varied.get("learning_rate")
    return Sft(below[0], datasets, name, epochs=epochs, learning_rate=rate, seed=node.seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="a folder made by lamdagent init")
    parser.add_argument("cache", type=Path)
    parser.add_argument("--against", type=Path, help="a run folder of the same study")
    asked = parser.parse_args()
    world = World(asked.study, cache=asked.cache)
    if asked.against:
        against(world, asked.against)
    else:
        mixed = Sft(BASE, tuple(world.data), max(world.settings, key="firm".__eq__))
        for name, model in (("base", BASE), ("mixed", mixed)):
            start = time.perf_counter()
            value = world.objective(model)
            print(f"{name:8} {value:.3f}  rows {world.rows(model):8.0f}  {time.perf_counter() - start:6.1f} s")


def against(world: World, run: Path) -> None:
    """Every model of a search made and scored again here, beside what the search gave it, task by task."""
    state = read_study(run).state
    print("model       product  bare    by task")
    gaps: list[list[float]] = []
    for model, objective in state.ranked():
        ours = world.scores(from_search(pipeline_of(state, model.id)))
        pairs = [
            (sum(ours[s.task]) / len(ours[s.task]), s.value) for s in state.scores[model.id] if s.split == "validation"
        ]
        gaps.append([bare - product for bare, product in pairs])
        each = "  ".join(f"{gap:+.3f}" for gap in gaps[-1])
        print(f"{model.name:10}  {objective.value:.4f}   {objective.value + fmean(gaps[-1]):.4f}  {each}", flush=True)
    flat = [gap for each in gaps for gap in each]
    means = [fmean(each) for each in gaps]
    print(f"objective: mean difference {fmean(means):+.4f}, largest {max(map(abs, means)):.4f}, {len(means)} models")
    print(f"a task: mean {fmean(flat):+.4f}, largest {max(map(abs, flat)):.4f}")


if __name__ == "__main__":
    main()
