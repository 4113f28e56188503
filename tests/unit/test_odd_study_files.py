"""Whatever stands in a study file, it is a study or an error of the user's: no traceback, and no end without one."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from tests.study_file import STUDY

from lamdagent.core.errors import UserError
from lamdagent.study.config import load_study

WITHIN_S = 20.0
HUGE = "9" * 5000
LAYERS = [f"{c}: &{c} [{', '.join(['*' + b] * 10)}]" for b, c in zip("abcdefg", "bcdefgh", strict=True)]
ODD = {
    "a value that holds itself": STUDY + "\nx: &a [*a]\n",
    "a mapping that holds itself": "study: &a {a: *a}\n",
    "a mapping that merges itself": "a: &a\n  <<: *a\n",
    "a billion values": "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "\n".join(LAYERS) + "\n" + STUDY,
    "brackets without end": STUDY + "\nx: " + "[" * 5000 + "]" * 5000,
    "blocks without end": STUDY + "\n" + "".join(" " * i + "a:\n" for i in range(2000)),
    "a tag that runs code": STUDY.replace("seed: 0", "seed: !!python/object/apply:os.system [x]"),
    "an unknown tag": STUDY.replace("seed: 0", "seed: !seed 0"),
    "a date that is none": STUDY.replace("seed: 0", "seed: 2020-13-45"),
    "a huge number": STUDY.replace("seed: 0", f"seed: {HUGE}"),
    "a huge number in base 16": STUDY.replace("seed: 0", f"seed: 0x{'f' * 5000}"),
    "no number": STUDY.replace("seed: 0", "seed: .nan"),
    "a long name": STUDY.replace("study: ", f"study: {'a' * 300}", 1),
    "a name that leads out": STUDY.replace("study: ", "study: ../x", 1),
    "a path with a null": STUDY + '\nroot: "a\\0"\n',
    "a long path": STUDY + f"\nroot: {'a' * 300}\n",
    "a path of many parts": STUDY + f"\nroot: {'a/' * 3000}\n",
    "the home of nobody": STUDY + "\nroot: ~nobody-is-called-so/x\n",
    "twenty megabytes": STUDY + "\n#" + "x" * 20_000_000,
    "a null byte": STUDY + "\0",
    "two documents": STUDY + "\n---\n" + STUDY,
    "a long key": STUDY + "\n" + "k" * 100_000 + ": 2\n",
    "keys that are no text": STUDY + "\n? [a]\n: 2\n",
}
OVERRIDES = [
    "", "=", "seed", "=1", "a..b=1", "tasks.99=1", "tasks.-1.weight=2", "seed.x=1", "seed=&a [*a]", "seed=" + "[" * 3000,
    f"seed={HUGE}", "x" * 100_000 + "=1", ".".join(["a"] * 3000) + "=1", "tasks=[]", "models=[{}]", "tasks.0=5",
    "actions.sft=5", "policy=5", "policy.kind=[1]", "policy.kind=../x", "seed=!!python/object:x {}",
]  # fmt: skip


def read(file: Path, *overrides: str) -> str:
    """`refused` or `read`, within seconds."""
    began = time.monotonic()
    try:
        load_study(file, overrides)
    except UserError as error:
        return "refused" if 0 < len(str(error)) < 20_000 else "refused without words to read"
    finally:
        assert time.monotonic() - began < WITHIN_S
    return "read"


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_an_odd_study_file_is_refused(text: str, tmp_path: Path) -> None:
    assert text != STUDY
    (tmp_path / "study.yaml").write_text(text)
    assert read(tmp_path / "study.yaml") == "refused"


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"- a", b"5", STUDY.encode("utf-16")])
def test_a_file_that_is_no_study_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(data)
    assert read(tmp_path / "study.yaml") == "refused"


@pytest.mark.parametrize("override", OVERRIDES, ids=lambda text: text[:30])
def test_an_odd_override_is_refused(override: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    assert read(tmp_path / "study.yaml", override) == "refused"


SIGNS = [*"{}[]:,&*!|>%@`'\"#?-\t~=\\", "é", "\U0001f600", "..", "1e999"]


def mutated(text: str, luck: random.Random) -> str:
    """A study file after one to three slips of the hand."""
    for _ in range(luck.randint(1, 3)):
        lines = text.split("\n")
        i, at = luck.randrange(len(lines)), luck.randrange(len(text))
        match luck.randrange(6):
            case 0:
                del lines[i]
                text = "\n".join(lines)
            case 1:
                lines.insert(i, lines[luck.randrange(len(lines))])
                text = "\n".join(lines)
            case 2:
                text = text[:at] + text[at + luck.randint(1, 5) :]
            case 3:
                text = text[:at] + luck.choice(SIGNS) + text[at:]
            case 4:
                key, colon, _ = lines[i].partition(":")
                odd = [
                    "[]",
                    "{}",
                    "null",
                    "true",
                    "-1",
                    "0",
                    "1e400",
                    "''",
                    "[1, two]",
                    "{a: 1}",
                    "&x [1]",
                    "2020-01-01",
                    "~x/y",
                ]
                lines[i] = key + colon + " " + luck.choice(odd)
                text = "\n".join(lines)
            case _:
                lines[i] = "  " + lines[i]
                text = "\n".join(lines)
        text = text or " "
    return text


def test_a_study_file_after_slips_of_the_hand_is_read_or_refused(tmp_path: Path) -> None:
    luck, seen = random.Random(0), {"refused": 0, "read": 0}
    for _ in range(200):
        (tmp_path / "study.yaml").write_text(mutated(STUDY, luck))
        seen[read(tmp_path / "study.yaml")] += 1
    assert min(seen.values()) > 10, seen
