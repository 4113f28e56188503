"""One worker: a process that imports and loads once, then does job after job.

It speaks JSON lines: requests on standard input, answers on standard output. What libraries print goes to the log of
the job at hand. When the driver is gone, so is the worker, in the middle of whatever it does.
"""

from __future__ import annotations

import io
import json
import os
import queue
import sys
import threading
import traceback
from functools import partial
from typing import Any

from lamdagent.core.errors import LamdagentError, UserError
from lamdagent.core.hardware import cores
from lamdagent.core.jobs import Progress
from lamdagent.core.llm_call import LLMCall
from lamdagent.runners.job import Toolkit, work
from lamdagent.runners.prepare import prepare
from lamdagent.runners.wire import CALL, JOB, OUTCOME, PREPARE_REQUEST, PREPARED, PROGRESS, WORKER_SPEC

ENVIRONMENT = {"TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}


def main() -> None:
    os.environ.update(ENVIRONMENT)
    # Answers keep standard output for themselves: a library's print between two of them would be read as one.
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_listen, args=(sys.stdin, requests), daemon=True).start()
    toolkit: Toolkit | None = None
    while True:
        request = requests.get()
        try:
            if toolkit is None:
                toolkit = _open(request)
                answer: dict[str, Any] = {"ready": True}
            elif "prepare" in request:
                watch = partial(_tell, answers)
                prepared = prepare(PREPARE_REQUEST.validate_python(request["prepare"]), toolkit, watch)
                answer = {"prepared": PREPARED.dump_python(prepared, mode="json")}
            else:
                answer = _do(request, toolkit, answers)
        except LamdagentError as error:
            answer = {"halt": str(error), "user": isinstance(error, UserError)}
        print(json.dumps(answer), file=answers)


def _listen(requests: io.TextIOBase | Any, into: queue.Queue[dict[str, Any]]) -> None:
    for line in requests:
        into.put(json.loads(line))
    os._exit(0)  # sys.exit would end this thread only, and the job would train on for nobody


def _open(request: dict[str, Any]) -> Toolkit:
    from lamdagent.study.parts import StudyParts

    parts = StudyParts.told(WORKER_SPEC.validate_python(request["open"]))
    _take_one_gpu(request["slot"])
    execution = parts.study.body.execution
    _use_threads(execution.threads or max(1, cores() // execution.workers))
    return parts.toolkit


def _take_one_gpu(slot: int) -> None:
    # Trainers spread over every GPU they see; a worker has one, and slots take turns.
    import torch

    count = torch.cuda.device_count()
    if count > 1:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[slot % len(visible)]


def _use_threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def _do(request: dict[str, Any], toolkit: Toolkit, answers: Any) -> dict[str, Any]:
    job = JOB.validate_python(request["job"])
    with open(request["log"], "ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)

    def answered(call: LLMCall) -> None:
        print(json.dumps({"call": CALL.dump_python(call, mode="json")}), file=answers)

    outcome = work(job, toolkit, partial(_tell, answers), report=traceback.print_exception, answered=answered)
    # What is still buffered would be written to the log of the next job.
    sys.stdout.flush()
    sys.stderr.flush()
    return {"outcome": OUTCOME.dump_python(outcome, mode="json")}


def _tell(answers: Any, progress: Progress) -> None:
    print(json.dumps({"progress": PROGRESS.dump_python(progress, mode="json")}), file=answers)


if __name__ == "__main__":
    main()
