"""TIES through mergekit on the tiny model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lamdagent.actions._mergekit import METHODS, merge
from lamdagent.actions.merge import MergeHyperparameters, merge_recipe

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

    base = world / "models" / "base"
    recipe = merge_recipe(specialists, str(base), values, "float32")
    merge(recipe, tmp_path / "ours", config_of=base, conventions_of=base, device="cpu", seed=0)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    tool = Path(sys.executable).parent / "mergekit-yaml"
    subprocess.run([tool, tmp_path / "recipe.yaml", tmp_path / "theirs"], check=True, capture_output=True)
    ours, theirs = (load_file(tmp_path / who / "model.safetensors") for who in ("ours", "theirs"))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.equal(theirs[name]), name


def test_a_merge_speaks_as_the_models_do_and_not_as_their_base(
    world: Path, tmp_path: Path, specialists: list[str]
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = tmp_path / "base"  # a pretrained model: no template, another EOS, and other positions
    shutil.copytree(world / "models" / "base", base)
    (base / "chat_template.jinja").unlink()
    edit(base / "tokenizer_config.json", eos_token="<|pad|>")
    edit(base / "generation_config.json", eos_token_id=0)
    edit(base / "config.json", eos_token_id=0, rope_parameters={"rope_theta": 9.0, "rope_type": "default"})
    values = {"density": 0.5, "weight": 1.0, "normalize": True}
    recipe = merge_recipe(specialists, str(base), values, "float32")
    first = Path(specialists[0])
    for name, speaker in (("as-models", first), ("as-base", base)):
        merge(recipe, tmp_path / name, config_of=first, conventions_of=speaker, device="cpu", seed=0)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "as-models")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "as-models")
    assert (tokenizer.eos_token, bool(tokenizer.chat_template)) == ("<|end|>", True)
    assert model.generation_config.eos_token_id == model.config.eos_token_id == tokenizer.eos_token_id == 1
    assert model.config.rope_parameters["rope_theta"] == 100.0
    assert model.config.tie_word_embeddings and model.lm_head.weight is model.model.embed_tokens.weight
    as_base = AutoTokenizer.from_pretrained(tmp_path / "as-base")
    assert (as_base.eos_token, bool(as_base.chat_template)) == ("<|pad|>", False)
    chosen = json.loads((tmp_path / "as-base" / "config.json").read_text())
    assert (chosen["eos_token_id"], chosen["rope_parameters"]["rope_theta"]) == (0, 100.0)


def test_a_merge_of_models_with_an_output_head_of_their_own_keeps_it(
    world: Path, tmp_path: Path, specialists: list[str]
) -> None:
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    generator = torch.Generator().manual_seed(3)
    base = tmp_path / "base"
    shutil.copytree(world / "models" / "base", base)
    for folder in (base, *map(Path, specialists)):
        tensors = load_file(folder / "model.safetensors")
        tensors["lm_head.weight"] = torch.randn(tensors["model.embed_tokens.weight"].shape, generator=generator)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})  # and config.json still says tied
    values = {"density": 1.0, "weight": 1.0, "normalize": True}
    first = Path(specialists[0])
    recipe = merge_recipe(specialists, str(base), values, "float32")
    merge(recipe, tmp_path / "m", config_of=first, conventions_of=first, device="cpu", seed=0)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert not model.config.tie_word_embeddings
    assert model.lm_head.weight.equal(load_file(tmp_path / "m" / "model.safetensors")["lm_head.weight"])
    assert not model.lm_head.weight.equal(model.model.embed_tokens.weight)


def test_a_merge_of_brought_models_scores_what_its_weights_answer_and_records_what_it_is(
    world: Path, study: Path, specialists: list[str]
) -> None:
    import lamdagent
    from lamdagent.core.types import Made

    base = study.parent / "models" / "base"
    (base / "chat_template.jinja").unlink()
    edit(base / "tokenizer_config.json", eos_token="<|pad|>")
    edit(base / "generation_config.json", eos_token_id=0)
    edit(base / "config.json", eos_token_id=0)
    a, b = (f"{{path: {folder}, base: base}}" for folder in specialists)
    overrides = [
        f"models={{base: {{path: models/base}}, a: {a}, b: {b}}}",
        "-actions.sft",
        "datasets={}",
        "budget.trials=1",
        "policy={kind: random}",
    ]
    state = lamdagent.run_study(study, overrides)
    (outcome,) = [trial.outcome for trial in state.trials]
    assert isinstance(outcome, Made)
    assert outcome.object.model["eos"] == "<|end|>" and outcome.object.model["chat_template"]
    weights = next((study.parent / "runs" / "artifacts").glob(f"{outcome.object.id}/weights"))
    assert json.loads((weights / "tokenizer_config.json").read_text())["eos_token"] == "<|end|>"
    assert (weights / "chat_template.jinja").read_text() == (world / "models/base/chat_template.jinja").read_text()


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_the_methods_are_those_of_the_installed_mergekit_with_their_parameters_and_defaults() -> None:
    from mergekit.merge_methods.registry import registered_methods

    theirs = {method.spec.name: method.spec for method in registered_methods()}
    assert theirs.keys() - METHODS.keys() == {"passthrough"}
    for name, method in METHODS.items():
        contract, parameters = theirs[name].contract, theirs[name].parameters
        base = {"required": ("root", "first"), "optional": ("may",), "ignored": ("none",)}[contract.base.value]
        assert method.base in base
        most = contract.max_non_base if contract.max_non_base is not None else contract.max_inputs
        assert method.most == most, name
        by_scope: dict[bool, dict[str, Any]] = {True: {}, False: {}}
        for parameter in parameters:
            default = None if type(parameter.default) is object else parameter.default
            by_scope[parameter.scope.value != "shared"][parameter.name] = default
        ours, declared = {**method.each, **method.shared}, {**by_scope[True], **by_scope[False]}
        assert set(method.each) <= by_scope[True].keys()
        assert ours == {key: value for key, value in declared.items() if key in ours}, name
        assert declared.keys() - ours.keys() == UNREAD.get(name, set()), name


UNREAD = {
    "task_arithmetic": {"density", "rescale", "int8_mask"},
    **{name: {"int8_mask"} for name in ("dare_linear", "breadcrumbs", "della_linear")},
}
"""What mergekit declares of a method for all that are made of task vectors, and does not read there."""
SETTINGS: dict[str, dict[str, Any]] = {
    "linear": {"weight": 0.5},
    "slerp": {"t": 0.3},
    "task_arithmetic": {"weight": 0.5},
    "nuslerp": {"weight": 0.5},
    "multislerp": {"weight": 0.5},
    "nearswap": {"t": 0.01},
    "della": {"weight": 0.5, "density": 0.5},
    "della_linear": {"weight": 0.5, "density": 0.5},
    **{
        name: {"weight": 0.5, "density": 0.5}
        for name in ("ties", "dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties")
    },
}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_each_method_makes_a_finite_model_and_the_same_one_again(
    method: str, world: Path, tmp_path: Path, specialists: list[str]
) -> None:
    from safetensors.torch import load_file

    base = world / "models" / "base"
    values = MergeHyperparameters.model_validate({"method": method, **SETTINGS.get(method, {})}).model_dump(
        by_alias=True
    )
    recipe = merge_recipe(specialists, str(base), values, "float32")
    made = []
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        merge(recipe, tmp_path / name, config_of=base, conventions_of=base, device="cpu", seed=seed)
        made.append(load_file(tmp_path / name / "model.safetensors"))
    one, again, other = made
    assert one.keys() == load_file(base / "model.safetensors").keys()
    assert all(tensor.isfinite().all() for tensor in one.values())
    assert all(tensor.equal(again[name]) for name, tensor in one.items()), "the same seed makes the same bits"
    same = all(tensor.equal(other[name]) for name, tensor in one.items())
    assert same == (not method.startswith(("dare", "della"))), "what is drawn follows the seed"
    moved = [load_file(folder + "/model.safetensors") for folder in specialists]
    assert not any(all(t.equal(m[name]) for name, t in one.items()) for m in moved), "it is none of those merged"


def test_a_model_and_its_base_are_merged_as_wise_ft_says(world: Path, tmp_path: Path, specialists: list[str]) -> None:
    from safetensors.torch import load_file

    base = world / "models" / "base"
    values = {"method": "linear", "weight": [0.25, 0.75]}
    recipe = merge_recipe([str(base), specialists[0]], str(base), values, "float32")
    merge(recipe, tmp_path / "m", config_of=base, conventions_of=base, device="cpu", seed=0)
    made = load_file(tmp_path / "m" / "model.safetensors")
    start, tuned = load_file(base / "model.safetensors"), load_file(specialists[0] + "/model.safetensors")
    for name, tensor in made.items():
        off = (tensor - (0.25 * start[name].float() + 0.75 * tuned[name].float())).abs().max()
        assert float(off) < 1e-6
