"""A pipeline made again with other training seeds: how much of its score is the luck of training."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lamdagent.core.format import interval, scored, with_error
from lamdagent.core.state import State, reduce_events
from lamdagent.core.types import Made, ObjectiveValue, Trial
from lamdagent.results.rerun import PLAN_FILE
from lamdagent.results.result import Section, Table
from lamdagent.study.journal import read_journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """A pipeline with other training seeds: the spread over seeds beside the error over items."""

    study: str
    """The study's name."""
    model: str
    """The name of the pipeline's model."""
    trial: int
    """The number of its trial."""
    objective: ObjectiveValue | None
    """Its validation objective in the search, with its error over items. It may have been picked for its luck, so it has
    no part in the mean and the spread."""
    seeds: Mapping[str, ObjectiveValue | None]
    """The objective with each other seed, by seed; null where none was scored."""
    mean: float | None
    """The mean over the other seeds."""
    sd: float | None
    """Their standard deviation; null of fewer than two."""
    sd_low: float | None
    """Lower end of the 95 % interval of that, of normal scores: few seeds say little."""
    sd_high: float | None
    """Upper end."""
    items_stderr: float | None
    """The error over items, as a root mean square over the other seeds; null where one has none."""

    @property
    def title(self) -> str:
        return f"{self.model} of {self.study} with other training seeds"

    @property
    def words(self) -> str:
        """`mean 0.871 ± 0.011 over items, of 3 other training seeds; sd 0.012 (0.006 to 0.075) over seeds`."""
        known = sum(value is not None for value in self.seeds.values())
        if self.mean is None:
            return f"none of {len(self.seeds)} other training seeds has a score"
        of = f"{known}" if known == len(self.seeds) else f"{known} of {len(self.seeds)}"
        mean = with_error(self.mean, self.items_stderr)
        spread = "" if self.sd is None else f"; sd {self.sd:.3f} ({interval(self.sd_low, self.sd_high)}) over seeds"
        return f"mean {mean} over items, of {of} other training seeds{spread}"

    def sections(self) -> list[Section]:
        rows = [["as in the search", scored(self.objective)]]
        rows += [[f"seed {seed}", scored(value)] for seed, value in self.seeds.items()]
        notes = (
            "± covers the draw of the items, the sd the seed of training, with its 95 % interval; the score in the search "
            "is in neither, since it may have been picked for its luck",
        )
        return [Section(parts=[Table(heads=[self.model, "objective"], rows=rows, notes=notes), self.words])]


def label_of(trial: Trial, seed: int) -> str:
    """What ends the name of the study that makes a trial's pipeline again with another seed."""
    return f"repeat-{trial.number}-seed-{seed}"


def repetition(study: str, state: State, trial: Trial, folder: Path) -> Repetition | None:
    """What is known of a trial's pipeline with other seeds, from the derived studies beside its run folder; None where
    there are none, and for a trial that made nothing.

    Args:
        folder: the study's run folder.
    """
    begin = f"{folder.name}.{label_of(trial, 0).removesuffix('0')}"
    found = {int(place.name.removeprefix(begin)): place for place in folder.parent.glob(f"{begin}*") if _begun(place)}
    if not found or not isinstance(trial.outcome, Made):
        return None
    seeds = {str(seed): _result(found[seed]) for seed in sorted(found)}
    return spread_over(study, state, trial, seeds)


def spread_over(study: str, state: State, trial: Trial, seeds: Mapping[str, ObjectiveValue | None]) -> Repetition:
    """The spread of a trial's objective over other seeds, given the objective of each."""
    known = [value for value in seeds.values() if value is not None]
    values = [value.value for value in known]
    sd = statistics.stdev(values) if len(values) > 1 else None
    low, high = (None, None) if sd is None else _interval_of_sd(sd, len(values))
    return Repetition(
        study=study,
        model=state.pool[trial.choice.action.id].name,
        trial=trial.number,
        objective=state.objective(trial.choice.action.id),
        seeds=seeds,
        mean=statistics.fmean(values) if values else None,
        sd=sd,
        sd_low=low,
        sd_high=high,
        items_stderr=_root_mean_square([value.stderr for value in known]),
    )


def _begun(place: Path) -> bool:
    return (
        place.name.rpartition("-")[2].isdigit() and (place / "journal.sqlite").exists() and (place / PLAN_FILE).exists()
    )


def _result(folder: Path) -> ObjectiveValue | None:
    """The objective of what a study with a plan of one result came to; None where it is not there yet, or failed.

    Every step of such a plan is needed for its result, so once all are done it is what no step takes.
    """
    state = reduce_events(read_journal(folder))
    steps = yaml.safe_load((folder / PLAN_FILE).read_text(encoding="utf-8"))["steps"]
    if len(state.trials) < len(steps) or not all(isinstance(trial.outcome, Made) for trial in state.trials):
        return None
    taken = {i for trial in state.trials for i in trial.choice.action.object_ids}
    ends = [trial.choice.action.id for trial in state.trials if trial.choice.action.id not in taken]
    return state.objective(ends[0]) if len(ends) == 1 else None


def _interval_of_sd(sd: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a standard deviation of n normal values (chi-square)."""
    from scipy.stats import chi2

    return tuple(sd * math.sqrt((n - 1) / float(chi2.ppf(q, n - 1))) for q in (0.975, 0.025))  # type: ignore[return-value]


def _root_mean_square(errors: Sequence[float | None]) -> float | None:
    known = [error for error in errors if error is not None]
    return math.sqrt(statistics.fmean([e * e for e in known])) if errors and len(known) == len(errors) else None
