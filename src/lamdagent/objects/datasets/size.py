"""How much there is to train on in a dataset, and what training on it will take: known before anything is trained."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lamdagent.core.errors import DataError
from lamdagent.core.text import told
from lamdagent.core.training import Training, training_flops
from lamdagent.core.types import Object

SAMPLE = 500  # examples whose tokens are counted: tokens of a character differ little within a dataset
CHARACTERS_PER_TOKEN = 4.0  # of English text, where no tokenizer was asked


def examples_of(row: Mapping[str, Any]) -> Iterator[str]:
    """The texts that a row is trained on as: of a conversation one for each answer, with all that came before it."""
    if "messages" in row:
        said = ""
        for i, message in enumerate(row["messages"]):
            said += message["content"]
            if message["role"] == "assistant" and i > 0 and message.get("weight") != 0:
                yield said
    else:
        yield "".join(value for value in row.values() if isinstance(value, str))


@dataclass(slots=True)
class Size:
    """Counts the examples and characters of a dataset, row by row."""

    examples: int = 0
    characters: int = 0
    sample: list[str] = field(default_factory=list)

    def add(self, row: Mapping[str, Any]) -> None:
        for text in examples_of(row):
            self.examples += 1
            self.characters += len(text)
            if len(self.sample) < SAMPLE:
                self.sample.append(text)

    def meta(self, tokenizers: Mapping[str, Any]) -> dict[str, Any]:
        """The facts of `DatasetMeta` on size; tokens with an end for each example.

        Args:
            tokenizers: by their id, as `open_tokenizer` gives them.
        """
        scale = self.characters / max(1, sum(map(len, self.sample)))
        made = {  # not encode_batch, which takes all cores
            name: sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in self.sample)
            for name, tokenizer in tokenizers.items()
        }
        tokens = {name: round(scale * n) + self.examples for name, n in made.items()}
        return {"examples": self.examples, "characters": self.characters, **({"tokens": tokens} if tokens else {})}


def open_tokenizer(folder: Path) -> Any | None:
    """The tokenizer of a model folder, without torch; None where it has no `tokenizer.json`."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return None
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises that class itself
        raise DataError(f"{file}: no tokenizer ({told(error, 200)}). Copy the base model's here.") from error


def size_like(file: Path, others: Iterable[Object]) -> dict[str, Any]:
    """The size of the rows in a `data.jsonl` that was made, with as many tokens a character as other datasets have."""
    size = Size()
    with file.open(encoding="utf-8") as rows:
        for row in rows:
            size.add(json.loads(row))
    known = [o.dataset for o in others if o.kind == "dataset" and o.dataset.get("characters") and "tokens" in o.meta]
    tokens = {}
    for name in dict.fromkeys(name for meta in known for name in meta["tokens"]):
        of = [meta for meta in known if name in meta["tokens"]]
        share = sum(meta["tokens"][name] for meta in of) / sum(meta["characters"] for meta in of)
        tokens[name] = round(share * size.characters)
    return {**size.meta({}), **({"tokens": tokens} if tokens else {})}


def size_of_part(meta: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """About the size of so many rows of a dataset, each as large as its mean."""
    share = rows / meta["rows"]
    sizes: dict[str, Any] = {key: round(share * meta[key]) for key in ("examples", "characters") if key in meta}
    if "tokens" in meta:
        sizes["tokens"] = {name: round(share * n) for name, n in meta["tokens"].items()}
    return sizes


def examples_seen(steps: int, examples: int, per_step: int) -> int:
    """How many examples that many optimiser steps see, `per_step` a step; the last step of a pass takes what is left."""
    passes, rest = divmod(steps, math.ceil(examples / per_step))
    return passes * examples + min(examples, rest * per_step)


def rows_of(datasets: Sequence[Object], examples: int) -> int:
    """How many rows so many examples are of: fewer where conversations make several."""
    rows = [dataset.dataset["rows"] for dataset in datasets]
    made = [dataset.dataset.get("examples", dataset.dataset["rows"]) for dataset in datasets]
    return round(examples * sum(rows) / max(1, sum(made)))


def foreseen(
    model: Object,
    datasets: Sequence[Object],
    *,
    epochs: float,
    max_steps: int,
    per_step: int,
    max_length: int | None,
    packing: bool,
    even: bool = False,
) -> Training:
    """What training a model on datasets will take: steps are counted as the trainer does, tokens from the datasets' size.

    Args:
        max_steps: optimiser steps; below 1, `epochs` decides.
        per_step: examples an optimiser step.
        max_length: tokens that an example is cut to.
        even: each dataset is repeated until the largest is used up.
    """
    sizes = [_size(model, dataset, max_length) for dataset in datasets]
    longest = max(size.examples for size in sizes)
    times = [longest / size.examples if even else 1.0 for size in sizes]
    examples = round(sum(k * size.examples for k, size in zip(times, sizes, strict=True)))
    rows = sum(k * size.rows for k, size in zip(times, sizes, strict=True))
    known = all(size.tokens is not None for size in sizes)
    tokens = sum(k * (size.tokens or 0.0) for k, size in zip(times, sizes, strict=True)) if known else None
    if not packing:
        steps = max_steps if max_steps > 0 else math.ceil(epochs * math.ceil(examples / per_step))
        passes = examples_seen(steps, examples, per_step) / examples
    elif max_steps < 1:
        passes = epochs
    elif tokens and max_length:
        passes = max_steps * per_step * max_length / tokens
    else:
        return Training()
    seen = None if tokens is None else round(passes * tokens)
    return Training(rows=round(passes * rows), tokens=seen, flops=training_flops(model.model.get("parameters"), seen))


@dataclass(frozen=True, slots=True)
class _Size:
    """Of a dataset under a model's tokenizer; `tokens` are None where nothing is known of them."""

    rows: int
    examples: int
    tokens: float | None


def _size(model: Object, dataset: Object, max_length: int | None) -> _Size:
    meta = dataset.dataset
    examples, characters = max(1, meta.get("examples", meta["rows"])), meta.get("characters")
    tokens: float | None = meta.get("tokens", {}).get(model.model.get("tokenizer", ""))
    if tokens is None and characters is not None:
        tokens = characters / CHARACTERS_PER_TOKEN
    if tokens is not None and max_length is not None:
        tokens = min(tokens, examples * max_length)
    return _Size(meta["rows"], examples, tokens)
