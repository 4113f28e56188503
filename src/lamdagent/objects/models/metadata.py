"""What a Hugging Face model folder says of itself, read without torch.

The driver needs these facts to decide which models can be merged and to refuse a folder that is no model before
anything starts.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lamdagent.core.errors import DataError
from lamdagent.core.types import content_id

WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")
KIN = ("root", "architecture", "dtype", "parameters", "shapes", "tokenizer", "chat_template", "eos")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def read_facts(folder: Path) -> dict[str, Any]:
    """The `meta` of a model object: architecture, dtype, parameters, shapes, tokenizer, chat template, eos.

    `shapes` is the hash of every tensor's name and shape, and `tokenizer` that of the vocabulary: models can be merged
    where both are equal.

    Raises:
        DataError: the folder is no model, lacks a tokenizer or an EOS token, or a safetensors file is damaged.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder. Give a Hugging Face model folder, a hub id or a .gguf file.")
    config = _json(folder / "config.json")
    if not isinstance(config.get("architectures"), list) or not config["architectures"]:
        raise DataError(f"{folder / 'config.json'}: no 'architectures'; this is no Hugging Face language model folder.")
    tensors = {name: shape for file in weight_files(folder) for name, shape in tensor_shapes(file).items()}
    return {
        "architecture": config["architectures"][0],
        "dtype": str(config.get("dtype") or config.get("torch_dtype") or "float32"),
        "parameters": sum(math.prod(shape) for shape in tensors.values()),
        "shapes": content_id(tensors),
        "tokenizer": _vocabulary_id(folder),
        "chat_template": _has_chat_template(folder),
        "eos": _eos(folder, config),
    }


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
        files = [folder / name for name in sorted(set(_json(index)["weight_map"].values()))]
    else:
        files = [folder / WEIGHT_FILES[0]]
    for file in files:
        if not file.is_file():
            raise DataError(
                f"{file}: missing. Only safetensors weights are read; convert others with "
                "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)."
            )
    return files


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
            header = json.loads(handle.read(length))
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
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file}: not JSON ({error}).") from error
    if not isinstance(value, dict):
        raise DataError(f"{file}: expected a JSON object.")
    return value


def _vocabulary_id(folder: Path) -> str:
    file = next((folder / name for name in TOKENIZER_FILES if (folder / name).is_file()), None)
    if file is None:
        raise DataError(f"{folder}: no tokenizer (none of {', '.join(TOKENIZER_FILES)}). Copy the base model's here.")
    if file.name != "tokenizer.json":
        return content_id(file.read_bytes().hex())
    whole = _json(file)
    return content_id([whole.get("model", {}).get("vocab"), [t["content"] for t in whole.get("added_tokens", [])]])


def _has_chat_template(folder: Path) -> bool:
    file = folder / "tokenizer_config.json"
    inline = file.is_file() and bool(_json(file).get("chat_template"))
    return inline or (folder / "chat_template.jinja").is_file()


def _eos(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "tokenizer_config.json"
    eos = _json(file).get("eos_token") if file.is_file() else None
    if isinstance(eos, dict):
        eos = eos.get("content")
    if not eos:
        raise DataError(
            f"{file}: no 'eos_token'. Without one a trained model never ends its answers; "
            "set it to the token that ends a turn or a text."
        )
    return str(eos)
