"""lm-eval's model, asked with the tokens that training saw."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from lamdagent.core.templates import within
from lamdagent.objects.models.rendering import Renderer


def as_trained(lm: type[Any]) -> type[Any]:
    """A subclass of lm-eval's HFLM whose prompts have one BOS and no EOS, whose answers stand after the tokens of the
    prompt, and whose answers end where the chat template ends a turn."""

    class AsTrained(lm):  # type: ignore[misc]
        in_turns = False

        @cached_property
        def renderer(self) -> Renderer:
            return Renderer(self.tokenizer)

        def tok_encode(
            self, string: str, add_special_tokens: bool | None = None, left_truncate_len: int | None = None, **_: Any
        ) -> list[int]:
            encode = self.renderer.plain_ids if add_special_tokens is False else self.renderer.prompt_ids
            return encode(string)[-(left_truncate_len or 0) :]

        def tok_batch_encode(
            self,
            strings: Sequence[str],
            padding_side: str = "left",
            left_truncate_len: int | None = None,
            truncation: bool = False,
        ) -> tuple[Any, Any]:
            import torch

            rows = [self.tok_encode(string, left_truncate_len=left_truncate_len) for string in strings]
            width = max(map(len, rows))
            ids = [[self.tokenizer.pad_token_id] * (width - len(row)) + row for row in rows]
            mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
            return torch.tensor(ids), torch.tensor(mask)

        def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
            return self.renderer.divided(context, continuation)

        def apply_chat_template(self, *args: Any, **kwargs: Any) -> str:
            self.in_turns = True
            with within():
                return str(super().apply_chat_template(*args, **kwargs))

        def _model_generate(self, context: Any, **kwargs: Any) -> Any:
            ends = self.renderer.stop_ids(self.model.generation_config)
            made = super()._model_generate(context, **{"eos_token_id": sorted(ends), **kwargs})
            answers = made[:, context.shape[1] :]
            for end in ends:  # what ends a turn is no part of an answer; EOS is left out where it is decoded
                answers[answers == end] = self.tokenizer.eos_token_id
            return made

        def tok_decode(self, tokens: Any, skip_special_tokens: bool = True) -> str:
            text = str(super().tok_decode(tokens, skip_special_tokens=skip_special_tokens))
            end = self.renderer.turn_end
            if end is None or end.token is not None or not self.in_turns or not skip_special_tokens:
                return text
            return text.partition(end.text)[0]

    return AsTrained
