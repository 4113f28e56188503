"""Brought models are examined as made ones are: do weights, tokenizer and configs go together?"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamdagent.core.audit import Finding
from lamdagent.core.errors import DataError
from lamdagent.core.text import some, told
from lamdagent.core.types import Object
from lamdagent.objects.models.metadata import has_weights, tensor_shapes, weight_files
from lamdagent.objects.models.rendering import Renderer

INPUT_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|word_embeddings|embed_in|tok_embeddings)\.weight$")
OUTPUT_EMBEDDING = re.compile(r"(^|\.)(lm_head|embed_out|output)\.weight$")
POSITIONS = re.compile(r"(^|\.)(wpe|embed_positions|position_embeddings)\.weight$")
POSITIONS_BEFORE = {"embed_positions": 2}  # OPT keeps two rows before the first position
GREEDY_NEUTRAL = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "encoder_repetition_penalty": 1.0}
GREEDY_ABSENT = ("bad_words_ids", "suppress_tokens", "begin_suppress_tokens", "forced_eos_token_id", "sequence_bias")


Report = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class Shapes:
    """Of a model's files: how many ids it has embeddings for, how many positions at most, and whether more cannot be
    computed (learned positions) or are only unlearnt (rotary ones). None where the files do not say."""

    ids: int | None
    positions: int | None
    positions_end: bool


def shapes_of(folder: Path) -> Shapes:
    """What the headers of weight files and the config say."""
    from transformers import AutoConfig

    files = weight_files(folder) if has_weights(folder) else []
    tensors = {name: shape for file in files for name, shape in tensor_shapes(file).items()}
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    ids = next((shape[0] for name, shape in tensors.items() if INPUT_EMBEDDING.search(name)), None)
    for name, shape in tensors.items():
        if match := POSITIONS.search(name):
            return Shapes(ids, shape[0] - POSITIONS_BEFORE.get(match[2], 0), positions_end=True)
    return Shapes(ids, getattr(config, "max_position_embeddings", None), positions_end=False)


def open_for_text(folder: Path) -> Any:
    """A model folder's tokenizer, padded as jobs pad."""
    from transformers import AutoTokenizer

    # Left out, a model that brings code has transformers ask on standard input whether to run it.
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def examined(model: Object, folder: Path) -> Iterator[Finding]:
    """What is wrong with a brought model, and which generation settings change its greedy answers."""
    path = ("models", model.name)
    report = loading_report(folder) if has_weights(folder) else None
    for text in _faults(folder, report):
        yield Finding(weight="refused", text=f"model {model.name}: {text}", path=path)
    for text in (*_left_out(report), *_unlike_its_base(model), *_ending_warnings(folder)):
        yield Finding(weight="warning", text=f"model {model.name}: {text}", path=path)
    for text in _generation_notes(folder):
        yield Finding(weight="note", text=f"model {model.name}: {text}", path=path)


def _faults(folder: Path, report: Report | None) -> Iterator[str]:
    tokenizer, shapes = open_for_text(folder), shapes_of(folder)
    if shapes.ids is not None:
        named = {
            "pad_token": tokenizer.pad_token_id,
            "eos_token": tokenizer.eos_token_id,
            "bos_token": tokenizer.bos_token_id,
        }
        for name, i in named.items():
            if i is not None and i >= shapes.ids:
                yield (
                    f"{name} {getattr(tokenizer, name)!r} has id {i}, and the embeddings have {shapes.ids} rows (ids 0 to "
                    f"{shapes.ids - 1}). Name another token in {folder / 'tokenizer_config.json'}, or resize the embeddings."
                )
    if report is not None:
        if lacking := why_random(folder, report["missing_keys"]):
            yield lacking
        yield from _tied_faults(folder)


def loading_report(folder: Path) -> Report:
    """What transformers finds on opening a model: `missing_keys` and `unexpected_keys`. No weights are read.

    Raises:
        DataError: it cannot be opened.
    """
    from transformers import AutoModelForCausalLM

    try:
        _, report = AutoModelForCausalLM.from_pretrained(
            folder, device_map={"": "meta"}, output_loading_info=True, trust_remote_code=False
        )
    except Exception as error:  # configs that do not go with the weights raise what they like
        raise DataError(f"{folder}: transformers cannot open it: {told(error)}") from error
    return {key: sorted(report[key]) for key in ("missing_keys", "unexpected_keys")}


def why_random(folder: Path, missing: Collection[str]) -> str | None:
    """That a model's files lack tensors of its architecture, which opening it fills with random numbers; None where they
    lack none."""
    if not missing:
        return None
    return (
        f"the weights in {folder} lack {len(missing)} of the tensors of its architecture ({some(sorted(missing))}): they "
        "would be random. Copy or download the model again, or mend architectures in config.json."
    )


def _unlike_its_base(model: Object) -> Iterator[str]:
    if reason := model.model.get("unlike_base"):
        yield f"it cannot be merged relative to the base that it names: {reason}"


def _left_out(report: Report | None) -> Iterator[str]:
    if report is not None and (unused := report["unexpected_keys"]):
        yield f"its architecture has no use for {len(unused)} tensors of its files ({some(unused)}), which are left out"


def _ending_warnings(folder: Path) -> Iterator[str]:
    """Ends of answers that other programs may not know."""
    from transformers import GenerationConfig

    tokenizer = open_for_text(folder)
    renderer, file = Renderer(tokenizer), folder / "tokenizer_config.json"
    written = (folder / "generation_config.json").is_file()
    own = GenerationConfig.from_pretrained(folder).eos_token_id if written else None
    known = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}
    end = renderer.turn_end
    if end is None and tokenizer.chat_template:
        yield f"its chat template puts nothing after an answer; {tokenizer.eos_token!r} is trained on there"
    elif end is not None and end.token not in known:
        yield (
            f"its chat template ends a turn with {end.text!r}, and eos_token in {file} is {tokenizer.eos_token!r}: answers "
            "end at both here, and elsewhere run on unless generation_config.json names both"
        )
    if after := renderer.put_after:
        yield (
            f"its tokenizer puts {tokenizer.decode(after)!r} after every text ({folder / 'tokenizer.json'}, or "
            f"add_eos_token in {file.name}): prompts are trained on and asked without it here, and elsewhere have it"
        )


def _tied_faults(folder: Path) -> Iterator[str]:
    """Configs that say embeddings are tied where the file has two different ones: the second would be dropped."""
    import torch
    from safetensors import safe_open
    from transformers import AutoConfig

    if not has_weights(folder) or not getattr(
        AutoConfig.from_pretrained(folder, trust_remote_code=False), "tie_word_embeddings", False
    ):
        return
    found = {}
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118, safe_open has no iteration
                for which, pattern in (("input", INPUT_EMBEDDING), ("output", OUTPUT_EMBEDDING)):
                    if pattern.search(name):
                        found[which] = tensors.get_tensor(name)
    if len(found) == 2 and not (found["input"].shape == found["output"].shape and torch.equal(*found.values())):
        yield (
            f"{folder / 'config.json'} says tie_word_embeddings, and the weights have an output embedding that is another: "
            "opening it drops one of them. Set tie_word_embeddings to false there."
        )


def _generation_notes(folder: Path) -> Iterator[str]:
    from transformers import GenerationConfig

    if not (folder / "generation_config.json").is_file():
        return
    config = GenerationConfig.from_pretrained(folder)
    changed = {key: getattr(config, key, None) for key in (*GREEDY_NEUTRAL, *GREEDY_ABSENT)}
    told = [f"{k}: {v}" for k, v in changed.items() if v not in (None, GREEDY_NEUTRAL.get(k))]
    if told:
        yield f"its generation_config.json changes greedy answers, so its scores: {', '.join(told)}"
