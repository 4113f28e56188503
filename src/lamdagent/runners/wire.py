"""What travels between a runner and workers in other processes, as JSON."""

from __future__ import annotations

from pydantic import TypeAdapter

from lamdagent.core.jobs import Job, Prepared, PrepareRequest, Progress, WorkerSpec
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.types import Outcome

CALL: TypeAdapter[LLMCall] = TypeAdapter(LLMCall)
JOB: TypeAdapter[Job] = TypeAdapter(Job)
OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)
PREPARED: TypeAdapter[Prepared] = TypeAdapter(Prepared)
PREPARE_REQUEST: TypeAdapter[PrepareRequest] = TypeAdapter(PrepareRequest)
PROGRESS: TypeAdapter[Progress] = TypeAdapter(Progress)
WORKER_SPEC: TypeAdapter[WorkerSpec] = TypeAdapter(WorkerSpec)
