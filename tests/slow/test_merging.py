"""TIES through mergekit on the tiny model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lamdagent.actions.merge import merge, merge_recipe

pytestmark = pytest.mark.slow


@pytest.fixture
def specialists(world: Path, tmp_path: Path) -> list[str]:
    """Two models that moved away from the base at random."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folders = []
    for seed in (1, 2):
        model = AutoModelForCausalLM.from_pretrained(world / "models" / "base")
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
        folders.append(str(tmp_path / f"specialist-{seed}"))
        model.save_pretrained(folders[-1])
        AutoTokenizer.from_pretrained(world / "models" / "base").save_pretrained(folders[-1])
    return folders


@pytest.mark.parametrize(
    "values",
    [
        {"density": 0.5, "weight": 1.0, "normalize": True},
        {"density": [0.2, 0.7], "weight": [0.5, 0.3], "normalize": False},
    ],
)
def test_our_merge_equals_mergekit_yaml_on_the_same_recipe(
    world: Path, tmp_path: Path, specialists: list[str], values: dict[str, object]
) -> None:
    from safetensors.torch import load_file

    recipe = merge_recipe(specialists, str(world / "models" / "base"), values, "float32")
    merge(recipe, tmp_path / "ours", device="cpu")
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    tool = Path(sys.executable).parent / "mergekit-yaml"
    subprocess.run([tool, tmp_path / "recipe.yaml", tmp_path / "theirs"], check=True, capture_output=True)
    ours, theirs = (load_file(tmp_path / who / "model.safetensors") for who in ("ours", "theirs"))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.equal(theirs[name]), name


def test_a_merged_model_is_a_plain_folder_with_its_tokenizer_and_generation_config(
    world: Path, tmp_path: Path, specialists: list[str]
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    values = {"density": 0.5, "weight": 1.0, "normalize": True}
    merge(merge_recipe(specialists, str(world / "models" / "base"), values, "float32"), tmp_path / "m", device="cpu")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert tokenizer.eos_token_id == model.generation_config.eos_token_id
    assert tokenizer.chat_template
