from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lamdagent.study.templates.tiny.model import CHARACTERS, batch_of
from lamdagent.study.templates.tiny.skills import SKILLS, QAPair

pytestmark = pytest.mark.slow


def test_making_it_tells_each_step_and_leaves_the_random_state_and_the_threads_as_they_were(world: Path) -> None:
    made = json.loads((world / "made.json").read_text())
    assert made["random_state_kept"] and made["threads_kept"]
    assert [done for done, _ in made["steps"]] == list(range(1, made["steps"][-1][1] + 1))


def load(world: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = world / "models" / "base"
    return AutoModelForCausalLM.from_pretrained(base), AutoTokenizer.from_pretrained(base)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def share(right: Iterable[bool]) -> float:
    marks = list(right)
    return sum(marks) / len(marks)


def score(world: Path, model: Any, tokenizer: Any, skill: str) -> float:
    """The share of right answers: greedy and exact, or the likeliest choice."""
    import torch

    task = rows(world / "tasks" / f"{skill}.validation.jsonl")
    with torch.no_grad():
        if "choices" in task[0]:
            batch = batch_of(tokenizer, [QAPair(row["prompt"], choice) for row in task for choice in row["choices"]])
            labels = batch.pop("labels")[:, 1:]
            logits = model(**batch).logits[:, :-1].log_softmax(-1)
            each = logits.gather(-1, labels.clamp(min=0)[..., None])[..., 0] * (labels != -100)
            best = each.sum(1).view(len(task), -1).argmax(1).tolist()
            return share(guess == row["answer"] for guess, row in zip(best, task, strict=True))
        asked = tokenizer([row["prompt"] for row in task], padding=True, padding_side="left", return_tensors="pt")
        asked.pop("token_type_ids", None)
        written = model.generate(**asked, do_sample=False, max_new_tokens=18)[:, asked["input_ids"].shape[1] :]
    answers = tokenizer.batch_decode(written, skip_special_tokens=True)
    return share(answer == row["answer"] for answer, row in zip(answers, task, strict=True))


def tune(world: Path, model: Any, tokenizer: Any, data: str) -> None:
    """One epoch of batches of 16 at a learning rate falling from 1e-3."""
    import torch

    items = [QAPair(row["prompt"], row["completion"]) for row in rows(world / "data" / f"{data}.jsonl")]
    Random(0).shuffle(items)
    batches = [items[i : i + 16] for i in range(0, len(items), 16)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=len(batches))
    for batch in batches:
        model(**batch_of(tokenizer, batch)).loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


def test_the_base_is_a_small_float32_model_with_distinct_end_and_pad_tokens(world: Path) -> None:
    import torch

    model, tokenizer = load(world)
    assert 300_000 <= sum(weight.numel() for weight in model.parameters()) <= 500_000
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert model.config.eos_token_id == model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.config.pad_token_id == model.generation_config.pad_token_id == tokenizer.pad_token_id
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_the_tokenizer_gives_a_token_a_character_and_gives_every_text_back(world: Path) -> None:
    _, tokenizer = load(world)
    text = f"  two  spaces , and n't \n\n{CHARACTERS} "
    ids = tokenizer(text).input_ids
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer(text + "rest").input_ids == ids + tokenizer("rest").input_ids


def test_the_chat_template_ends_every_turn_and_marks_what_the_assistant_says(world: Path) -> None:
    _, tokenizer = load(world)
    asked = [{"role": "user", "content": "add 1 2:"}]
    messages = [*asked, {"role": "assistant", "content": "3"}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    assert prompt == "<|user|>add 1 2:<|end|><|assistant|>"
    assert tokenizer.apply_chat_template(messages, tokenize=False) == prompt + "3<|end|>"
    row = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    said = [i for i, mark in zip(row["input_ids"], row["assistant_masks"], strict=True) if mark]
    assert tokenizer.decode(said) == "3<|end|>"


def test_the_base_knows_every_skill_in_part(world: Path) -> None:
    model, tokenizer = load(world)
    scores = {skill: score(world, model, tokenizer, skill) for skill in SKILLS}
    assert all(0.15 <= value <= 0.95 for value in scores.values()), scores


def test_tuning_on_one_skill_lifts_it_and_forgets_others(world: Path) -> None:
    model, tokenizer = load(world)
    before = {skill: score(world, model, tokenizer, skill) for skill in ("reverse", "call", "facts")}
    tune(world, model, tokenizer, "reverse")
    after = {skill: score(world, model, tokenizer, skill) for skill in before}
    assert after["reverse"] > before["reverse"] + 0.1
    assert math.fsum(after[skill] - before[skill] for skill in ("call", "facts")) < -0.1
