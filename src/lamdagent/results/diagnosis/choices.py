"""Signatures of how a search chooses: too little variety, and favourites that their results do not earn."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from lamdagent.core.evidence import REPEATS, collapsed, gains, repeats
from lamdagent.core.format import change
from lamdagent.core.state import State
from lamdagent.core.types import Action, ObjectId
from lamdagent.results.diagnosis.chance import Shares, Turn, entropies, entropy, hits, searches
from lamdagent.results.diagnosis.signature import (
    COLLAPSED,
    FAVOURED,
    FEWEST_TRIALS,
    FEWEST_USES,
    NARROW,
    NOISE,
    RARE,
    STUCK,
    Figure,
    Signature,
    Verdict,
    sentence,
    too_few,
    unknown,
    worst,
)

COLLAPSE, BIAS = "mode collapse", "favourites"
SIMULATED = 100  # searches whose repeats are counted
SHOWN = 3


def mode_collapse(state: State, turns: Sequence[Turn] | None, study: str) -> Signature:
    """Whether choices vary less than even draws from the same action spaces would: entropies, and repeats in a row."""
    if turns is None:
        return _no_draws(COLLAPSE, study)
    if len(turns) < FEWEST_TRIALS:
        return too_few(COLLAPSE, len(turns), "choices", len(state.trials), study)
    rows = [row for of in ("action type", "dataset", "setting") if (row := _variety(state, turns, of)) is not None]
    rows.append(_repeats(state, turns))
    verdict = worst(row[2] for row in rows)
    stuck = repeats(state)
    advice = "None needed: the choices vary about as much as even draws would."
    if verdict != "ok":
        advice = (
            f"See whether it pays: lamdagent compare {study} --policies random,{_policy(state)}. "
            f"{_wider(state)} makes choices more varied, from the next run on."
        )
    measured = "; ".join(words for words, _, _ in rows) + (f". {stuck}" if stuck else ".")
    return Signature(
        name=COLLAPSE,
        verdict=verdict,
        measured=sentence(measured),
        advice=advice,
        figures=tuple(figure for _, figure, _ in rows),
    )


def _variety(state: State, turns: Sequence[Turn], of: str) -> tuple[str, Figure, Verdict] | None:
    """The entropy of the choices of one kind; None where there is nothing to choose, or too few chose.

    A dataset or setting is held against draws of the action type that was chosen, so that a preference for a type is
    counted once.
    """
    chosen = [(_category(state, turn.trial.choice.action, of), turn) for turn in turns]
    chosen = [(name, turn) for name, turn in chosen if name]
    if len(chosen) < FEWEST_TRIALS:
        return None
    drawn_B = entropies([_shares(state, turn, of) for _, turn in chosen], state.seed)
    low, median, high = (float(q) for q in np.quantile(drawn_B, [0.025, 0.5, 0.975]))
    if median == 0.0:
        return None
    counts = Counter(name for name, _ in chosen)
    (first, times), value = counts.most_common(1)[0], entropy(counts.values())
    most = f"{'+'.join(state.pool[i].name if i in state.pool else i for i in first.split('+'))} {times} times"
    rare = (1 + int((drawn_B <= value).sum())) / (1 + len(drawn_B)) < RARE / 3
    verdict: Verdict = "ok"
    if rare and value < NARROW * median:
        verdict = "alarm" if value < COLLAPSED * median else "watch"
    label = f"entropy of {of}s, bits"
    figure = Figure(label=label, value=value, n=len(chosen), low=low, high=high, range_of="even draws")
    words = f"{label}: {value:.2f} of {len(chosen)} choices ({most}), by even draws {low:.2f} to {high:.2f}"
    return words, figure, verdict


def _category(state: State, action: Action, of: str) -> str:
    if of == "action type":
        return action.type
    kind = "dataset" if of == "dataset" else "hyperparameters"
    return "+".join(sorted(i for i in action.object_ids if state.pool[i].kind == kind))


def _shares(state: State, turn: Turn, of: str) -> Shares:
    if of == "action type":
        return dict.fromkeys(turn.drawn, 1 / len(turn.drawn))
    names = Counter(_category(state, action, of) for action in turn.alike)
    return {name: n / len(turn.alike) for name, n in names.items()}


def _repeats(state: State, turns: Sequence[Turn]) -> tuple[str, Figure, Verdict]:
    value, n = collapsed(state), len(state.trials)
    drawn_B = np.array([collapsed(drawn) for drawn in searches(state, turns, SIMULATED)])
    low, high = float(np.quantile(drawn_B, 0.025)), float(np.quantile(drawn_B, 0.975))
    verdict: Verdict = "ok"
    if value > drawn_B.max():
        verdict = "alarm" if value >= STUCK * n else "watch"
    figure = Figure(label="repeats in a row", value=value, n=n, low=low, high=high, range_of="even draws")
    words = f"{value} of {n} choices repeat the pattern of the {REPEATS} before, by even draws {low:.0f} to {high:.0f}"
    return words, figure, verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """How often an object, or one of several, was chosen where even draws of the chosen action types offer it."""

    label: str
    kind: str
    trials: frozenset[int]
    elsewhere: frozenset[int]
    expected: float
    low: int
    high: int
    p: float

    @property
    def figure(self) -> Figure:
        n = len(self.trials) + len(self.elsewhere)
        label, low, high = f"choices of {self.label}", float(self.low), float(self.high)
        return Figure(label=label, value=len(self.trials), n=n, low=low, high=high, range_of="even draws")


def bias(state: State, turns: Sequence[Turn] | None, study: str) -> Signature:
    """Whether some objects are chosen far more often than evenly, beyond chance, and whether their results are better.

    Results are the gain over the best parent for datasets and settings, and for models what was made from them. Later
    gains are harder than early ones: a favourite that came late looks worse than it is.
    """
    if turns is None:
        return _no_draws(BIAS, study)
    if len(turns) < FEWEST_TRIALS:
        return too_few(BIAS, len(turns), "choices", len(state.trials), study)
    uses = _uses(state, turns)
    favoured = [u for u in uses if u.p < RARE / len(uses) and len(u.trials) >= FAVOURED * u.expected]
    favoured.sort(key=lambda use: use.p)
    found = [_backed(state, use) for use in favoured]
    verdict = worst(verdict for _, verdict in found)
    measured = "; ".join(words for words, _ in found[:SHOWN]) + "."
    if len(found) > SHOWN:
        measured += f" And {len(found) - SHOWN} more."
    if not found:
        measured = f"None of {len(uses)} models, datasets and settings is chosen far more often than by even draws."
    advice = "None needed."
    if verdict != "ok":
        advice = f"See what even draws get: lamdagent compare {study} --policies random,{_policy(state)}."
        if any(call.job is None for call in state.llm_calls) and any(use.kind != "model" for use in favoured):
            advice += (
                " Or give it a name that promises nothing in a next study: if the preference goes, it was the name."
            )
    return Signature(
        name=BIAS,
        verdict=verdict,
        measured=sentence(measured),
        advice=advice,
        figures=tuple(use.figure for use in favoured),
    )


def _uses(state: State, turns: Sequence[Turn]) -> list[_Use]:
    """Every object that was a matter of choice, and the provided models together where there are several."""
    provided = frozenset(o.id for o in state.of_kind("model") if o.made_by is None)
    together = "one of the provided models"
    rows: dict[str, list[tuple[int, bool, float]]] = defaultdict(list)
    for turn in turns:
        mine, drawn = set(turn.trial.choice.action.object_ids), [set(action.object_ids) for action in turn.alike]
        offered = Counter(object_id for ids in drawn for object_id in ids)
        for object_id in mine | set(offered):
            rows[object_id].append((turn.trial.number, object_id in mine, offered[object_id] / len(drawn)))
        if len(provided) > 1:
            rows[together].append((turn.trial.number, bool(provided & mine), _share(provided, drawn)))
    uses = []
    for key, found in sorted(rows.items()):
        if any(0 < chance < 1 for _, _, chance in found):
            label, kind = (key, "model") if key == together else (_label(state, key), state.pool[key].kind)
            uses.append(_use(label, kind, [row for row in found if row[1] or row[2] < 1]))
    return uses


def _share(ids: frozenset[str], drawn: Sequence[set[str]]) -> float:
    return sum(not ids.isdisjoint(own) for own in drawn) / len(drawn)


def _use(label: str, kind: str, rows: Sequence[tuple[int, bool, float]]) -> _Use:
    chosen = frozenset(number for number, hit, _ in rows if hit)
    probability_N = hits([chance for _, _, chance in rows])
    low, high = (int(np.searchsorted(np.cumsum(probability_N), q)) for q in (0.025, 0.975))
    return _Use(
        label=label, kind=kind, trials=chosen, low=low, high=high,
        elsewhere=frozenset(number for number, hit, _ in rows if not hit),
        expected=sum(chance for _, _, chance in rows), p=float(probability_N[len(chosen) :].sum()),
    )  # fmt: skip


def _backed(state: State, use: _Use) -> tuple[str, Verdict]:
    """Whether a preference is backed by results, in words and as a verdict."""
    results = _objectives(state) if use.kind == "model" else {g.trial.number: g.value for g in gains(state)}
    mine, others = ([results[t] for t in sorted(ts) if t in results] for ts in (use.trials, use.elsewhere))
    what = "objective made from it" if use.kind == "model" else "gain"
    often = (
        f"{use.label} was chosen {len(use.trials)} times of {use.figure.n}, by even draws {use.expected:.1f} "
        f"({use.low} to {use.high})"
    )
    if min(len(mine), len(others)) < FEWEST_USES:
        return f"{often}; too few scored trials with it or without it to say whether that pays", "watch"
    told = f"{often}, mean {what} {_mean(mine)} against {_mean(others)} without it"
    gap = float(np.mean(mine) - np.mean(others))
    if gap <= 0:
        return f"{told}: chosen often although the results are not better", "alarm"
    p = stats.ttest_ind(mine, others, equal_var=False, alternative="greater").pvalue if np.ptp(mine + others) else 1.0
    if p < NOISE:
        return f"{told}: a preference that its results back", "ok"
    return f"{told}: whether the results are better cannot be told", "watch"


def _objectives(state: State) -> dict[int, float]:
    found = [(t.number, state.objective(t.choice.action.id)) for t in state.trials]
    return {number: objective.value for number, objective in found if objective is not None}


def _label(state: State, object_id: ObjectId) -> str:
    obj = state.pool[object_id]
    if obj.kind == "hyperparameters":
        return f"setting {obj.name} of {obj.setting.get('action', '?')}"
    return f"{obj.kind} {obj.name}"


def _mean(values: Sequence[float]) -> str:
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return f"{change(float(np.mean(values)), error)} (n={len(values)})"


def _policy(state: State) -> str:
    kind = str(state.config.get("policy", {}).get("kind", "random"))
    return "evolution" if kind == "random" else kind


def _wider(state: State) -> str:
    kind = state.config.get("policy", {}).get("kind")
    return {"agent": "A higher policy.temperature", "greedy": "A higher policy.exploration"}.get(
        str(kind), "Another policy.kind"
    )


def _no_draws(name: str, study: str) -> Signature:
    return unknown(
        name,
        "An action type that was chosen is not known here, so there are no even draws to compare with.",
        f"Install the package that it comes from, then: lamdagent show {study} --diagnose.",
    )
