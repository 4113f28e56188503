"""How fast training rows are held against evaluation items.

    python benchmarks/overlap.py [--rows 1000000] [--items 10000]

Rows of about 60 words, prompt and completion, with punctuation and capitals; every thousandth holds an item. Prints the
time to index the items and its memory, the time to make the rows alone, and rows per second of the scan without it.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Iterator
from random import Random

from lamdagent.evaluation.contamination.overlap import Evaluated, EvaluationItem, scan

VOCABULARY = 20_000
PLANTED_EVERY = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=10_000)
    args = parser.parse_args()
    items = [
        EvaluationItem(task=f"task-{i % 4}", split="test", index=i, prompt=text)
        for i, text in enumerate(texts(args.items, Random(1)))
    ]
    started = time.perf_counter()
    index = Evaluated(items)
    indexed_s = time.perf_counter() - started
    print(f"{args.items:,} items: indexed in {indexed_s:.1f} s, {index_bytes(items) / 1e6:.0f} MB")

    started = time.perf_counter()
    made = sum(1 for _ in rows(args.rows, items))
    making_s = time.perf_counter() - started
    started = time.perf_counter()
    overlap = scan(rows(made, items), index)
    scan_s = time.perf_counter() - started - making_s
    print(f"{made:,} rows: made in {making_s:.1f} s, scanned in {scan_s:.1f} s besides")
    print(
        f"{made / scan_s:,.0f} rows a second, {scan_s / made * 1e6:.1f} s for a million; {len(overlap.rows):,} overlap"
    )


def texts(count: int, rng: Random) -> Iterator[str]:
    """Texts of 48 to 72 words, put together from phrases of 12, of which there are too many for chance to repeat 13."""
    vocabulary = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(VOCABULARY)]
    phrases = [" ".join(rng.choices(vocabulary, k=12)).capitalize() + rng.choice(".,!?") for _ in range(20_000)]
    for _ in range(count):
        yield " ".join(rng.choices(phrases, k=rng.randint(4, 6)))


def rows(count: int, items: list[EvaluationItem]) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(texts(count, Random(2))):
        if number % PLANTED_EVERY == 0:
            text = items[number // PLANTED_EVERY % len(items)].prompt.upper()
        middle = text.index(" ", len(text) // 2)
        yield text[:middle], text[middle + 1 :]


def index_bytes(items: list[EvaluationItem]) -> int:
    tracemalloc.start()
    index = Evaluated(items)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del index
    return held


if __name__ == "__main__":
    main()
