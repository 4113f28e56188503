"""A question to a language model, as the journal keeps it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMCall:
    """One question to a language model and what came of it.

    `key` is the hash of all that was sent: an answer in the journal under the same key is never paid for again.
    `answer` is None where none came; `error` says why an answer, or its absence, was of no use. `job` is the key of the
    job that asked; None where the search itself did. `trial` is None where a provided model was scored. `finish` is why
    the answer ended, as the provider says: `stop`, `length`, … `estimated`: the server reported no tokens, so these, and
    `usd`, are estimated from the text. `adapted` is what of the question the provider refused, and was changed. `question`
    is the key of the question as it was first worded, where this asked once more for an answer that could be used.
    """

    key: str
    trial: int | None
    purpose: str
    model: str
    system: str
    prompt: str
    answer: str | None = None
    error: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float | None = None
    wall_s: float = 0.0
    job: int | str | None = None
    finish: str | None = None
    estimated: bool = False
    adapted: tuple[str, ...] = ()
    question: str | None = None
