"""Texts and conversations as tokens: one rendering for training and for scoring, so that a model is asked what it learnt.

Of a tokenizer only the public interface of transformers is used; nothing is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from lamdagent.core.errors import DataError
from lamdagent.core.templates import MOST_CHARS, BadTemplate, refuse_powers, within

Message = Mapping[str, Any]
MARK = "lamdagent"
QUESTION: Sequence[Message] = ({"role": "user", "content": "a"},)
ANCHORS = ("", "a", "\n", "0", ":")


@dataclass(frozen=True, slots=True)
class Texts:
    """A row as texts: what is given, None where all of it is learnt, and what is learnt. `ends`: the answer ends itself,
    as turns of a chat template do, and is given no EOS."""

    prompt: str | None
    answer: str
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Rendered:
    """A row as tokens: what is given, and what is learnt. `crosses`: a token of both together would reach across their
    border."""

    prompt: list[int]
    completion: list[int]
    crosses: bool = False


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """What a chat template puts after an answer: the id of the special token that it begins with, or None; its text."""

    token: int | None
    text: str


class TemplateFault(DataError):
    """A chat template that would take as long, or fail alike, on each row."""


def through_template(tokenizer: Any, messages: Sequence[Message], **how: Any) -> str:
    """A conversation through a tokenizer's chat template.

    Raises:
        DataError: the template refuses it.
        TemplateFault: it cannot be read, takes more than 10 s or 10 million characters, calls itself without end, or takes a
            power.
    """
    from jinja2 import TemplateSyntaxError

    template = tokenizer.chat_template
    try:
        for one in template.values() if isinstance(template, Mapping) else [template or ""]:
            _readable(str(one))
        with within():
            text = str(tokenizer.apply_chat_template([dict(m) for m in messages], tokenize=False, **how))
        if len(text) > MOST_CHARS:
            raise BadTemplate(f"it writes more than {MOST_CHARS:,} characters")
    except (BadTemplate, TemplateSyntaxError, TimeoutError, RecursionError, MemoryError) as error:
        raise TemplateFault(f"the chat template cannot be rendered: {str(error) or type(error).__name__}") from error
    except Exception as error:  # expressions of a template raise what they like
        raise DataError(f"the chat template refuses it: {error}") from error
    return text


@lru_cache(maxsize=16)
def _readable(template: str) -> None:
    refuse_powers(template)


class Renderer:
    """Renders with one tokenizer. What it puts before every text, such as BOS, stands there once; what it puts after every
    text, such as EOS, is left out wherever something is to follow."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def prompt_ids(self, text: str) -> list[int]:
        """The tokens of a text that is to be gone on with."""
        return self._begun(self.plain_ids(text))

    def plain_ids(self, text: str) -> list[int]:
        """The tokens of a text, and nothing that is put around it."""
        return list(self._tokenizer(text, add_special_tokens=False).input_ids)

    def chat(self, messages: Sequence[Message], tools: Any = None, *, ask: bool = True) -> str:
        """A conversation through the chat template, as a prompt for the next answer where `ask`.

        Raises:
            DataError: the template refuses it.
            TemplateFault: it cannot be rendered within bounds.
        """
        return through_template(self._tokenizer, messages, tools=tools, add_generation_prompt=ask)

    def texts(self, row: Mapping[str, Any]) -> Texts:
        """A row as texts.

        Args:
            row: `text`; or `prompt` and `completion`, both texts or both messages, with `tools` where there are any.
        Raises:
            DataError: the chat template refuses it, or does not begin a rendered conversation with its own prompt.
        """
        if "text" in row:
            return Texts(None, row["text"])
        if isinstance(row["prompt"], str):
            return Texts(row["prompt"], row["completion"])
        prompt = self.chat(row["prompt"], row.get("tools"))
        whole = self.chat([*row["prompt"], *row["completion"]], row.get("tools"), ask=False)
        if not whole.startswith(prompt):
            pairs = enumerate(zip(prompt, whole, strict=False))
            common = next((i for i, (a, b) in pairs if a != b), min(len(prompt), len(whole)))
            raise DataError(
                f"the chat template ends a prompt with {prompt[common:][-40:]!r} and has {whole[common:][:40]!r} there in "
                "the same conversation with its answer, so a model would be asked what it never learnt"
            )
        return Texts(prompt, whole[len(prompt) :], ends=self.turn_end is not None and self.turn_end.token is not None)

    def tokens(self, rows: Sequence[Texts]) -> list[Rendered]:
        """Rows as they are trained on: a prompt's tokens are those that scoring asks, and the last one ends an answer."""
        whole = self._batch([(row.prompt or "") + row.answer for row in rows])
        asked = self._batch([row.prompt or "" for row in rows])
        return [self._row(row, a, w) for row, a, w in zip(rows, asked, whole, strict=True)]

    def divided(self, prompt: str, answer: str) -> tuple[list[int], list[int]]:
        """The tokens of a prompt as it is asked, and those of an answer after it."""
        made = self._divided(Texts(prompt, answer), self.plain_ids(prompt), self.plain_ids(prompt + answer))
        return made.prompt, made.completion

    @cached_property
    def turn_end(self) -> TurnEnd | None:
        """What the chat template puts after an answer; None without a template, or where it puts nothing there."""
        if not self._tokenizer.chat_template:
            return None
        try:
            text = self.chat([*QUESTION, {"role": "assistant", "content": MARK}], ask=False)
        except TemplateFault:
            raise
        except DataError:
            return None
        after = text.rpartition(MARK)[2].strip() if MARK in text else ""
        if not after:
            return None
        first = self.plain_ids(after)[0]
        special = first in self._tokenizer.all_special_ids or first in self._tokenizer.added_tokens_decoder
        return TurnEnd(first if special else None, after)

    def stop_ids(self, generation_config: Any = None) -> set[int]:
        """The tokens that end an answer: EOS, those of the generation config, and the end of the chat template's turns."""
        own = getattr(generation_config, "eos_token_id", None)
        end = None if self.turn_end is None else self.turn_end.token
        ids = {self._tokenizer.eos_token_id, end, *(own if isinstance(own, list) else [own])}
        return {i for i in ids if i is not None}

    def _row(self, row: Texts, asked: list[int], whole: list[int]) -> Rendered:
        made = Rendered([], self._begun(whole)) if row.prompt is None else self._divided(row, asked, whole)
        if row.ends:
            return made
        eos = self._tokenizer.eos_token_id
        learnt = made.completion if made.completion[-1:] == [eos] else [*made.completion, eos]
        return Rendered(made.prompt, learnt, made.crosses)

    def _divided(self, row: Texts, asked: list[int], whole: list[int]) -> Rendered:
        """Where tokens reach across the border, as a space before a word does, the answer is tokenized by itself: a model
        that is asked this prompt can go on with nothing else."""
        begun = self._begun(asked)
        if whole[: len(asked)] == asked:
            return Rendered(begun, whole[len(asked) :])
        decode, wanted = self._tokenizer.decode, self._tokenizer.decode(asked) + row.answer
        for anchor in ANCHORS:  # some tokenizers put a space before each text
            head, both = self.plain_ids(anchor), self.plain_ids(anchor + row.answer)
            learnt = both[len(head) :]
            if both[: len(head)] == head and decode([*asked, *learnt]) == wanted:
                return Rendered(begun, learnt, crosses=True)
        return Rendered(begun, self.plain_ids(row.answer), crosses=True)

    def _batch(self, texts: list[str]) -> list[list[int]]:
        return list(self._tokenizer(texts, add_special_tokens=False).input_ids) if texts else []

    def _begun(self, ids: list[int]) -> list[int]:
        before = self._put_before
        return ids if ids[: len(before)] == before else [*before, *ids]

    @property
    def put_after(self) -> list[int]:
        """What the tokenizer puts after every text."""
        return self._around[1]

    @property
    def _put_before(self) -> list[int]:
        return self._around[0]

    @cached_property
    def _around(self) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before and after every text."""
        around, alone = list(self._tokenizer("a").input_ids), self.plain_ids("a")
        for start in range(len(around) - len(alone) + 1):
            if around[start : start + len(alone)] == alone:
                return around[:start], around[start + len(alone) :]
        return [], []
