"""Items of a task that share a long passage, found by their words, so that the user can name their clusters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from zlib import crc32

from lamdagent.core.protocols import Task

WORDS = 40
"""How long a passage is at the least."""
ANCHORS = 16
"""One word in so many begins a passage that is looked at."""
MOST = 0.5
"""What more than this share of the items hold is an instruction."""
TELLING = 0.1
"""Less than this share of items that share passages is not worth a word."""


def audit(tasks: Sequence[Task]) -> dict[str, str]:
    """A line for each task whose validation prompts repeat long passages, by its name."""
    found = {}
    for task in tasks:
        prompts = [prompt for _, prompt, _ in task.documents("validation")]
        alike = repeating(prompts)
        if alike >= max(2, TELLING * len(prompts)):
            found[task.name] = (
                f"task {task.name}: {alike} of {len(prompts)} prompts share {WORDS} words in a row or more with another. "
                "They are right and wrong together: name the passage with `cluster:`, or errors are too small."
            )
    return found


def repeating(prompts: Sequence[str]) -> int:
    """How many prompts hold a passage that another one holds, too, but not most of them."""
    held = [set(_passages(prompt)) for prompt in prompts]
    counts = Counter(passage for of_one in held for passage in of_one)
    shared = {passage for passage, count in counts.items() if 2 <= count <= max(2, MOST * len(prompts))}
    return sum(not of_one.isdisjoint(shared) for of_one in held)


def _passages(prompt: str) -> Iterable[int]:
    words = prompt.split()
    for start in range(len(words) - WORDS + 1):
        if crc32(words[start].encode()) % ANCHORS == 0 or start == 0:
            yield hash(tuple(words[start : start + WORDS]))


def unnamed(found: Mapping[str, str], tasks: Sequence[Mapping[str, object]]) -> list[str]:
    """The lines on tasks whose entries in the study file name no cluster."""
    named = {str(entry["task"]) for entry in tasks if entry.get("cluster") is not None}
    return [line for task, line in found.items() if task not in named]
