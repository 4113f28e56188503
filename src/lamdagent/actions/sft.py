"""Supervised fine-tuning of a model on one dataset or a mixture of several, through TRL's SFTTrainer."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from lamdagent.actions.faithful import Followed, why_lost_on_merging
from lamdagent.core.action_type import Context, Loaded
from lamdagent.core.config import Config, Parts
from lamdagent.core.errors import Diverged
from lamdagent.core.settings import Free, Freedom, Settings
from lamdagent.core.training import Training
from lamdagent.core.types import ALL, Kind, Object, Slot
from lamdagent.objects.datasets.size import examples_seen, foreseen, rows_of
from lamdagent.objects.models.metadata import inherited
from lamdagent.objects.models.rendering import Renderer

log = logging.getLogger(__name__)


class Peft(Config):
    """peft's LoraConfig, by its own key names. The adapter is merged back into the model after training."""

    r: int = Field(16, ge=1, description="rank of the adapter")
    lora_alpha: float = Field(32, gt=0, description="scale: the update is multiplied by lora_alpha / r")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    target_modules: str | list[str] = Field("all-linear", description="modules that get an adapter")
    use_rslora: bool = Field(False, description="scale by lora_alpha / sqrt(r)")
    use_dora: bool = Field(False, description="weight-decomposed LoRA")


class SftHyperparameters(Config):
    """One hyperparameter setting of `sft`, by TRL's key names."""

    learning_rate: float = Field(2e-5, gt=0, description="peak learning rate")
    num_train_epochs: float = Field(1.0, gt=0, description="passes over the datasets")
    max_steps: int = Field(-1, ge=-1, description="optimiser steps; -1 follows num_train_epochs")
    per_device_train_batch_size: int = Field(8, ge=1, description="examples per device and step")
    gradient_accumulation_steps: int = Field(1, ge=1, description="batches per optimiser step")
    max_length: int | None = Field(1024, ge=2, description="tokens an example is cut to")
    lr_scheduler_type: str = Field("linear", description="linear, cosine, constant, constant_with_warmup, …")
    warmup_steps: float = Field(0, ge=0, description="steps of warm-up; below 1 a share of all steps")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
    max_grad_norm: float = Field(1.0, ge=0, description="gradient norm is clipped to this; 0 is off")
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="AdamW")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="AdamW")
    adam_epsilon: float = Field(1e-8, gt=0, description="AdamW")
    optim: str = Field("adamw_torch", description="optimiser, by transformers' names")
    packing: bool = Field(False, description="pack several examples into one sequence")
    gradient_checkpointing: bool = Field(False, description="less memory, more time")
    neftune_noise_alpha: float | None = Field(None, ge=0, description="noise on the embeddings (NEFTune)")
    label_smoothing_factor: float = Field(0.0, ge=0, lt=1, description="label smoothing")
    bf16: bool | None = Field(None, description="bfloat16 autocast; unset: where the model is stored in bfloat16")
    dtype: Literal["float32", "bfloat16", "float16"] | None = Field(
        None, description="weights while training; unset: float32, or with peft as the model is stored"
    )
    peft: Peft | None = Field(None, description="train a LoRA adapter instead of all weights")
    mixture: Literal["concatenate", "even"] = Field(
        "concatenate",
        description="of several datasets: all rows of each a pass; or evenly many of each, small ones repeated until the "
        "largest is used up (interleave_datasets, all_exhausted)",
    )


class SftSettings(Settings):
    """Named settings, by TRL's keys, and the amounts that a policy may choose for itself."""

    __pydantic_extra__: dict[str, SftHyperparameters]


DEFAULTS = SftHyperparameters().model_dump()


class SftConfig(Config):
    """Supervised fine-tuning of one model on one or several datasets under one setting."""

    datasets: list[int | Literal["all"]] = Field(
        [1, 1],
        min_length=1,
        max_length=2,
        description="how many datasets a step may mix: [n] or [least, most]; `all` is as many as there are",
    )
    hyperparameters: SftSettings = Field(description="named settings, by TRL's keys, and what is `free`")

    @field_validator("datasets")
    @classmethod
    def _least_and_most(cls, value: list[int | Literal["all"]]) -> list[int | Literal["all"]]:
        bounds = [ALL if n == "all" else n for n in value]
        if bounds[0] < 1 or bounds[0] == ALL or sorted(bounds) != bounds:
            raise ValueError(
                f"a step takes 1 or more datasets, given as [n] or [least, most], such as [1, all], not {value}"
            )
        return value

    def arguments(self, parts: Parts) -> dict[str, Any]:
        bounds = [ALL if n == "all" else n for n in self.datasets]
        return {"datasets": bounds, "free": self.hyperparameters.free}


def no_preferences(dataset: Object) -> str | None:
    """Why `sft` does not train on a dataset; None if it does."""
    if dataset.dataset.get("format") != "preference":
        return None
    return f"dataset {dataset.name!r} holds preferences; sft takes prompt and completion, messages, or text"


class Sft:
    """Train a model on one or several datasets: loss on completions only, the model's chat template for `messages`.

    Args:
        datasets: how many a step may mix, (n,) or (least, most). All of their rows are shuffled together by the seed.
        free: the amounts that a policy may choose for itself; None is none.
    """

    Config = SftConfig
    name, version = "sft", 2
    makes: Kind = "model"

    def __init__(self, *, datasets: Sequence[int] = (1, 1), free: Free | None = None) -> None:
        self.slots = (
            Slot(name="model", kind="model"),
            Slot(
                name="dataset",
                kind="dataset",
                at_least=datasets[0],
                at_most=datasets[-1],
                accepts=no_preferences,
            ),
            Slot(name="hyperparameters", kind="hyperparameters"),
        )
        self.freedom = Freedom(bounds=free or Free(), of=SftHyperparameters)

    def validate(self, inputs: Mapping[str, Sequence[Object]]) -> str | None:
        (model,), datasets = inputs["model"], inputs["dataset"]
        formats = {d.dataset.get("format"): d for d in datasets}
        if len(formats) > 1:
            holds = ", ".join(f"{d.name!r} holds {format}" for format, d in formats.items())
            return f"datasets of one step have rows of one shape, but {holds}; `chat: true` makes messages of prompts"
        if "messages" in formats and not model.model.get("chat_template"):
            return f"dataset {datasets[0].name!r} holds messages, and model {model.name!r} has no chat template"
        (setting,) = inputs["hyperparameters"]
        peft = setting.setting["values"].get("peft")
        return None if peft is None else why_lost_on_merging(model, peft["target_modules"])

    def cost(self, inputs: Mapping[str, Sequence[Object]]) -> Training:
        (model,), (setting,) = inputs["model"], inputs["hyperparameters"]
        values = {**DEFAULTS, **setting.setting["values"]}
        return foreseen(
            model,
            inputs["dataset"],
            epochs=values["num_train_epochs"],
            max_steps=values["max_steps"],
            per_step=values["per_device_train_batch_size"] * values["gradient_accumulation_steps"],
            max_length=values["max_length"],
            packing=values["packing"],
            even=values.get("mixture") == "even",
        )

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        (model,), datasets, (setting,) = inputs["model"], inputs["dataset"], inputs["hyperparameters"]
        values = SftHyperparameters.model_validate(dict(setting.setting["values"]))
        train_dtype = values.dtype or (None if values.peft else "float32")
        loaded = ctx.models.fresh(model.id, ctx.weights(model), train_dtype=train_dtype)
        rows = mixed([training_rows(ctx.folder(d) / "data.jsonl") for d in datasets], values.mixture)
        in_rows = rows_of(datasets, len(rows))
        told = _Told(ctx, model.model.get("parameters"), values, examples=len(rows), rows=in_rows)
        examples, cut = tokens_of(loaded.tokenizer, rows, values.max_length)
        losses, followed = _train(loaded, examples, values, seed, ctx, told)
        ctx.models.save(loaded, ctx.workdir / "weights")
        followed.after("writing the model", loaded.model, loaded.dtype)
        ctx.keep(loaded)
        facts = {"examples": len(rows), "cut_examples": cut, "dropped_examples": len(rows) - len(examples)}
        return {
            **inherited(model.model),
            **facts,
            "steps": len(losses),
            "last_loss": losses[-1],
            "first_loss": losses[0],
        }


def training_rows(file: Path) -> list[dict[str, Any]]:
    """Rows as TRL takes them; a conversation becomes one example for each of its assistant turns."""
    with file.open(encoding="utf-8") as lines:  # str.splitlines would also split at separators inside a text
        rows = [json.loads(line) for line in lines]
    return [example for row in rows for example in examples_of(row)]


def examples_of(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a kept row is trained on as: a conversation as one example for each turn of the assistant that is learnt."""
    if "messages" not in row:
        return [dict(row)]
    turns = [{key: value for key, value in turn.items() if key != "weight"} for turn in row["messages"]]
    ends = [
        i for i, turn in enumerate(row["messages"]) if turn["role"] == "assistant" and turn.get("weight") != 0 and i > 0
    ]
    tools = {"tools": row["tools"]} if "tools" in row else {}
    return [{"prompt": turns[:i], "completion": [turns[i]], **tools} for i in ends]


def mixed(datasets: Sequence[list[dict[str, Any]]], mixture: str) -> list[dict[str, Any]]:
    """The rows of one pass over several datasets; the trainer shuffles them."""
    if mixture == "concatenate" or len(datasets) == 1:
        return [row for rows in datasets for row in rows]
    longest = max(map(len, datasets))
    return [rows[i % len(rows)] for i in range(longest) for rows in datasets]


NO_LOSS = -100


def tokens_of(
    tokenizer: Any, rows: Sequence[Mapping[str, Any]], max_length: int | None
) -> tuple[list[dict[str, list[int]]], int]:
    """Examples as TRL takes them, `input_ids` and `labels`, and how many were cut to `max_length`; those of which nothing
    that is learnt is left are left out.

    Raises:
        DataError: a chat template refuses a row.
    """
    renderer, examples, cut = Renderer(tokenizer), list[dict[str, list[int]]](), 0
    for made in renderer.tokens([renderer.texts(row) for row in rows]):
        ids, labels = [*made.prompt, *made.completion], [*[NO_LOSS] * len(made.prompt), *made.completion]
        cut += max_length is not None and len(ids) > max_length
        if any(label != NO_LOSS for label in labels[:max_length]):
            examples.append({"input_ids": ids[:max_length], "labels": labels[:max_length]})
    return examples, cut


def _train(
    loaded: Loaded,
    examples: list[dict[str, list[int]]],
    values: SftHyperparameters,
    seed: int,
    ctx: Context,
    told: _Told,
) -> tuple[list[float], Followed]:
    """Train in place; the loss of every step, and what the model now says.

    Raises:
        Diverged: a loss or a weight is not finite.
        Invalid: with its adapter merged in, the model is another one.
    """
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    keys = values.model_dump(exclude={"peft", "dtype", "bf16", "mixture"})
    autocast = loaded.dtype == "bfloat16" if values.bf16 is None else values.bf16
    scratch = ctx.workdir / "trainer"
    losses: list[float] = []
    # Unless logging_nan_inf_filter is off, a loss of nan is logged as the mean of those before it, and seen by nobody.
    trainer = SFTTrainer(
        model=loaded.model,
        args=SFTConfig(
            output_dir=str(scratch), save_strategy="no", report_to="none", disable_tqdm=True, logging_steps=1,
            logging_nan_inf_filter=False, seed=seed, data_seed=seed, bf16=autocast,
            use_cpu=ctx.models.device == "cpu", dataloader_pin_memory=ctx.models.device != "cpu", **keys,
        ),
        train_dataset=Dataset.from_list(examples),
        processing_class=loaded.tokenizer,
        peft_config=LoraConfig(task_type="CAUSAL_LM", **values.peft.model_dump()) if values.peft else None,
        callbacks=[_watch(losses, ctx, told, values)],
    )  # fmt: skip
    trainer.train()
    shutil.rmtree(scratch, ignore_errors=True)
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    if values.gradient_checkpointing:
        model.gradient_checkpointing_disable()
    if not all(bool(torch.isfinite(p).all()) for p in model.parameters()):
        raise Diverged(f"weights are not finite after {len(losses)} steps{why_diverged(losses, values)}")
    followed = Followed(model, [example["input_ids"] for example in examples])
    loaded.model = model.merge_and_unload() if values.peft else model
    if values.peft:
        followed.after("merging the adapter", loaded.model, str(loaded.model.dtype).removeprefix("torch."))
    return losses, followed


def why_diverged(losses: Sequence[float], values: SftHyperparameters) -> str:
    """What was seen that explains weights or a loss that are not finite, and what would help; empty where nothing was.

    Args:
        losses: those of the steps before.
    """
    import torch

    if values.dtype == "float16" and not values.peft and not torch.tensor(values.adam_epsilon, dtype=torch.float16):
        return f"; adam_epsilon {values.adam_epsilon:g} is 0 in float16, by which AdamW then divides: leave dtype at float32"
    if len(losses) > 1 and losses[-1] > losses[0]:
        return f"; before, the loss rose from {losses[0]:.3g} to {losses[-1]:.3g}: try a lower learning_rate"
    return ""


class _Told:
    """Tells what was trained on so far. `rows` are those of `examples`: fewer where conversations make several.

    Tokens are those that TRL counts: all that are not padding, prompts too.
    """

    def __init__(
        self, ctx: Context, parameters: int | None, values: SftHyperparameters, *, examples: int, rows: int
    ) -> None:
        self._ctx, self._parameters, self._values = ctx, parameters, values
        self._examples, self._rows = examples, rows
        ctx.trained(rows=0, tokens=0, parameters=parameters)

    def step(self, step: int, epoch: float, tokens: int) -> None:
        per_step = self._values.per_device_train_batch_size * self._values.gradient_accumulation_steps
        seen = epoch if self._values.packing else examples_seen(step, self._examples, per_step) / self._examples
        self._ctx.trained(rows=round(seen * self._rows), tokens=tokens, parameters=self._parameters)


def _watch(losses: list[float], ctx: Context, told: _Told, values: SftHyperparameters) -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            if (loss := logs.get("loss")) is None:
                return
            told.step(state.global_step, state.epoch, int(logs["num_tokens"]))
            if not math.isfinite(loss) or not math.isfinite(logs.get("grad_norm") or 0.0):
                found = (
                    f"loss is {loss} and the norm of its gradient {logs.get('grad_norm')} at step {state.global_step}"
                )
                raise Diverged(f"{found}, learning_rate {values.learning_rate:g}{why_diverged(losses, values)}")
            losses.append(loss)
            ctx.progress("train", state.global_step, state.max_steps, loss=loss)

    return Watch()
