"""What a Hugging Face model folder says of itself, read without torch.

The driver needs these facts to decide which models can be merged and to refuse a folder that is no model before
anything starts.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lamdagent.core.errors import DataError
from lamdagent.core.text import parse_json, told
from lamdagent.core.types import Object, content_id

WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")
KIN = (
    "root", "architecture", "dtype", "parameters", "shapes", "tokenizer", "chat_template", "eos", "config", "conventions",
    "unlike_base", "tied",
)  # fmt: skip
CONVENTIONS = ("chat_template", "eos", "conventions")
"""Of KIN, how a model is spoken to and how it answers."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
OUTPUT_HEADS = ("lm_head.weight", "embed_out.weight")
INPUT_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")
COMPUTED_WITH = (
    "num_attention_heads", "num_key_value_heads", "max_position_embeddings", "sliding_window", "rms_norm_eps",
    "layer_norm_epsilon", "hidden_act", "tie_word_embeddings",
)  # fmt: skip
"""Keys of config.json by which equal tensors compute something else, beside those of the positions."""
DTYPE = re.compile(r"(torch\.)?(float(8_\w+|16|32|64)|bfloat16|half|float|double)")
NO_GENERATION_SETTING = ("_from_model_config", "transformers_version", "pad_token_id", "use_cache")


def read_facts(folder: Path) -> dict[str, Any]:
    """The `meta` of a model object: architecture, dtype, parameters, shapes, tokenizer, chat template, eos, config,
    conventions.

    `shapes` is the hash of every tensor's name and shape, a tied output head left out, and `tokenizer` that of the
    vocabulary. `config` is what of config.json changes what equal tensors compute, and `conventions` how the model is
    spoken to: BOS, EOS, the hash of its chat template, and its generation settings. Models can be merged where all of
    these are equal. `tied`: the output head is the input embedding.

    Raises:
        DataError: the folder is no model, lacks a tokenizer or an EOS token, or a safetensors file is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. Give a Hugging Face model folder, a hub id or a .gguf file.")
    config = _json(folder / "config.json")
    _check_config(folder / "config.json", config)
    tensors = {name: shape for file in weight_files(folder) for name, shape in tensor_shapes(file).items()}
    parameters, tied = sum(math.prod(shape) for shape in tensors.values()), bool(has_no_head(tensors))
    if config.get("tie_word_embeddings"):  # a copy of the embeddings, which some tools write out and others do not
        tensors = {name: shape for name, shape in tensors.items() if name not in OUTPUT_HEADS}
    conventions = _conventions(folder, config)
    return {
        "architecture": config["architectures"][0],
        "dtype": str(config.get("dtype") or config.get("torch_dtype") or "float32"),
        "parameters": parameters,
        "shapes": content_id(tensors),
        "tokenizer": _vocabulary_id(folder),
        "chat_template": conventions["chat_template"] is not None,
        "eos": conventions["eos_token"],
        "tied": tied or bool(config.get("tie_word_embeddings")),
        "config": _computed_with(config),
        "conventions": conventions,
    }


def why_unlike(models: Sequence[Object], keys: Sequence[str]) -> str | None:
    """Where the `meta` of models differs under these keys, in words; None where it does not. What is not known of one of
    them is not compared."""
    first = models[0]
    for other in models[1:]:
        for key in keys:
            one, two = first.meta.get(key), other.meta.get(key)
            if isinstance(one, Mapping) and isinstance(two, Mapping):
                both = sorted(k for k in one.keys() & two.keys() if one[k] != two[k])
                if differs := [k if k == "chat_template" else f"{k} ({one[k]} and {two[k]})" for k in both]:
                    return f"{first.name!r} and {other.name!r} disagree on {', '.join(differs)}"
            elif one != two and None not in (one, two):
                return f"{first.name!r} and {other.name!r} {UNLIKE[key]}"
    return None


UNLIKE = {
    "root": "do not descend from one base model",
    "architecture": "have different architectures",
    "shapes": "have tensors of different shapes",
    "tokenizer": "have different vocabularies",
}
ALIKE = (*UNLIKE, "config")
"""What models must have in common for their weights to be mixed."""


def beside_their_bases(objects: Sequence[Object]) -> tuple[Object, ...]:
    """The objects, each brought model of another one with what keeps it from being merged relative to that base, as
    `unlike_base` in its `meta`."""
    known = {obj.id: obj for obj in objects}
    found = []
    for obj in objects:
        base = known.get(obj.root) if obj.kind == "model" and "shapes" in obj.meta else None
        if base is not None and base is not obj:
            reason = why_unlike([base, obj], ("architecture", "shapes", "tokenizer"))
            obj = obj if reason is None else replace(obj, meta={**obj.meta, "unlike_base": reason})
        found.append(obj)
    return tuple(found)


def inherited(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a model's `meta` that training and merging leave as it is."""
    return {key: meta[key] for key in KIN if key in meta}


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder.

    Raises:
        DataError: there are none, or the index names one that is missing.
    """
    index = folder / WEIGHT_FILES[1]
    if index.exists():
        named = _json(index).get("weight_map")
        if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
            raise DataError(f"{index}: 'weight_map' must name a file for each tensor. Copy or download it again.")
        files = [folder / name for name in sorted(set(named.values()))]
        if outside := [file for file in files if file.parent != folder]:
            raise DataError(f"{index}: {outside[0]} is not in this folder.")
    else:
        files = [folder / WEIGHT_FILES[0]]
    for file in files:
        if not file.is_file():
            raise DataError(
                f"{file}: missing. Only safetensors weights are read; convert others with "
                "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)."
            )
    return files


def has_no_head(tensors: Mapping[str, Sequence[int]]) -> bool | None:
    """Whether tensors of a model, by name and shape, have an input embedding and no output head beside it; None where
    that cannot be told, since one may go by another name."""
    embedding = next((name for name in tensors if name.endswith(INPUT_EMBEDDINGS)), None)
    if embedding is None:
        return None
    if any(name in OUTPUT_HEADS for name in tensors):
        return False
    others = [name for name, shape in tensors.items() if shape == tensors[embedding] and name != embedding]
    return None if others else True


def has_weights(folder: Path) -> bool:
    """Whether a model folder has safetensors; one of a .gguf file that is not imported yet has none."""
    return any((folder / name).is_file() for name in WEIGHT_FILES)


def tensor_shapes(file: Path) -> dict[str, list[int]]:
    """Name and shape of each tensor in a safetensors file.

    Raises:
        DataError: the header cannot be read, or the file's size is not what the header says.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as handle:
            (length,) = struct.unpack("<Q", handle.read(8))
            if length > size:
                raise ValueError(f"header of {length} bytes in a file of {size}")
            header = parse_json(handle.read(length))
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        shapes = {name: list(entry["shape"]) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise DataError(f"{file}: not a safetensors file ({error}). Copy or download it again.") from error
    if 8 + length + end != size:
        raise DataError(
            f"{file}: {size} bytes, but its header describes {8 + length + end}. Copy or download it again."
        )
    return shapes


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise DataError(f"{file}: missing. Is {file.parent} a Hugging Face model folder?")
    try:
        value = parse_json(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file}: not JSON ({error}).") from error
    if not isinstance(value, dict):
        raise DataError(f"{file}: expected a JSON object.")
    return value


def _vocabulary_id(folder: Path) -> str:
    file = next((folder / name for name in TOKENIZER_FILES if (folder / name).is_file()), None)
    if file is None:
        return content_id(sorted(_tokenizer(folder).get_vocab().items()))
    if file.name != "tokenizer.json":
        return content_id(file.read_bytes().hex())
    whole = _json(file)
    model, added = whole.get("model"), whole.get("added_tokens") or []
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict | list):
        raise DataError(f"{file}: no 'model' with a 'vocab', so it is no tokenizer. Copy the base model's here.")
    if not isinstance(added, list) or not all(isinstance(t, dict) and isinstance(t.get("content"), str) for t in added):
        raise DataError(f"{file}: 'added_tokens' must be a list of objects with 'content'. Copy the base model's here.")
    return content_id([model["vocab"], [token["content"] for token in added]])


def _tokenizer(folder: Path) -> Any:
    """The folder's tokenizer, where what it says of itself does not stand in a file that is read here."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # of every kind: each tokenizer class has its own files to miss
        reason = told(error, 200)
        raise DataError(
            f"{folder}: no tokenizer (none of {', '.join(TOKENIZER_FILES)}, and AutoTokenizer says {reason}). "
            "Copy the base model's here."
        ) from error


def _check_config(file: Path, config: Mapping[str, Any]) -> None:
    """What is read of a config.json is of the kind that it must be.

    Raises:
        DataError: it is not.
    """
    named, ends = config.get("architectures"), config.get("eos_token_id")
    if not isinstance(named, list) or not named or not isinstance(named[0], str):
        raise DataError(f"{file}: no 'architectures'; this is no Hugging Face language model folder.")
    dtype = config.get("dtype") or config.get("torch_dtype")
    if dtype is not None and not (isinstance(dtype, str) and DTYPE.fullmatch(dtype)):
        raise DataError(f"{file}: dtype {dtype!r:.60} is none that weights are stored in, such as float32 or bfloat16.")
    for key in ("rope_parameters", "rope_scaling"):
        if not isinstance(config.get(key) or {}, dict):
            raise DataError(f"{file}: {key} must be an object, not {config[key]!r:.60}.")
    _check_ends(file, ends)


def _check_ends(file: Path, ends: Any) -> None:
    if not all(i is None or type(i) is int for i in (ends if isinstance(ends, list) else [ends])):
        raise DataError(f"{file}: eos_token_id must be a token's number or a list of them, not {ends!r:.60}.")


def _computed_with(config: Mapping[str, Any]) -> dict[str, Any]:
    rope = config.get("rope_parameters") or {
        **(config.get("rope_scaling") or {}),
        "rope_theta": config.get("rope_theta"),
    }
    rope = {"rope_type" if key == "type" else key: value for key, value in rope.items() if value is not None}
    if rope:
        rope.setdefault("rope_type", "default")
    found = {key: config[key] for key in COMPUTED_WITH if config.get(key) is not None}
    return {**found, **({"rope": rope} if rope else {})}


def _conventions(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """What is None is known to be absent. `eos_token_id` is that of generation_config.json, else of config.json."""
    file = folder / "tokenizer_config.json"
    said = _json(file) if file.is_file() else {}
    generation = _json(folder / "generation_config.json") if (folder / "generation_config.json").is_file() else config
    ends = generation.get("eos_token_id", config.get("eos_token_id"))
    _check_ends(folder / "generation_config.json", ends)
    settings = (
        {k: v for k, v in generation.items() if k not in NO_GENERATION_SETTING} if generation is not config else {}
    )
    settings.pop("eos_token_id", None)
    template = _chat_template(folder, said) or None
    bos = said.get("bos_token")
    return {
        "bos_token": bos.get("content") if isinstance(bos, dict) else bos,
        "add_bos_token": said.get("add_bos_token"),
        "eos_token": _eos(folder, said),
        "eos_token_id": sorted(i for i in ends if i is not None) if isinstance(ends, list) else [ends],
        "chat_template": None if template is None else content_id(template),
        "generation_config": dict(sorted((k, v) for k, v in settings.items() if v not in (None, False))),
    }


def _chat_template(folder: Path, tokenizer_config: Mapping[str, Any]) -> Any:
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{file}: not UTF-8 text ({error}).") from error
    given = tokenizer_config.get("chat_template")
    named = given if isinstance(given, list) else []
    pairs = all(
        isinstance(n, dict) and isinstance(n.get("name"), str) and isinstance(n.get("template"), str) for n in named
    )
    if not pairs or not isinstance(given, str | list | None):
        file = folder / "tokenizer_config.json"
        raise DataError(f"{file}: chat_template must be a text, or a list of objects with name and template.")
    return given


def _eos(folder: Path, tokenizer_config: Mapping[str, Any]) -> str:
    eos = tokenizer_config.get("eos_token")
    if isinstance(eos, dict):
        eos = eos.get("content")
    if not eos and "eos_token" not in tokenizer_config:  # it may be the default of the tokenizer's class
        eos = _tokenizer(folder).eos_token
    if not eos or not isinstance(eos, str):
        raise DataError(
            f"{folder / 'tokenizer_config.json'}: no 'eos_token'. Without one a trained model never ends its answers; "
            "set it to the token that ends a turn or a text."
        )
    return eos
