"""The models of a study by objective, its trials, and what the scores can tell."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lamdagent.core.events import SearchStopped
from lamdagent.core.evidence import REPEATS, MeanGain, collapsed, dataset_gains
from lamdagent.core.format import action_of, change, contents, origin, with_error, with_interval
from lamdagent.core.protocols import ArtifactStore
from lamdagent.core.state import State
from lamdagent.core.types import Object, ObjectiveValue
from lamdagent.evaluation.estimates import Corrected
from lamdagent.evaluation.ranking import Ranking, rank_models
from lamdagent.results.by_hand import AgainstHand
from lamdagent.results.history import History, history_of
from lamdagent.results.ledger import Ledger, ledger_of
from lamdagent.results.notes import notes_on
from lamdagent.results.recommendation import Recommendation, recommendation
from lamdagent.results.references import Reference, References, references_of
from lamdagent.results.result import Part, Picture, Section, Table
from lamdagent.results.running import RunningJob, running_section
from lamdagent.results.scores import TaskScore, task_scores
from lamdagent.results.trial import TrialRecord, spending, trial_record
from lamdagent.study.read import best_trial


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderboardRow:
    """A scored model."""

    rank: int
    """From 1: models that hold all guards first, best objective first."""
    name: str
    """Its name in the study."""
    trial: int | None
    """The number of the trial that made it; null for what the user provided."""
    objective: float
    """Its validation objective."""
    stderr: float | None
    """The standard error of that."""
    low: float | None
    """Lower end of its 95 % interval, which covers the draw of the items."""
    high: float | None
    """Upper end."""
    scores: Mapping[str, TaskScore]
    """Its validation scores by task."""
    contender: bool
    """Whether it cannot be told from the leader (95 %, paired on the same items)."""
    worst_task: str | None
    """The task on which it lost most, or gained least, against its base model; null for base models."""
    worst_drop: float | None
    """How much it lost there: 0 or less."""
    broken_guards: tuple[str, ...]
    """The tasks whose guards it breaks."""
    how: str
    """The action that made it, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeDataset:
    """A dataset that a trial made."""

    name: str
    """Its name."""
    trial: int
    """The number of the trial that made it."""
    contents: str
    """How many rows it has, and their format."""
    gain: MeanGain | None
    """The mean gain of the models trained on it over their best parent; null where none was."""
    how: str
    """The action that made it, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BestTrial:
    """The trial that made the best model by validation."""

    trial: int
    """Its number."""
    objective: float
    """Its validation objective."""
    stderr: float | None
    """The standard error of that."""
    low: float | None
    """Lower end of its 95 % interval, which covers the draw of the items."""
    high: float | None
    """Upper end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """A study as one result: models by objective, trials, what the scores can tell, and what it cost."""

    study: str
    """The study's name."""
    base: Mapping[str, float | None]
    """The objective of every provided model by name; null where it is not scored yet."""
    base_scores: Mapping[str, Mapping[str, TaskScore]]
    """Their validation scores by task."""
    models: tuple[LeaderboardRow, ...]
    """Every scored model, best first."""
    datasets: tuple[MadeDataset, ...]
    """Every made dataset, best gain first, untried ones last."""
    trials: tuple[TrialRecord, ...]
    """Every trial."""
    history: History
    """How the search went."""
    tasks: tuple[str, ...]
    """The tasks of the objective."""
    compared: int
    """How many models are held against the leader on the same items."""
    contenders: tuple[str, ...]
    """The models that cannot be told from the leader."""
    notes: tuple[str, ...]
    """What the figures cover, which tasks ask the same rows, and what small tasks cost in certainty."""
    leader: Corrected | None
    """The leader's objective, and without the luck of having been picked; null where items are not kept."""
    best: BestTrial | None
    """The best trial by validation; null where none is scored."""
    recommended: Recommendation | None
    """The trial to take; null where none is scored."""
    ledger: Ledger
    """What the trials took: rows, tokens, floating-point operations, seconds."""
    wall_s: float
    """Seconds that the search took, over all its restarts."""
    tokens: int
    """Tokens that a language model was asked and answered."""
    tokens_in: int
    """Those asked."""
    tokens_out: int
    """Those answered."""
    usd: float
    """What these cost, as far as prices are known."""
    unpriced: bool
    """Whether there are answers whose price is not known."""
    estimated: bool
    """Whether tokens and USD of some are estimated from the text, since the server reported none."""
    repeats: int
    """How many choices went on with a pattern that the five before had, too: a count of mode collapse."""
    stopped: SearchStopped | None
    """Why the search stopped; null while it goes on."""
    running: tuple[RunningJob, ...]
    """The jobs that run now, with what they are at."""
    references: tuple[Reference, ...]
    """Models from elsewhere that `score` scored, which are in no ranking."""
    against_hand: AgainstHand | None
    """Where the search stands against what its user would try without one; null for a study that is no search."""
    audit: tuple[str, ...]
    """What the audit before the first trial warned of, and what it had to say."""
    warnings: tuple[str, ...]
    """What libraries warned of, each once: the model or trial where it was heard first, the library, the text."""

    @property
    def title(self) -> str:
        return f"leaderboard of {self.study}"

    def sections(self, limit: int | None = None) -> list[Section]:
        """`limit` is how many of the best models are listed; provided models always are."""
        shown = [row for row in self.models if limit is None or row.rank <= limit or row.trial is None]
        parts: list[Part] = [self._table(shown)]
        if len(shown) < len(self.models):
            parts.append(f"{len(shown)} of {len(self.models)} models shown; more with --limit")
        parts += ["\n".join(lines)] if (lines := self._verdicts()) else []
        parts += [self.ledger.words] if self.ledger.trials else []
        if self.tokens or self.unpriced:
            usd = None if self.unpriced else self.usd
            spent = spending(self.tokens_in, self.tokens_out, usd, estimated=self.estimated)
            repeated = f"{self.repeats} of {len(self.trials)} choices repeat the {REPEATS} before"
            parts.append(f"language model: {spent}\nmode collapse: {repeated}")
        if len(chosen := Counter(t.by for t in self.trials)) > 1:
            parts.append(f"chosen by: {', '.join(f'{by} {n}' for by, n in chosen.items())}")
        if running := [f"trial {t.number}" for t in self.trials if t.status == "running"]:
            parts.append(f"open: {', '.join(running)}")
        if self.stopped is not None:
            parts.append(f"stopped: {self.stopped.message or self.stopped.reason}")
        if self.against_hand is not None and self.models:
            parts.append(self.against_hand.words)
        if self.audit:
            parts.append("audit:\n" + "\n".join(f"  {line}" for line in self.audit))
        if self.warnings:
            parts.append("warnings:\n" + "\n".join(f"  {line}" for line in self.warnings))
        if self.history.points:
            parts.append(Picture(name="history", caption="The objective of every trial", data=self.history))
        beside = References(study=self.study, tasks=self.tasks, references=self.references).sections()
        return [Section(parts=parts), *beside, *running_section(self.running), *self._datasets(), *self._failures()]

    def _table(self, shown: list[LeaderboardRow]) -> Table:
        rows = [
            [
                f"≈ {row.rank}" if row.contender else str(row.rank),
                row.name,
                with_error(row.objective, row.stderr, row.low, row.high) + (" guard" if row.broken_guards else ""),
                *(_cell(row.scores.get(task)) for task in self.tasks),
                "-" if row.worst_drop is None else f"{change(row.worst_drop)} {row.worst_task}",
                row.how,
            ]
            for row in shown
        ]
        return Table(
            heads=["#", "model", "objective", *self.tasks, "worst drop", "how"],
            rows=rows,
            strong=frozenset(place for place, row in enumerate(shown) if row.trial is None),
            last_is_extra=True,
        )

    def _verdicts(self) -> list[str]:
        """What the scores can tell and what not, a line for each mark of the table."""
        lines = []
        if self.compared:
            lines.append(
                f"≈ cannot be told from the leader: {len(self.contenders)} of {self.compared} models "
                "(95 %, paired on the same items, corrected for picking the best)"
            )
        if self.leader is not None:
            lines.append(
                f"the leader's {self.leader.raw:.3f} is "
                f"{with_interval(self.leader.corrected, self.leader.low, self.leader.high)} without the luck of having "
                "been picked (95 %, over items)"
            )
        if broken := sum(bool(row.broken_guards) for row in self.models):
            lines.append(
                f"guard: {broken} models lost more of a guarded skill than allowed, and rank behind the others"
            )
        lines += [self.recommended.words] if self.recommended is not None else []
        return [*lines, *self.notes]

    def _datasets(self) -> list[Section]:
        rows = [[d.name, d.contents, "-" if d.gain is None else str(d.gain), d.how] for d in self.datasets]
        table = Table(heads=["dataset", "contents", "mean gain of models trained on it", "how"], rows=rows)
        return [Section(heading="Made datasets", parts=[table])] if rows else []

    def _failures(self) -> list[Section]:
        found: list[Section] = []
        for status in ("failed", "stopped"):
            rows = [
                [str(t.number), str(t.cause), (t.message or "").partition("\n")[0], t.label]
                for t in self.trials
                if t.status == status
            ]
            table = Table(heads=["trial", "cause", "message", "action"], rows=rows)
            found += [Section(heading=f"{len(rows)} {status}", parts=[table])] if rows else []
        return found


def leaderboard(
    study: str,
    state: State,
    artifacts: ArtifactStore,
    running: tuple[RunningJob, ...] = (),
    against_hand: AgainstHand | None = None,
) -> Leaderboard:
    """A study's leaderboard."""
    best, ranking = _best(state), rank_models(state, artifacts)
    provided = [o for o in state.of_kind("model") if o.made_by is None]
    return Leaderboard(
        study=study,
        base={o.name: _value(state.objective(o.id)) for o in provided},
        base_scores={o.name: task_scores(state.scores.get(o.id, ()), state.goals) for o in provided},
        models=tuple(_row(state, ranking, rank, *row) for rank, row in enumerate(state.ranked(), 1)),
        datasets=_datasets(state),
        trials=tuple(trial_record(state, t) for t in state.trials),
        history=history_of(state),
        tasks=tuple(goal.task for goal in state.goals),
        compared=ranking.compared,
        contenders=tuple(state.pool[i].name for i in sorted(ranking.contenders)),
        notes=notes_on(state),
        leader=ranking.corrected,
        best=best,
        recommended=recommendation(state, ranking),
        ledger=ledger_of(state),
        wall_s=round(state.wall_s, 1),
        tokens=state.tokens,
        tokens_in=sum(call.tokens_in for call in state.llm_calls),
        tokens_out=sum(call.tokens_out for call in state.llm_calls),
        usd=state.usd,
        unpriced=any(call.usd is None for call in state.llm_calls if call.answer is not None),
        estimated=any(call.estimated for call in state.llm_calls),
        repeats=collapsed(state),
        stopped=state.stopped,
        running=running,
        references=references_of(study, state, artifacts).references,
        against_hand=against_hand,
        audit=() if state.audit is None else tuple(finding.text for finding in state.audit.findings),
        warnings=tuple(_warnings(state)),
    )


def _warnings(state: State) -> Iterator[str]:
    for object_id, text in state.warnings.values():
        number = state.tried.get(object_id)
        yield f"{state.pool[object_id].name if number is None else f'trial {number}'}: {text}"


def _best(state: State) -> BestTrial | None:
    trial = best_trial(state)
    objective = None if trial is None else state.objective(trial.choice.action.id)
    if trial is None or objective is None:
        return None
    return BestTrial(
        trial=trial.number, objective=objective.value, stderr=objective.stderr, low=objective.low, high=objective.high
    )


def _datasets(state: State) -> tuple[MadeDataset, ...]:
    gains = dataset_gains(state)
    made = [(obj, trial) for obj in state.of_kind("dataset") if (trial := state.trial_of(obj.id)) is not None]
    found = [
        MadeDataset(
            name=obj.name,
            trial=trial.number,
            contents=contents(obj),
            gain=gains.get(obj.id),
            how=action_of(state, trial),
        )
        for obj, trial in made
    ]
    return tuple(sorted(found, key=lambda d: -math.inf if d.gain is None else d.gain.value, reverse=True))


def _value(objective: ObjectiveValue | None) -> float | None:
    return None if objective is None else objective.value


def _row(state: State, ranking: Ranking, rank: int, obj: Object, objective: ObjectiveValue) -> LeaderboardRow:
    trial, worst = state.trial_of(obj.id), state.worst_drop(obj.id)
    return LeaderboardRow(
        rank=rank,
        name=obj.name,
        trial=None if trial is None else trial.number,
        objective=objective.value,
        stderr=objective.stderr,
        low=objective.low,
        high=objective.high,
        scores=task_scores(state.scores[obj.id], state.goals),
        contender=obj.id in ranking.contenders,
        worst_task=None if worst is None else worst.task,
        worst_drop=None if worst is None or worst.gain is None else min(0.0, worst.gain),
        broken_guards=tuple(guard.task for guard, _ in state.broken(obj.id)),
        how=origin(state, obj.id),
    )


def _cell(score: TaskScore | None) -> str:
    return "-" if score is None else with_error(score.value, score.stderr, score.low, score.high)
