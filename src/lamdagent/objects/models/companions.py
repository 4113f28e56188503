"""What lies in a model folder beside the weights: config, tokenizer, chat template, generation settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from lamdagent.objects.models.metadata import INPUT_EMBEDDINGS, OUTPUT_HEADS, has_no_head, tensor_shapes, weight_files

TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
GENERATION = "generation_config.json"
NAMES = ("vocab.json", "vocab.txt", "merges.txt", "special_tokens_map.json", "added_tokens.json", GENERATION)


def write_companions(folder: Path, *, config_of: Path, conventions_of: Path, dtype: str) -> None:
    """Give weights that were just merged into `folder` the files that make them a model.

    Args:
        config_of: the model folder whose config.json says how they are computed.
        conventions_of: the one whose tokenizer, token ids, chat template and generation settings they go by.
        dtype: what the weights are stored in.
    """
    config = _read(config_of / "config.json")
    spoken = _read(conventions_of / "config.json")
    config = {key: value for key, value in config.items() if key not in (*TOKEN_IDS, "torch_dtype")}
    config |= {key: spoken[key] for key in TOKEN_IDS if key in spoken} | {"dtype": dtype}
    if (tied := _tied(folder)) is not None:
        config["tie_word_embeddings"] = tied
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    for file in [file for file in folder.iterdir() if _is_companion(file)]:
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    for file in [file for file in conventions_of.iterdir() if _is_companion(file)]:
        copy = shutil.copytree if file.is_dir() else shutil.copyfile
        copy(file, folder / file.name)


def _is_companion(file: Path) -> bool:
    named = file.name in NAMES or file.name.startswith(("tokenizer", "chat_template"))
    return named or file.suffix in (".model", ".jinja", ".tiktoken") or file.name == "additional_chat_templates"


def _tied(folder: Path) -> bool | None:
    """Whether the output head of these weights is their input embedding; None where the config's own word stands."""
    import torch
    from safetensors import safe_open

    shapes = {file: tensor_shapes(file) for file in weight_files(folder)}
    without_head = has_no_head({name: shape for one in shapes.values() for name, shape in one.items()})
    if without_head is not False:
        return without_head

    def read(names: tuple[str, ...]) -> Any:
        file, name = next((file, name) for file, one in shapes.items() for name in one if name.endswith(names))
        with safe_open(file, framework="pt") as tensors:
            return tensors.get_tensor(name)

    return None if torch.equal(read(OUTPUT_HEADS), read(INPUT_EMBEDDINGS)) else False


def _read(file: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return value
