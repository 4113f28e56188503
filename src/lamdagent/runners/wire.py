"""Jobs, outcomes and progress as JSON, for runners whose workers are other processes."""

from __future__ import annotations

from pydantic import TypeAdapter

from lamdagent.core.types import Job, Outcome, Progress

JOB: TypeAdapter[Job] = TypeAdapter(Job)


OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


PROGRESS: TypeAdapter[Progress] = TypeAdapter(Progress)
