"""The signature of a language model whose answers cannot be used."""

from __future__ import annotations

from collections import Counter

from lamdagent.core.llm_call import LLMCall
from lamdagent.core.state import State
from lamdagent.results.diagnosis.signature import (
    FALLBACK_ALARM,
    FALLBACK_WATCH,
    FEWEST_TRIALS,
    REFUSED,
    Figure,
    Signature,
    Verdict,
    share,
    too_few,
)

NAME = "unusable answers"
NO_ANSWER, CUT_OFF, UNREADABLE, REPEATED, NOT_OFFERED = (
    "no answer came",
    "cut off",
    "not as asked for",
    "tried before",
    "not offered",
)
REMEDIES = {
    NO_ANSWER: "Look after the server, or raise policy.timeout_s: all under policy may change between runs.",
    CUT_OFF: "Raise policy.answer_tokens: a reasoning model thinks before it answers.",
    UNREADABLE: "Let policy.output hold answers to the schema (native or tool), or ask a stronger policy.model.",
    REPEATED: "It asks again for what was done: a stronger policy.model, or policy.temperature above 0.",
    NOT_OFFERED: "A stronger policy.model, or your own policy.prompts.",
}


def fallbacks(state: State, study: str) -> Signature:
    """How many trials the fallback chose, and how many answers were of no use and why."""
    by_fallback = [t.number for t in state.trials if t.choice.fell_back]
    asked = [call for call in state.llm_calls if call.job is None]  # a job's judge or teacher chooses nothing
    if not asked and not by_fallback:
        return Signature(
            name=NAME, verdict="ok", measured="No language model was asked.", advice="None needed."
        )  # fmt: skip
    if len(state.trials) < FEWEST_TRIALS:
        return too_few(NAME, len(state.trials), "trials", len(state.trials), study)
    causes = Counter(cause(e) for e in asked if e.error is not None)
    fallen = share("trials chosen by the fallback", len(by_fallback), len(state.trials))
    figures, words = [fallen], [f"The fallback chose {_of(fallen, 'trials')}"]
    verdict = _verdict(fallen)
    if asked:
        useless = share("answers of no use", causes.total(), len(asked))
        figures.append(useless)
        words.append(f"{_of(useless, 'answers')} were of no use" + _because(causes))
        words.append(f"{causes.total() / len(state.trials):.2f} a trial")
        if verdict == "ok" and (useless.low or 0.0) > REFUSED:
            verdict = "watch"
    advice = "None needed."
    if verdict != "ok":
        example = f" See what was said: lamdagent show {study} {by_fallback[0]} --transcript." if by_fallback else ""
        advice = REMEDIES[causes.most_common(1)[0][0] if causes else NO_ANSWER] + example
    return Signature(
        name=NAME, verdict=verdict, measured="; ".join(words) + ".", advice=advice, figures=tuple(figures)
    )  # fmt: skip


def cause(call: LLMCall) -> str:
    """Why an answer was of no use, by the words that `llm.reading`, `llm.chat` and `space` have for it."""
    error = call.error or ""
    if call.answer is None:
        return NO_ANSWER
    if error.startswith("it was cut off"):
        return CUT_OFF
    if error.startswith("it was ") or "(given: " in error:
        return UNREADABLE
    return REPEATED if error.startswith("already tried") else NOT_OFFERED


def _verdict(fallen: Figure) -> Verdict:
    low = fallen.low or 0.0
    return "alarm" if low > FALLBACK_ALARM else "watch" if low > FALLBACK_WATCH else "ok"


def _of(figure: Figure, what: str) -> str:
    low, high = figure.low or 0.0, figure.high or 0.0
    return f"{round(figure.value * figure.n)} of {figure.n} {what} ({low:.0%} to {high:.0%})"


def _because(causes: Counter[str]) -> str:
    return f" ({', '.join(f'{what} {n}' for what, n in causes.most_common())})" if causes else ""
