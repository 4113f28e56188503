"""What making an exported pipeline again gave: are weights and rows the same bits, and if not, what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamdagent.core.plan import PlanStatus
from lamdagent.core.protocols import ArtifactStore
from lamdagent.results.export.pipeline_file import content_digest
from lamdagent.results.result import Section


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedStep:
    """One step of the pipeline."""

    make: str
    """The name of what it makes."""
    action: str
    """The action type."""
    exported: str | None
    """The digest of the weights, or of a dataset's rows, that were exported."""
    here: str | None
    """The digest of those made here."""
    identical: bool | None
    """Whether they are the same bits; null where a digest is missing."""
    lost: str | None
    """Why it was not made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThenAndHere:
    """Something that is not as it was, such as a version."""

    exported: Any
    """What it was."""
    here: Any
    """What it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOutcome:
    """What making an exported pipeline again gave."""

    result: str
    """The name of the pipeline's model."""
    model: str | None
    """The folder that the model is in; null where it was not made."""
    identical: bool | None
    """Whether its weights are the same bits as those exported; null where a digest is missing."""
    lost: str | None
    """Why it was not made."""
    steps: tuple[ReplayedStep, ...]
    """Every step."""
    objects: tuple[str, ...]
    """Models and datasets that are not what was exported, in words."""
    versions: Mapping[str, ThenAndHere]
    """The versions of packages that differ, by name."""
    machine: Mapping[str, ThenAndHere]
    """What differs of the kind of machine."""

    @property
    def title(self) -> str:
        return f"replay of {self.result}"

    def sections(self) -> list[Section]:
        return [Section(parts=["\n".join(self._lines())])]

    def _lines(self) -> list[str]:
        if self.lost is not None:
            return [f"{self.result} was not made: {self.lost}"]
        lines = [f"{self.result} is in {self.model}"]
        if self.identical:
            return [*lines, f"the weights are bit-identical to those exported, in all {len(self.steps)} steps"]
        if self.identical is None:
            return [*lines, "whether the weights are those exported cannot be said: their digest is missing"]
        first = next(step for step in self.steps if step.identical is False)
        lines.append(
            f"the weights are not bit-identical; the first step that differs makes {first.make} ({first.action})"
        )
        lines += [f"  {line}" for line in self.objects]
        for what, differing in (("version", self.versions), ("machine", self.machine)):
            lines += [f"  {what} {key}: {pair.exported} then, {pair.here} here" for key, pair in differing.items()]
        if len(lines) == 2:
            lines.append("  models, datasets, versions and kind of machine are the same, as far as they were recorded")
        return lines


def replay_outcome(
    recipe: Mapping[str, Any],
    strange: Sequence[str],
    followed: PlanStatus,
    artifacts: ArtifactStore,
    *,
    model: str | None,
) -> ReplayOutcome:
    """Hold every step's weights or rows against those exported.

    Args:
        recipe: the data of `pipeline.yaml`.
        strange: what is not what was exported, in words.
        model: the folder that the model was written to.
    """
    steps = tuple(_step(step, followed, artifacts) for step in recipe["steps"])
    last = next((s for s in steps if s.make == recipe["result"]), None)
    record = artifacts.record(followed.ids.get(recipe["result"], "")) or {}
    return ReplayOutcome(
        result=recipe["result"],
        model=model,
        identical=None if last is None else last.identical,
        lost=None if last is None else last.lost,
        steps=steps,
        objects=tuple(strange),
        versions=_differing(recipe["versions"], record.get("versions", {})),
        machine=_differing(recipe["machine"], record.get("machine", {})),
    )


def _step(step: Mapping[str, Any], followed: PlanStatus, artifacts: ArtifactStore) -> ReplayedStep:
    made, exported = followed.ids.get(step["make"]), step.get("weights", step.get("rows"))
    here = None if made is None else content_digest(artifacts.record(made))
    return ReplayedStep(
        make=step["make"],
        action=step["action"],
        exported=exported,
        here=here,
        identical=None if here is None or exported is None else here == exported,
        lost=None if made else followed.unreachable.get(step["make"], "it was not done"),
    )


def _differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, ThenAndHere]:
    """What is otherwise here; nothing where it was not recorded then."""
    keys = [key for key in {**then, **now} if then and then.get(key) != now.get(key)]
    return {key: ThenAndHere(exported=then.get(key), here=now.get(key)) for key in keys}
