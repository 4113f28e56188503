"""Slips of the hand and of the disk in a study file that is right, one after another from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from tests.torture.bad_inputs import Bad, write_file
from tests.torture.bad_values import STUDY

SLIPS = (1, 1, 1, 2, 3)
WORDS = [
    *"{}[]:,&*!|>%@`'\"#?-\t~=\\",
    "é",
    "\U0001f600",
    "..",
    "1e999",
    "<<: *a",
    "&a",
    "*a",
    "!!binary",
    "---",
    "null",
]
# fmt: off
VALUES: list[Any] = [None, True, -1, 0, 1.5, 10**30, "", "x" * 300, "../x", "~x/y", "{{ x", [], {}, [[]], {"a": 1},
                     [1, "two"], float("inf"), "2020-01-01", "own", "base", "math", "random"]
# fmt: on


def mutations(count: int, seed: int) -> Iterator[Bad]:
    """Study files after one to three slips, half of them of values, the others of bytes and lines."""
    luck = random.Random(seed)
    for i in range(count):
        data = (_values(luck) if i % 2 else _letters(luck)).encode("utf-8", "surrogatepass")
        for _ in range(luck.randint(0, 2) if i % 4 == 0 else 0):
            data = _bytes(data, luck)
        yield Bad("mutation", f"{i} of seed {seed}", partial(write_file, name="study.yaml", data=data))


def _values(luck: random.Random) -> str:
    """A value, or a key, anywhere in the study that is another one, is gone, or stands elsewhere too."""
    data: Any = json.loads(json.dumps(STUDY))
    for _ in range(luck.choice(SLIPS)):
        holder: Any = data
        while isinstance(holder, dict | list) and holder:
            key = luck.choice(sorted(holder) if isinstance(holder, dict) else range(len(holder)))
            inner = holder[key]
            if not isinstance(inner, dict | list) or not inner or luck.random() < 0.3:
                break
            holder = inner
        if not isinstance(holder, dict | list) or not holder:
            continue
        match luck.randrange(4):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[luck.choice(["x", str(key) + "s", str(key).upper(), "kind", "path"])] = holder.pop(key)
            case 2:
                holder[key] = json.loads(json.dumps(luck.choice(list(STUDY.values()))))
            case _:
                holder[key] = luck.choice(VALUES)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=bool(luck.randrange(2)))


def _letters(luck: random.Random) -> str:
    text = yaml.safe_dump(STUDY, sort_keys=False)
    for _ in range(luck.choice(SLIPS)):
        lines = text.split("\n")
        i, at = luck.randrange(len(lines)), luck.randrange(len(text))
        match luck.randrange(6):
            case 0:
                del lines[i]
                text = "\n".join(lines)
            case 1:
                lines.insert(i, luck.choice(lines))
                text = "\n".join(lines)
            case 2:
                text = text[:at] + text[at + luck.randint(1, 5) :]
            case 3:
                text = text[:at] + luck.choice(WORDS) + text[at:]
            case 4:
                lines[i] = luck.choice(["  ", " ", "\t", "- ", "? "]) + lines[i]
                text = "\n".join(lines)
            case _:
                lines[i] = lines[i].partition(":")[0] + ": " + luck.choice(WORDS)
                text = "\n".join(lines)
        text = text or " "
    return text


def _bytes(data: bytes, luck: random.Random) -> bytes:
    at = luck.randrange(max(1, len(data)))
    return luck.choice(
        [data[:at], data[:at] + luck.randbytes(luck.randint(1, 4)) + data[at + 1 :], data[at:] + data[:at]]
    )


def written(bad: Bad, folder: Path) -> bytes:
    """The file of a mutation."""
    folder.mkdir(parents=True, exist_ok=True)
    bad.spoil(folder)
    return (folder / "study.yaml").read_bytes()
