"""Import a .gguf file as a plain Hugging Face folder, once."""

from __future__ import annotations

from pathlib import Path


def import_text(file: Path, folder: Path) -> None:
    """Write the tokenizer and config of a GGUF file to `folder`, without its weights. Takes seconds."""
    from transformers import AutoConfig, AutoTokenizer

    for kind in (AutoConfig, AutoTokenizer):
        kind.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False).save_pretrained(folder)


def import_gguf(file: Path, folder: Path, *, dtype: str) -> None:
    """Write the dequantised model and tokenizer of a GGUF file to `folder`.

    Args:
        dtype: what to store the weights in; `auto` is bfloat16.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    stored = torch.bfloat16 if dtype == "auto" else getattr(torch, dtype)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
    quantised = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, trust_remote_code=False
    )
    config = quantised.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = stored
    # A model that was read from a quantised file refuses to be saved; one made from its config does not.
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(quantised.state_dict())
    plain.generation_config = quantised.generation_config
    plain.to(stored).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
