"""What language models were paid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lamdagent.core.llm_call import LLMCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What answers of a language model took: tokens, input and output together, and USD as far as prices are known."""

    tokens: int = 0
    usd: float = 0.0

    @staticmethod
    def on(calls: Iterable[LLMCall]) -> Spent:
        found = tuple(calls)
        return Spent(
            tokens=sum(call.tokens_in + call.tokens_out for call in found), usd=sum(call.usd or 0.0 for call in found)
        )

    def __add__(self, other: Spent) -> Spent:
        return Spent(tokens=self.tokens + other.tokens, usd=self.usd + other.usd)
