"""What jobs are answered by language models: one file an answer, on the disk before it is used.

    runs/<study>/calls/<key>-<content>.json

Workers write, the driver journals. Whichever of them is killed, an answer that was paid for is found here again. All
workers of a study read the folder, so each counts what the others spend.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import ValidationError

from lamdagent.core.errors import DataError
from lamdagent.core.jobs import Job
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.protocols import CallStore
from lamdagent.core.spent import Spent
from lamdagent.core.types import content_id
from lamdagent.objects.durable import rename
from lamdagent.runners.wire import CALL


class CallFolder:
    """The answers of one study's jobs. It need not exist before there is one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, LLMCall] = {}

    def write(self, call: LLMCall) -> None:
        name = f"{call.key}-{content_id(asdict(call))}.json"
        if (self.folder / name).exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(prefix=".partial-", dir=self.folder)
        with os.fdopen(handle, "wb") as file:
            file.write(CALL.dump_json(call))
        rename(Path(partial), self.folder / name)

    def of(self, jobs: Iterable[int | str] | None = None) -> Sequence[LLMCall]:
        """Raises: DataError: a file is damaged."""
        wanted = None if jobs is None else set(jobs)
        return [call for call in self._all() if wanted is None or call.job in wanted]

    def _all(self) -> Iterable[LLMCall]:
        for file in sorted(self.folder.glob("[!.]*.json")):
            if file.name not in self._read:
                try:
                    self._read[file.name] = CALL.validate_json(file.read_bytes())
                except ValidationError as error:
                    raise DataError(f"{file}: a damaged answer of a language model; remove it to ask again") from error
        return self._read.values()


class JobLog:
    """The `CallLog` of one job: its answers are kept first and then told to the driver, which journals them.

    Args:
        tell: hears of each call, an unanswered one too.
    """

    def __init__(self, job: Job, calls: CallStore, tell: Callable[[LLMCall], None]) -> None:
        self._job, self._calls, self._tell = job, calls, tell

    def answered(self, key: str) -> LLMCall | None:
        """The usable answer to a question, however often it had to be asked; what was of no use is asked for again."""
        kept = (call for call in self._calls.of() if call.error is None)
        return next((call for call in kept if key in (call.key, call.question)), None)

    def record(self, call: LLMCall) -> None:
        key = self._job.key
        call = replace(call, job=key, trial=key if isinstance(key, int) else None)
        if call.answer is not None:
            self._calls.write(call)
        self._tell(call)

    @property
    def spent(self) -> Spent:
        return self._job.spent + Spent.on(self._calls.of())
