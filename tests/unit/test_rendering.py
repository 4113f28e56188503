"""One rendering for training and scoring: prompts, the border to their answers, and what ends an answer."""

from __future__ import annotations

from typing import Any

import pytest

from lamdagent.actions._trl import tokens_of
from lamdagent.core.errors import DataError
from lamdagent.objects.models.rendering import Renderer

BOS, EOS, END = "<s>", "</s>", "<|end|>"
CHAT = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<|assistant|>{{ m['content'] }}<|end|>"
    "{% else %}<|user|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CHAT_ROW = {"prompt": [{"role": "user", "content": "ab"}], "completion": [{"role": "assistant", "content": "ba"}]}


def tokenizer(around: str = "$A", template: str | None = None) -> Any:
    """Single characters, and ` b` as one token; `around` is what is put around a text."""
    from tokenizers import Tokenizer, decoders, models, processors
    from transformers import PreTrainedTokenizerFast

    special = [BOS, EOS, END, "<|user|>", "<|assistant|>"]
    vocabulary = {token: i for i, token in enumerate([*special, "a", "b", "c", ":", " ", "\n", " b"])}
    made = Tokenizer(models.BPE(vocabulary, [(" ", "b")]))
    made.decoder = decoders.Fuse()
    ids = [(token, vocabulary[token]) for token in (BOS, EOS)]
    made.post_processor = processors.TemplateProcessing(single=around, special_tokens=ids)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=BOS, eos_token=EOS, pad_token=EOS, extra_special_tokens=special[2:],
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    fast.chat_template = template
    return fast


def learnt(tok: Any, row: dict[str, Any]) -> tuple[str, str]:
    renderer = Renderer(tok)
    (made,) = renderer.tokens([renderer.texts(row)])
    return tok.decode(made.prompt), tok.decode(made.completion)


def test_a_prompt_has_bos_once_and_no_eos() -> None:
    around = Renderer(tokenizer(f"{BOS} $A {EOS}"))
    assert around.prompt_ids("ab") == around.prompt_ids(f"{BOS}ab") == [0, 5, 6]
    assert Renderer(tokenizer(f"$A {EOS}")).prompt_ids("ab") == [5, 6]


def test_what_is_asked_is_what_was_trained_where_a_token_would_reach_across_the_border() -> None:
    tok = tokenizer()
    renderer = Renderer(tok)
    (made,) = renderer.tokens([renderer.texts({"prompt": "a: ", "completion": "ba"})])
    assert made.prompt == renderer.prompt_ids("a: ") and made.crosses
    assert made.completion == [6, 5, 1]
    assert renderer.divided("a: ", "ba") == (made.prompt, [6, 5])
    (plain,) = renderer.tokens([renderer.texts({"prompt": "a:", "completion": " ba"})])
    assert plain.completion == [11, 5, 1] and not plain.crosses


def test_an_answer_ends_with_eos_once_or_with_the_end_of_its_turn() -> None:
    assert learnt(tokenizer(), {"prompt": "a", "completion": f"b{EOS}"}) == ("a", f"b{EOS}")
    assert learnt(tokenizer(f"{BOS} $A {EOS}"), {"text": "ab"}) == ("", f"{BOS}ab{EOS}")
    assert learnt(tokenizer(template=CHAT), CHAT_ROW) == ("<|user|>ab<|end|><|assistant|>", "ba<|end|>")
    endless = CHAT.replace("{{ m['content'] }}<|end|>{% else", "{{ m['content'] }}{% else")
    assert learnt(tokenizer(template=endless), CHAT_ROW)[1] == f"ba{EOS}"
    in_text = CHAT.replace("<|end|>", ":c")  # where no token ends a turn, only EOS stops an answer
    assert learnt(tokenizer(template=in_text), CHAT_ROW)[1] == f"ba:c{EOS}"


def test_the_end_of_a_turn_stops_an_answer_beside_eos() -> None:
    assert Renderer(tokenizer(template=CHAT)).stop_ids() == {1, 2}
    assert Renderer(tokenizer()).stop_ids() == {1}
    text = Renderer(tokenizer(template=CHAT.replace("<|end|>", ":c"))).turn_end
    assert text is not None and (text.token, text.text) == (None, ":c")


def test_a_template_whose_prompt_does_not_begin_the_conversation_is_named() -> None:
    thinking = CHAT.replace("%}<|assistant|>{% endif %}", "%}<|assistant|>a:{% endif %}")
    with pytest.raises(DataError, match="ends a prompt with 'a:' and has 'ba"):
        learnt(tokenizer(template=thinking), CHAT_ROW)


def test_an_example_of_which_nothing_is_learnt_is_left_out_and_cut_ones_are_counted() -> None:
    rows = [
        {"prompt": "abcabc", "completion": "a"},
        {"prompt": "a", "completion": "bcbc"},
        {"prompt": "a", "completion": "b"},
    ]
    examples, cut = tokens_of(tokenizer(), rows, 4)
    assert (len(examples), cut) == (2, 2)
    assert examples[0] == {"input_ids": [5, 6, 7, 6], "labels": [-100, 6, 7, 6]}
