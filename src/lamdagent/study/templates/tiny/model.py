"""The tiny world's base model: a character tokenizer, a small Llama, and its pretraining on all skills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from lamdagent.study.templates.tiny.skills import QAPair

EOS, PAD, UNKNOWN, USER, ASSISTANT = "<|end|>", "<|pad|>", "<|unknown|>", "<|user|>", "<|assistant|>"
CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
STEPS = 360
BATCH = 32
LEARNING_RATE = 3e-3
WIDTH = 96
THREADS = 1  # so small a model gains little from more, and one keeps it the same whatever the machine has free
CONTEXT = 256
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "<|assistant|>{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}"
    "{% else %}<|user|>{{ message['content'] }}<|end|>{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make_tokenizer() -> Any:
    """A tokenizer of one token per character of printable ASCII and newline, with no token added before a text.

    Decoding gives back every such text exactly, and a text's tokens do not depend on what stands before it.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate((PAD, EOS, UNKNOWN, USER, ASSISTANT, *CHARACTERS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast: Any = PreTrainedTokenizerFast
    return fast(
        tokenizer_object=tokenizer,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=UNKNOWN,
        additional_special_tokens=[USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT,
    )


def make_model(tokenizer: Any, *, width: int = WIDTH) -> Any:
    """An untrained float32 Llama drawn from torch's global random state: 0.45 M parameters at a width of 96, four times
    as many at twice the width."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=width * 8 // 3,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=CONTEXT,
            rope_parameters={"rope_type": "default", "rope_theta": 100.0},
            initializer_range=0.08,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def write_base(
    folder: Path,
    items: Sequence[QAPair],
    *,
    seed: int,
    steps: int = STEPS,
    width: int = WIDTH,
    report: Callable[[int, int], None] | None = None,
) -> None:
    """Pretrain on `items` and write a Hugging Face folder; torch's global random state and threads stay the same."""
    import torch

    tokenizer = make_tokenizer()
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model = make_model(tokenizer, width=width)
        _pretrain(model, tokenizer, items, steps, Random(seed), report)
    finally:
        torch.set_num_threads(threads)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def batch_of(tokenizer: Any, items: Sequence[QAPair]) -> dict[str, Any]:
    """Rows of input_ids, attention_mask, labels, each (items, longest): prompt, completion, end; no loss on prompts."""
    import torch

    prompts = tokenizer([item.prompt for item in items]).input_ids
    completions = tokenizer([item.completion + EOS for item in items]).input_ids
    rows = list(zip(prompts, completions, strict=True))
    longest = max(len(prompt) + len(completion) for prompt, completion in rows)
    ids = torch.full((len(rows), longest), tokenizer.pad_token_id)
    labels = torch.full((len(rows), longest), -100)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for i, (prompt, completion) in enumerate(rows):
        size = len(prompt) + len(completion)
        ids[i, :size] = torch.tensor(prompt + completion)
        labels[i, len(prompt) : size] = torch.tensor(completion)
        mask[i, :size] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def _pretrain(
    model: Any,
    tokenizer: Any,
    items: Sequence[QAPair],
    steps: int,
    rng: Random,
    report: Callable[[int, int], None] | None,
) -> None:
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    model.train()
    for step in range(steps):
        model(**batch_of(tokenizer, rng.choices(items, k=BATCH))).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if report is not None:
            report(step + 1, steps)
    model.eval()
