"""The audit before the first trial: what will be trained on and asked is what the user gave, or is refused or said."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_rendering import CHAT, END, EOS, tokenizer

from lamdagent.actions.sft import Sft, SftHyperparameters
from lamdagent.core.audit import AuditContext, Finding
from lamdagent.core.errors import DataError
from lamdagent.core.settings import setting_object
from lamdagent.core.types import Object
from lamdagent.objects.models import Models
from lamdagent.objects.models.examination import examined
from lamdagent.objects.models.metadata import beside_their_bases, read_facts

PAIRS = [{"prompt": "a" * n, "completion": "ba"} for n in (2, 6, 6)]


def talk(*turns: str, **last: Any) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [
        {"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)
    ]
    return {"messages": [*messages[:-1], {**messages[-1], **last}]}


def brought(folder: Path, tok: Any, *, positions: int | None = None, ids: int = 12) -> Object:
    """A model with random weights; `positions` are learned ones."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    if positions is None:
        size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        model: Any = LlamaForCausalLM(LlamaConfig(vocab_size=ids, eos_token_id=1, max_position_embeddings=64, **size))
    else:
        model = GPT2LMHeadModel(GPT2Config(vocab_size=ids, n_embd=8, n_layer=1, n_head=2, n_positions=positions))
    model.save_pretrained(folder)
    tok.save_pretrained(folder)
    return Object(id="m", kind="model", name="base", uri=str(folder), meta={**read_facts(folder), "root": "m"})


def found(folder: Path, model: Object, rows: Sequence[Mapping[str, Any]], **setting: Any) -> list[Finding]:
    shape = "messages" if "messages" in rows[0] else "prompt_completion"
    dataset = Object(id="d", kind="dataset", name="d", uri="d", meta={"rows": len(rows), "format": shape})
    values = setting_object("sft", "s", SftHyperparameters(**setting))
    context = AuditContext(
        objects=(model, dataset, values),
        device="cpu",
        folder=lambda obj: folder,
        rows=lambda obj: iter([(f"f:{i}", row) for i, row in enumerate(rows, 1)]),
    )
    return [*examined(model, folder), *Sft().audit(context)]


def texts(findings: Sequence[Finding], weight: str = "refused") -> str:
    return "\n".join(finding.text for finding in findings if finding.weight == weight)


def test_examples_without_room_for_their_answer_are_counted_and_all_of_them_refused(tmp_path: Path) -> None:
    model = brought(tmp_path, tokenizer())
    said = texts(found(tmp_path, model, PAIRS, max_length=6), "warning")
    assert "max_length 6 leaves out 2 of 3 examples" in said and "1 are trained on" in said and "f:2, f:3" in said
    assert "leaves out 0 of 3 examples, whose prompts fill it, and cuts the answers of 2" in texts(
        found(tmp_path, model, PAIRS, max_length=7, packing=True), "warning"
    )
    assert "max_length 2 leaves nothing to learn: all 3" in texts(found(tmp_path, model, PAIRS, max_length=2))
    assert texts(found(tmp_path, model, PAIRS, max_length=20), "warning") == ""


@pytest.mark.parametrize(
    ("template", "row", "said"),
    [
        (CHAT.replace("{{ m['content'] }}<|end|>{% el", "{{ m['content'].split('</think>')[-1] }}<|end|>{% el"),
         talk("ab", "<think>a</think>b"), "render the assistant's text whole (it drops what stands before </think>)"),
        (CHAT, talk("ab", "b", reasoning_content="because"), "does not render 'reasoning_content'"),
        (CHAT, talk("ab", "", tool_calls=[{"function": {"name": "call", "arguments": {}}}]), "does not render 'tool_calls'"),
        (CHAT, {**talk("ab", "b"), "tools": [{"function": {"name": "call"}}]}, "does not render 'tools'"),
        ("{% if messages[0]['content'] == 'c' %}{{ raise_exception('no c here') }}{% endif %}" + CHAT,
         talk("c", "b"), "the chat template refuses it: no c here"),
        (CHAT.replace("{{ m['content'] }}<|end|>{% endif", "<|end|>{% endif"), talk("ab", "b"),
         "does not render the user's text"),
    ],
)  # fmt: skip
def test_what_a_chat_template_does_not_write_is_refused_with_its_row(
    tmp_path: Path, template: str, row: dict[str, Any], said: str
) -> None:
    model = brought(tmp_path, tokenizer(template=template))
    refused = texts(found(tmp_path, model, [talk("ab", "b"), row] if "refuses" in said else [row]))
    assert said in refused
    assert refused.endswith("f:2" if "refuses" in said else "f:1")


def test_a_template_may_write_other_white_space_or_json(tmp_path: Path) -> None:
    spaced = CHAT.replace(
        "{{ m['content'] }}<|end|>{% el", "{{ m['content'].replace('</think>', ' </think>  ') }}<|end|>{% el"
    )
    model = brought(
        tmp_path,
        tokenizer(template=spaced.replace("<|user|>{{ m['content'] }}", "<|user|>{{ m['content'] | tojson }}")),
    )
    assert texts(found(tmp_path, model, [talk('a "b"\n c', "<think>a</think>b")])) == ""


def test_prompts_that_end_inside_a_token_are_said(tmp_path: Path) -> None:
    model = brought(tmp_path, tokenizer())
    rows = [{"prompt": "a: ", "completion": "ba"}, {"prompt": "a:", "completion": " ba"}]
    assert "1 of 2 examples have a prompt that ends inside a token" in texts(found(tmp_path, model, rows), "warning")


def test_ids_and_positions_beyond_a_models_weights_are_refused(tmp_path: Path) -> None:
    few = brought(tmp_path / "few", tokenizer(), ids=2)
    assert "eos_token" not in texts(found(tmp_path / "few", few, PAIRS))
    assert "gives id 6, and its embeddings have 2 rows" in texts(found(tmp_path / "few", few, PAIRS))
    one = brought(tmp_path / "one", tokenizer(), ids=1)
    assert "pad_token '</s>' has id 1, and the embeddings have 1 rows" in texts(found(tmp_path / "one", one, PAIRS))
    short = brought(tmp_path / "short", tokenizer(), positions=8)
    assert "up to 9 tokens (max_length 1024), and model base has 8 positions" in texts(
        found(tmp_path / "short", short, PAIRS)
    )
    assert texts(found(tmp_path / "short", short, PAIRS, max_length=8)) == ""


def test_a_turns_end_that_is_no_eos_and_an_eos_after_every_text_are_said(tmp_path: Path) -> None:
    turns = brought(tmp_path / "turns", tokenizer(template=CHAT))
    assert f"ends a turn with {END!r}" in texts(found(tmp_path / "turns", turns, PAIRS), "warning")
    after = brought(tmp_path / "after", tokenizer(f"$A {EOS}"))
    assert f"puts {EOS!r} after every text" in texts(found(tmp_path / "after", after, PAIRS), "warning")


def test_generation_settings_that_change_greedy_answers_are_told(tmp_path: Path) -> None:
    model = brought(tmp_path, tokenizer())
    config = json.loads((tmp_path / "generation_config.json").read_text())
    (tmp_path / "generation_config.json").write_text(
        json.dumps({**config, "repetition_penalty": 1.3, "temperature": 0.5})
    )
    assert "repetition_penalty: 1.3" in texts(found(tmp_path, model, PAIRS), "note")


def test_a_tied_flag_over_two_different_embeddings_is_refused(tmp_path: Path) -> None:
    model = brought(tmp_path, tokenizer())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    assert "says tie_word_embeddings" in texts(found(tmp_path, model, PAIRS))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"optim": "adamw_torhc"}, "optim 'adamw_torhc' is none of transformers'. Did you mean 'adamw_torch'?"),
        ({"lr_scheduler_type": "cosin"}, "Did you mean 'cosine'?"),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "lr_scheduler_type 'cosine_with_min_lr' cannot be built"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "lr_scheduler_type 'reduce_lr_on_plateau' cannot be built"),
        ({"peft": {"target_modules": ["q_porj"]}}, "Did you mean 'q_proj'?"),
        ({"peft": {"target_modules": ["q_proj", "v_porj"]}}, "Did you mean 'v_proj'?"),
        ({"peft": {"target_modules": "q_proj"}}, "a list names modules by their ends. Did you mean 'q_proj'?"),
        ({"peft": {"target_modules": ["norm"]}}, "peft cannot be put on model base"),
    ],
)
def test_settings_are_built_before_the_first_trial(tmp_path: Path, setting: dict[str, Any], said: str) -> None:
    model = brought(tmp_path, tokenizer())
    findings = found(tmp_path, model, PAIRS, **setting)
    assert said in texts(findings)
    assert [f.path[:4] for f in findings if f.weight == "refused"] == [("actions", "sft", "hyperparameters", "s")]


@pytest.mark.parametrize("setting", [{"max_steps": 0}, {"packing": True, "max_length": None}])
def test_settings_that_train_nothing_or_pack_into_nothing_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"max_length to pack into|0 steps train nothing"):
        SftHyperparameters(**setting)


def test_good_settings_and_rows_have_nothing_said(tmp_path: Path) -> None:
    model = brought(tmp_path, tokenizer())
    for modules in (["q_proj"], "all-linear", r".*\.v_proj"):
        for dora in (False, True):
            peft = {"target_modules": modules, "use_dora": dora}
            assert found(tmp_path, model, PAIRS, peft=peft, lr_scheduler_type="cosine") == []


def without_a_tensor(folder: Path, *, more: str = "") -> Object:
    from safetensors.torch import load_file, save_file

    model, file = brought(folder, tokenizer()), folder / "model.safetensors"
    tensors = load_file(file)
    norm = tensors.pop("model.norm.weight")
    save_file({**tensors, **({more: norm} if more else {})}, file, metadata={"format": "pt"})
    return model


def test_weights_that_lack_a_tensor_of_the_architecture_are_refused_by_the_audit_and_on_opening(tmp_path: Path) -> None:
    model = without_a_tensor(tmp_path, more="model.normal.weight")
    findings = [*examined(model, tmp_path)]
    assert "lack 1 of the tensors of its architecture (model.norm.weight)" in texts(findings)
    assert "no use for 1 tensors of its files (model.normal.weight)" in texts(findings, "warning")
    with pytest.raises(DataError, match=r"lack 1 of the tensors .*model\.norm\.weight"):
        Models(device="cpu").load("m", tmp_path)


def test_whole_weights_are_found_whole(tmp_path: Path) -> None:
    findings = [*examined(brought(tmp_path, tokenizer()), tmp_path)]
    assert "tensors" not in texts(findings) + texts(findings, "warning")


def test_a_model_that_is_unlike_the_base_that_it_names_is_warned_of(tmp_path: Path) -> None:
    wide = brought(tmp_path / "wide", tokenizer(), ids=20)
    base = replace(brought(tmp_path / "base", tokenizer()), id="b", name="origin")
    base = replace(base, meta={**base.meta, "root": "b"})
    _, model = beside_their_bases([base, replace(wide, meta={**wide.meta, "root": "b"})])
    said = texts([*examined(model, tmp_path / "wide")], "warning")
    assert "cannot be merged relative to the base that it names" in said
    assert "tensors of different shapes" in said
