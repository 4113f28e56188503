"""Supervised fine-tuning of a model on one dataset or a mixture of several, through TRL's SFTTrainer."""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lamdagent.actions._trl import examples_of, lora_config, tokens_of, trainer_arguments
from lamdagent.actions.faithful import Followed, why_lost_on_merging
from lamdagent.actions.sft_audit import audited
from lamdagent.core.action_type import Context, Loaded
from lamdagent.core.audit import AuditContext, Finding
from lamdagent.core.config import Config, Parts
from lamdagent.core.errors import DataError, Diverged
from lamdagent.core.settings import Free, Freedom, Settings
from lamdagent.core.training import Training
from lamdagent.core.types import ALL, Kind, Object, Slot
from lamdagent.objects.datasets.size import examples_seen, foreseen, rows_of
from lamdagent.objects.models.metadata import inherited

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

    @field_validator("max_steps")
    @classmethod
    def _some_or_all(cls, value: int) -> int:
        if value == 0:
            raise ValueError("0 steps train nothing; -1 follows num_train_epochs")
        return value

    @model_validator(mode="after")
    def _packed_into_something(self) -> Self:
        if self.packing and self.max_length is None:
            raise ValueError("packing: true needs a max_length to pack into")
        return self


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
    example = """\
sft:
  datasets: [1, all]
  hyperparameters:
    free: {num_train_epochs: [0.05, 8], learning_rate: [1.0e-6, 1.0e-3]}
    gentle: {learning_rate: 1.0e-5, per_device_train_batch_size: 16}
    lora: {learning_rate: 2.0e-4, peft: {r: 16, lora_alpha: 32}}
"""

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

    def audit(self, ctx: AuditContext) -> Iterable[Finding]:
        return audited(self, SftHyperparameters, ctx)

    def execute(self, inputs: Mapping[str, Sequence[Object]], seed: int, ctx: Context) -> Mapping[str, Any]:
        (model,), datasets, (setting,) = inputs["model"], inputs["dataset"], inputs["hyperparameters"]
        values = SftHyperparameters.model_validate(dict(setting.setting["values"]))
        train_dtype = values.dtype or (None if values.peft else "float32")
        loaded = ctx.models.fresh(model.id, ctx.weights(model), train_dtype=train_dtype)
        rows = mixed([training_rows(ctx.folder(d) / "data.jsonl") for d in datasets], values.mixture)
        try:
            examples, cut = tokens_of(loaded.tokenizer, rows, values.max_length)
        except DataError as error:  # of rows that an action made: the audit has seen the user's
            raise ValueError(str(error)) from error
        if not examples:
            raise ValueError(f"no prompt leaves room for its answer within max_length {values.max_length}")
        in_rows = rows_of(datasets, len(rows))
        told = _Told(ctx, model.model.get("parameters"), values, examples=len(examples), rows=in_rows)
        losses, followed = _train(loaded, examples, values, seed, ctx, told)
        trained_in = str(loaded.model.dtype).removeprefix("torch.")
        ctx.models.save(loaded, ctx.workdir / "weights")
        followed.after("writing the model", loaded.model, loaded.dtype, trained_in)
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


def mixed(datasets: Sequence[list[dict[str, Any]]], mixture: str) -> list[dict[str, Any]]:
    """The rows of one pass over several datasets; the trainer shuffles them."""
    if mixture == "concatenate" or len(datasets) == 1:
        return [row for rows in datasets for row in rows]
    longest = max(map(len, datasets))
    return [rows[i % len(rows)] for i in range(longest) for rows in datasets]


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
    from trl import SFTTrainer

    scratch = ctx.workdir / "trainer"
    args = trainer_arguments(values, scratch, device=ctx.models.device, stored=loaded.dtype, seed=seed)
    losses: list[float] = []
    trainer = SFTTrainer(
        model=loaded.model,
        args=args,
        train_dataset=Dataset.from_list(examples),
        processing_class=loaded.tokenizer,
        peft_config=lora_config(values.peft) if values.peft else None,
        callbacks=[_watch(losses, ctx, told, values)],
    )
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
