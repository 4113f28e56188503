"""What the audit of a dataset costs, against tokenizing each row's prompt and each row whole, as a trainer does.

    python benchmarks/audit_cost.py MODEL_FOLDER [ROWS]

Rows are made: prompt and completion, or messages where the model has a chat template. Imports are not counted.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

from lamdagent.actions.sft import Sft, SftHyperparameters
from lamdagent.core.audit import AuditContext
from lamdagent.core.settings import setting_object
from lamdagent.core.types import Object
from lamdagent.objects.models.examination import open_for_text
from lamdagent.objects.models.metadata import read_facts


def rows_of(n: int, *, chat: bool) -> list[dict[str, Any]]:
    rng = random.Random(0)
    words = ["model", "train", "score", "the", "of", "merge", "data", "row", "token", "and", "12", "is"]
    pairs = [(" ".join(rng.choices(words, k=60)), " ".join(rng.choices(words, k=40))) for _ in range(n)]
    if not chat:
        return [{"prompt": f"{a}\n", "completion": b} for a, b in pairs]
    return [{"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]} for a, b in pairs]


def tokenized_twice(tokenizer: Any, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if "messages" in row:
            tokenizer.apply_chat_template(row["messages"][:1], add_generation_prompt=True, tokenize=True)
            tokenizer.apply_chat_template(row["messages"], tokenize=True)
        else:
            tokenizer(row["prompt"])
            tokenizer(row["prompt"] + row["completion"])


def main(folder: Path, n: int = 5000) -> None:
    tokenizer, facts = open_for_text(folder), read_facts(folder)
    for chat in (False, True) if facts["chat_template"] else (False,):
        rows = rows_of(n, chat=chat)
        model = Object(id="m", kind="model", name="m", uri=str(folder), meta={**facts, "root": "m"})
        shape = "messages" if chat else "prompt_completion"
        dataset = Object(id="d", kind="dataset", name="d", uri="d", meta={"rows": n, "format": shape})
        setting = setting_object("sft", "s", SftHyperparameters())
        context = AuditContext(
            objects=(model, dataset, setting),
            device="cpu",
            folder=lambda obj: folder,
            rows=lambda obj, rows=rows: ((f"f:{i}", row) for i, row in enumerate(rows)),  # type: ignore[misc]
        )
        list(Sft().audit(context))  # imports
        tokenized_twice(tokenizer, rows[:100])
        times = []
        for work in (lambda: tokenized_twice(tokenizer, rows), lambda: list(Sft().audit(context))):  # noqa: B023
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
        print(
            f"{shape}: {n} rows, tokenized twice {times[0]:.2f} s, audit {times[1]:.2f} s, {times[1] / times[0]:.2f} times"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
