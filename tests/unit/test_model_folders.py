"""What the driver reads of a model folder to say which models can be merged."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from lamdagent.core.errors import DataError
from lamdagent.core.types import Object
from lamdagent.objects.models.metadata import beside_their_bases, inherited, read_facts, why_unlike

CONFIG = {"architectures": ["LlamaForCausalLM"], "eos_token_id": 1, "rope_theta": 1e4, "tie_word_embeddings": True}
TENSORS = {"model.embed_tokens.weight": [3, 2], "model.norm.weight": [2]}


def folder(
    place: Path,
    *,
    config: dict[str, Any] | None = None,
    tensors: dict[str, list[int]] | None = None,
    tokenizer: dict[str, Any] | None = None,
    generation: dict[str, Any] | None = None,
    template: str | None = None,
) -> dict[str, Any]:
    """The facts of a model folder with a few small tensors."""
    place.mkdir()
    (place / "config.json").write_text(json.dumps(CONFIG | (config or {})))
    header, end = {}, 0
    for name, shape in (tensors or TENSORS).items():
        size = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    head = json.dumps(header).encode()
    (place / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + bytes(end))
    (place / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"a": 0, "</s>": 1}}, "added_tokens": []}))
    (place / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", **(tokenizer or {})}))
    if generation is not None:
        (place / "generation_config.json").write_text(json.dumps(generation))
    if template is not None:
        (place / "chat_template.jinja").write_text(template)
    return read_facts(place)


def difference(one: dict[str, Any], other: dict[str, Any]) -> str | None:
    models = [Object(id=name, kind="model", name=name, meta=facts) for name, facts in (("a", one), ("b", other))]
    return why_unlike(models, ("shapes", "tokenizer", "config", "conventions"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"template": "{{ messages }}"}, "chat_template"),
        ({"tokenizer": {"chat_template": "{{ messages }}"}}, "chat_template"),
        ({"tokenizer": {"eos_token": "a"}}, "eos_token (</s> and a)"),
        ({"tokenizer": {"bos_token": {"content": "a"}}}, "bos_token (None and a)"),
        ({"tokenizer": {"add_bos_token": True}}, "add_bos_token"),
        ({"generation": {"eos_token_id": [1, 0]}}, "eos_token_id ([1] and [0, 1])"),
        ({"generation": {"repetition_penalty": 1.3, "eos_token_id": 1}}, "generation_config"),
        ({"config": {"eos_token_id": 0}}, "eos_token_id ([1] and [0])"),
        ({"config": {"rope_theta": 1e6}}, "rope"),
        ({"config": {"rope_scaling": {"type": "linear", "factor": 2.0}}}, "rope"),
        ({"config": {"tie_word_embeddings": False}}, "tie_word_embeddings"),
        ({"tensors": {**TENSORS, "model.embed_tokens.weight": [4, 2]}}, "tensors of different shapes"),
        ({"config": {"tie_word_embeddings": False}, "tensors": {**TENSORS, "lm_head.weight": [3, 2]}}, "tensors of"),
    ],
)
def test_what_two_models_disagree_on_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    found = difference(folder(tmp_path / "a"), folder(tmp_path / "b", **change))
    assert found is not None and words in found


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"transformers_version": "9", "use_cache": False, "torch_dtype": "float32"}},
        {"config": {"rope_theta": None, "rope_parameters": {"rope_theta": 1e4, "rope_type": "default"}}},
        {"generation": {"_from_model_config": True, "eos_token_id": [1], "pad_token_id": 0, "do_sample": False}},
        {"tokenizer": {"pad_token": "a", "model_max_length": 9}},
        {"tensors": {**TENSORS, "lm_head.weight": [3, 2]}},  # a copy of the embeddings that it is tied to
    ],
)
def test_what_changes_nothing_is_no_disagreement(tmp_path: Path, change: dict[str, Any]) -> None:
    assert difference(folder(tmp_path / "a"), folder(tmp_path / "b", **change)) is None


def test_what_is_not_known_of_a_model_of_an_older_journal_is_not_compared(tmp_path: Path) -> None:
    facts = folder(tmp_path / "a")
    assert difference(facts, {k: v for k, v in facts.items() if k not in ("config", "conventions")}) is None


def test_a_brought_model_that_is_unlike_its_base_says_so_and_so_do_those_made_from_it(tmp_path: Path) -> None:
    base = Object(id="b", kind="model", name="base", meta={**folder(tmp_path / "b"), "root": "b"})
    grown = folder(tmp_path / "g", tensors={**TENSORS, "model.embed_tokens.weight": [4, 2]})
    brought = Object(id="g", kind="model", name="chatml", meta={**grown, "root": "b"})
    found = beside_their_bases([base, brought])
    assert found[0] == base
    assert found[1].model["unlike_base"] == "'base' and 'chatml' have tensors of different shapes"
    assert inherited(found[1].meta)["unlike_base"] == found[1].model["unlike_base"]


@pytest.mark.parametrize(
    ("flag", "tensors", "tied"),
    [
        (True, TENSORS, True),
        (None, TENSORS, True),  # a class may tie by default, and config.json is then silent
        (False, {**TENSORS, "lm_head.weight": [3, 2]}, False),
        (None, {**TENSORS, "lm_head.weight": [3, 2]}, False),
        (None, {**TENSORS, "output.weight": [3, 2]}, False),
    ],
)
def test_embeddings_are_tied_where_the_flag_says_so_or_no_output_head_is_there(
    tmp_path: Path, flag: bool | None, tensors: dict[str, list[int]], tied: bool
) -> None:
    assert folder(tmp_path / "m", config={"tie_word_embeddings": flag}, tensors=tensors)["tied"] is tied


def test_a_tokenizer_that_only_its_class_can_open_is_accepted_with_the_eos_of_its_class(tmp_path: Path) -> None:
    folder(tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").unlink()
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ByT5Tokenizer"}))
    facts = read_facts(tmp_path / "model")
    assert facts["eos"] == "</s>"
    assert facts["tokenizer"] != folder(tmp_path / "other")["tokenizer"]


def test_a_folder_without_any_tokenizer_is_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    folder(tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "model" / name).unlink()
    with pytest.raises(DataError, match=r"no tokenizer \(none of tokenizer\.json, .* AutoTokenizer says"):
        read_facts(tmp_path / "model")
