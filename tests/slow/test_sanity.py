"""What makes a model not worth scoring, found on the tiny model."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lamdagent.core.action_type import Loaded
from lamdagent.core.types import Example
from lamdagent.evaluation.sanity import answer_losses, distance, end_rate, examine
from lamdagent.objects.models import Models

pytestmark = pytest.mark.slow

BOUNDS = {"reverse": 6, "call": 18}


@pytest.fixture
def loaded(world: Path) -> Loaded:
    """The tiny base model, free to be broken."""
    return Models(device="cpu").load("base", world / "models" / "base")


@pytest.fixture
def examples(world: Path) -> list[Example]:
    """Eight validation items of two skills."""
    found = []
    for name, bound in BOUNDS.items():
        lines = (world / "tasks" / f"{name}.validation.jsonl").read_text().splitlines()[:4]
        for row in map(json.loads, lines):
            found.append(Example(prompt=row["prompt"], targets=(row["answer"],), new_tokens=bound))
    return found


def make_endless(loaded: Loaded) -> None:
    """Forbid EOS, whatever the model says."""

    def forbid(module: Any, inputs: Any, logits: Any) -> Any:
        logits[..., loaded.tokenizer.eos_token_id] = -float("inf")
        return logits

    loaded.model.lm_head.register_forward_hook(forbid)


def test_a_healthy_model_has_no_fault_and_ends_its_answers(loaded: Loaded, examples: list[Example]) -> None:
    found = examine(loaded, examples, base_rate=lambda: 1.0)
    assert found.faults == ()
    assert found.facts["end_rate"] >= 0.5
    assert 0 < found.facts["least_loss"] <= found.facts["held_out_loss"] < 3


def test_the_same_model_is_found_the_same_twice(loaded: Loaded, examples: list[Example]) -> None:
    assert examine(loaded, examples) == examine(loaded, examples)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_one_weight_that_is_not_finite_is_a_fault_that_names_it(
    loaded: Loaded, examples: list[Example], bad: float
) -> None:
    loaded.model.model.layers[2].mlp.up_proj.weight.data[3, 5] = bad
    found = examine(loaded, examples)
    (fault,) = found.faults
    assert "model.layers.2.mlp.up_proj.weight" in fault
    assert found.facts == {}


def test_embeddings_too_small_for_the_tokenizer_are_a_fault(loaded: Loaded, examples: list[Example]) -> None:
    loaded.tokenizer.add_tokens(["<|tool|>"])
    last = len(loaded.tokenizer) - 1
    assert examine(loaded, examples).faults == tuple(
        f"the tokenizer's ids go up to {last}, and the {name} embedding has {last} rows" for name in ("input", "output")
    )


def test_rows_that_no_token_uses_are_no_fault(loaded: Loaded, examples: list[Example]) -> None:
    loaded.model.resize_token_embeddings(len(loaded.tokenizer) + 27)
    assert examine(loaded, examples).faults == ()


def test_an_eos_id_outside_the_vocabulary_is_a_fault(loaded: Loaded, examples: list[Example]) -> None:
    loaded.model.generation_config.eos_token_id = [loaded.tokenizer.eos_token_id, 4000]
    assert "has id 4000" in examine(loaded, examples).faults[0]


def test_never_ending_is_a_fault_only_where_the_base_model_ends(loaded: Loaded, examples: list[Example]) -> None:
    base_rate = end_rate(loaded, examples)
    make_endless(loaded)
    found = examine(loaded, examples, base_rate=lambda: base_rate)
    assert found.facts["end_rate"] == 0.0
    assert ["none of its answers ends" in fault for fault in found.faults] == [True]
    for rate in (0.25, 0.0, None):
        rates = itertools.repeat(rate)
        assert examine(loaded, examples, base_rate=rates.__next__).faults == ()


def test_the_base_model_is_asked_only_where_no_answer_ended(loaded: Loaded, examples: list[Example]) -> None:
    def base_rate() -> float:
        raise AssertionError("asked")

    assert examine(loaded, examples, base_rate=base_rate).faults == ()


def test_an_answer_also_ends_at_what_its_task_says_and_within_its_bound(loaded: Loaded) -> None:
    make_endless(loaded)
    whole = Example(prompt="reverse abc:", new_tokens=6)
    prompt, bound = loaded.tokenizer(whole.prompt, return_tensors="pt"), whole.new_tokens
    ids = loaded.model.generate(**prompt, max_new_tokens=bound, do_sample=False)[0, -bound:]
    last = loaded.tokenizer.decode(ids)[2]
    until = Example(prompt=whole.prompt, new_tokens=6, until=(last,))
    early = Example(prompt=whole.prompt, new_tokens=loaded.tokenizer.decode(ids).index(last), until=(last,))
    assert end_rate(loaded, [whole]) == 0.0
    assert end_rate(loaded, [until]) == 1.0
    assert end_rate(loaded, [until, whole]) == 0.5
    if early.new_tokens:
        assert end_rate(loaded, [early, until]) == 0.5


def test_where_nothing_is_generated_there_is_no_end_rate(loaded: Loaded) -> None:
    make_endless(loaded)
    found = examine(loaded, [Example(prompt="larger 12 31:", targets=("31",))], base_rate=lambda: 1.0)
    assert found.faults == ()
    assert found.facts.keys() == {"held_out_loss", "least_loss"}
    assert examine(loaded, []).facts == examine(loaded, [Example(prompt="larger 12 31:")]).facts == {}


def test_a_destroyed_model_has_an_absurd_loss(loaded: Loaded, examples: list[Example]) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in loaded.model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    found = examine(loaded, examples)
    assert "a uniform guess has 4.6" in found.faults[0]
    assert found.facts["least_loss"] > 6.6


def test_a_specialist_that_is_sure_of_wrong_answers_has_no_fault(loaded: Loaded, examples: list[Example]) -> None:
    wrong = [Example(prompt=e.prompt, targets=("~" * 8,)) for e in examples[1:]]
    found = examine(loaded, [examples[0], *wrong])
    assert found.facts["held_out_loss"] > 6.6
    assert found.faults == ()
    assert len(examine(loaded, wrong).faults) == 1


def test_finite_weights_that_give_a_loss_that_is_not_finite_are_a_fault(
    loaded: Loaded, examples: list[Example]
) -> None:
    loaded.model.model.norm.weight.data.fill_(3e38)
    found = examine(loaded, examples)
    assert "not finite on 8 of 8" in found.faults[0]
    assert found.facts.keys() == {"end_rate"}


def test_modes_random_state_and_tokenizer_stay_as_they_were_and_the_model_can_be_trained(
    loaded: Loaded, examples: list[Example]
) -> None:
    import torch

    loaded.model.train()
    loaded.model.model.layers[1].eval()
    tokenizer = loaded.tokenizer
    tokenizer.pad_token = None
    modes = [module.training for module in loaded.model.modules()]
    weights = {name: weight.clone() for name, weight in loaded.model.state_dict().items()}
    before = torch.get_rng_state()
    examine(loaded, examples)
    assert torch.equal(torch.get_rng_state(), before)
    assert [module.training for module in loaded.model.modules()] == modes
    assert all(torch.equal(weight, weights[name]) for name, weight in loaded.model.state_dict().items())
    assert tokenizer.pad_token is None
    assert tokenizer.padding_side == "right"
    ids = torch.tensor([tokenizer("reverse abc:").input_ids])
    loaded.model(input_ids=ids, labels=ids).loss.backward()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_dtype_is_found_healthy(loaded: Loaded, examples: list[Example], dtype: str) -> None:
    import torch

    usual = examine(loaded, examples).facts
    loaded.model.to(getattr(torch, dtype))
    found = examine(loaded, examples)
    assert found.faults == ()
    assert found.facts["held_out_loss"] == pytest.approx(usual["held_out_loss"], rel=0.05)


def unpadded(loaded: Loaded, examples: list[Example]) -> float:
    return sum(end_rate(loaded, [example]) or 0.0 for example in examples) / len(examples)


@pytest.mark.parametrize("change", [lambda tokenizer: None, lambda tokenizer: setattr(tokenizer, "pad_token", None)])
def test_prompts_of_different_lengths_are_asked_as_if_alone(
    loaded: Loaded, examples: list[Example], change: Callable[[Any], None]
) -> None:
    change(loaded.tokenizer)
    tight = [Example(prompt=e.prompt, new_tokens=4 if i % 2 else e.new_tokens) for i, e in enumerate(examples)]
    assert end_rate(loaded, tight) == unpadded(loaded, tight)


def test_a_model_with_learned_positions_takes_prompts_longer_than_its_context(loaded: Loaded) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=len(loaded.tokenizer), n_positions=32, n_embd=16, n_layer=1, n_head=2)
        config.eos_token_id = config.bos_token_id = loaded.tokenizer.eos_token_id
        model = GPT2LMHeadModel(config)
    small = Loaded(model, loaded.tokenizer, "float32")
    long = [
        Example(prompt="a" * 100, targets=("b",) * 10, new_tokens=8),
        Example(prompt="", targets=("b",), new_tokens=2),
    ]
    assert examine(small, long).faults == ()
    assert len(answer_losses(small, long)) == 2


def test_the_distance_from_base_is_that_of_the_weights_against_their_size(world: Path, tmp_path: Path) -> None:
    base = world / "models" / "base"
    models = Models(device="cpu")
    made = models.fresh("base", base, train_dtype=None)
    assert distance(base, base) == 0.0
    with torch.no_grad():
        for weight in made.model.parameters():
            weight.mul_(1.01)
    models.save(made, tmp_path / "made")
    assert distance(tmp_path / "made", base) == pytest.approx(0.01, rel=1e-3)
