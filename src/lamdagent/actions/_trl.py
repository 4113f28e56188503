"""What trainers of TRL share: rows as examples, examples as tokens, and a setting as TRL's and peft's own configs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lamdagent.core.config import Config
from lamdagent.objects.models.rendering import Renderer

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


def trainer_arguments(values: Any, folder: Path, *, device: str, stored: str, seed: int = 0) -> Any:
    """A setting of `sft` as TRL's SFTConfig.

    Args:
        values: an `SftHyperparameters`.
        device: what models are computed on.
        stored: the dtype that the model is stored in.
    """
    from trl import SFTConfig

    keys = values.model_dump(exclude={"peft", "dtype", "bf16", "mixture"})
    autocast = stored == "bfloat16" if values.bf16 is None else values.bf16
    # Unless logging_nan_inf_filter is off, a loss of nan is logged as the mean of those before it, and seen by nobody.
    return SFTConfig(
        output_dir=str(folder), save_strategy="no", report_to="none", disable_tqdm=True, logging_steps=1,
        logging_nan_inf_filter=False, seed=seed, data_seed=seed, bf16=autocast,
        use_cpu=device == "cpu", dataloader_pin_memory=device != "cpu", **keys,
    )  # fmt: skip


def lora_config(peft: Config) -> Any:
    """A setting's `peft` as peft's LoraConfig."""
    from peft import LoraConfig

    return LoraConfig(task_type="CAUSAL_LM", **peft.model_dump())
