"""What language models were paid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lamdagent.core.llm_call import LLMCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What answers of a language model took: tokens, input and output together, and USD as far as prices were known.

    `unpriced` are the tokens, input and output, of those whose price was not.
    """

    tokens: int = 0
    usd: float = 0.0
    unpriced: tuple[int, int] = (0, 0)

    @staticmethod
    def on(calls: Iterable[LLMCall]) -> Spent:
        found = tuple(calls)
        free = [call for call in found if call.usd is None]
        return Spent(
            tokens=sum(call.tokens_in + call.tokens_out for call in found),
            usd=sum(call.usd or 0.0 for call in found),
            unpriced=(sum(call.tokens_in for call in free), sum(call.tokens_out for call in free)),
        )

    def __add__(self, other: Spent) -> Spent:
        (a, b), (c, d) = self.unpriced, other.unpriced
        return Spent(tokens=self.tokens + other.tokens, usd=self.usd + other.usd, unpriced=(a + c, b + d))
