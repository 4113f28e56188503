"""What a tiny world's best pipelines are: by hand, and by a long local search, each step made by the bare loop.

    lamdagent init --template tiny-shift shift
    python benchmarks/worlds.py shift CACHE hand
    python benchmarks/worlds.py shift CACHE search --rows 200000 --seed 0
    python benchmarks/worlds.py shift CACHE known        # the best pipelines known of seed 0, and steps on the way

By hand: all datasets mixed under every setting, 1 epoch; the best of these with 2, 4 and 8 epochs; each dataset alone under
that setting, 1 epoch and as many as were best; merges of these specialists, of all, the best two and the best three, under
every merge setting; the best of all these trained on with the mixture once more. The search starts from the base and from
the best by hand and changes one thing at a time: a dataset more or less, twice or half the epochs, another setting, a step
more or less, a merge with another good model. Both choose on validation; the test is read for the chosen only.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from bare import BASE, Base, Model, Sft, Ties, World

from lamdagent.core.errors import Diverged

KEPT = ("reverse_a", "sort_b", "call_a", "facts_b", "general")
ALL_NEAR = ("reverse_near", "sort_near", "call_near", "facts_near")
AFTER_NEAR = Sft(Sft(BASE, ALL_NEAR, "firm", 4), ("words_clean", "other_clean"), "firm", 4)
KNOWN: dict[str, list[Model]] = {
    "tiny-conflict": [Sft(BASE, KEPT, "firm", epochs) for epochs in (1, 4, 8)],
    "tiny-shift": [
        AFTER_NEAR.model,
        AFTER_NEAR,
        replace(AFTER_NEAR, epochs=8),
        replace(AFTER_NEAR, datasets=("facts_near", "words_clean"), epochs=2),
        Ties((AFTER_NEAR, replace(AFTER_NEAR, datasets=("words_clean", "facts_near"), epochs=2)), "full"),
    ],
}


class Bench:
    """Objectives of what was tried, printed as they come; what breaks a guard or diverges counts for nothing."""

    def __init__(self, world: World) -> None:
        self.world, self.found = world, dict[Model, float]()

    def __call__(self, model: Model) -> float:
        if model not in self.found:
            try:
                broken = self.world.broken(model)
                value = self.world.objective(model)
            except Diverged:
                broken, value = ["diverged"], 0.0
            self.found[model] = -1.0 if broken else value
            print(
                f"{value:.3f}  {self.world.rows(*self.found):8.0f} rows  {said(model)}  {' '.join(broken)}", flush=True
            )
        return self.found[model]

    def best(self, models: Iterable[Model]) -> Model:
        return max(list(models), key=self)


def by_hand(bench: Bench) -> Model:
    """The best model of the list above."""
    world, everything = bench.world, tuple(bench.world.data)
    first = bench.best(Sft(BASE, everything, setting, 1) for setting in world.settings)
    assert isinstance(first, Sft)
    mixed = bench.best(replace(first, epochs=epochs) for epochs in (1, 2, 4, 8))
    assert isinstance(mixed, Sft)
    alone = [[Sft(BASE, (name,), first.setting, epochs) for epochs in {1, mixed.epochs}] for name in everything]
    specialists = sorted((bench.best(same) for same in alone), key=bench, reverse=True)
    groups = [specialists[:2], specialists[:3], specialists]
    merges = [Ties(tuple(group), setting) for group in groups for setting in world.merges]
    best = bench.best([mixed, *specialists, *merges])
    return bench.best([best, Sft(best, everything, first.setting, 1)])


def search(bench: Bench, start: Model, rows: float, seed: int) -> Model:
    """The best model that a local search comes to until as many rows are spent."""
    rng = Random(seed)
    while bench.world.rows(*bench.found) < rows:
        ranked = sorted(bench.found, key=bench, reverse=True) or [start]
        parent = ranked[min(int(rng.expovariate(1)), len(ranked) - 1)]
        changed = rng.choice(list(changes(bench.world, parent, ranked, rng)))
        if bench.world.rows(changed) < 60_000:
            bench(changed)
    return bench.best(bench.found)


def changes(world: World, model: Model, ranked: Sequence[Model], rng: Random) -> Iterator[Model]:
    """One of each kind of change."""
    everything, settings = list(world.data), list(world.settings)
    some = tuple(sorted(rng.sample(everything, rng.randint(1, len(everything)))))
    yield Sft(model, some, rng.choice(settings), rng.choice((0.5, 1.0, 2.0, 4.0)))
    if isinstance(model, Sft):
        yield model.model
        other = rng.choice(everything)
        if kept := tuple(sorted({*model.datasets} ^ {other})):
            yield replace(model, datasets=kept)
        epochs = world.values(model).num_train_epochs
        yield replace(model, epochs=min(8.0, max(0.05, epochs * rng.choice((0.5, 2)))))
        yield replace(model, setting=rng.choice(settings))
        below = [*changes(world, model.model, ranked, rng)]
        yield replace(model, model=rng.choice(below))
    made = [other for other in ranked[:6] if not isinstance(other, Base) and other != model]
    if made and not isinstance(model, Base):
        yield Ties((model, rng.choice(made)), rng.choice(list(world.merges)))


def said(model: Model) -> str:
    """A pipeline in a line."""
    if isinstance(model, Base):
        return "base"
    if isinstance(model, Ties):
        return f"ties({', '.join(map(said, model.models))}; {model.setting})"
    rate = f"@{model.learning_rate:g}" if model.learning_rate else ""
    return f"{said(model.model)} > {'+'.join(model.datasets)} {model.setting}×{model.epochs or 1:g}{rate}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("what", choices=("hand", "search", "known"))
    parser.add_argument("--rows", type=float, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    bench = Bench(World(asked.study, cache=asked.cache))
    best = bench.best(KNOWN[bench.world.name]) if asked.what == "known" else by_hand(bench)
    if asked.what == "search":
        bench(BASE)
        best = search(bench, best, asked.rows + bench.world.rows(*bench.found), asked.seed)
    report(bench, best)


def report(bench: Bench, best: Model) -> None:
    """The chosen model on both sides, beside the base."""
    for name, model in (("base", BASE), ("best", best)):
        values = [bench.world.objective(model, side) for side in ("validation", "test")]
        print(
            f"{name}: validation {values[0]:.3f}, test {values[1]:.3f}, {bench.world.rows(model):.0f} rows: {said(model)}"
        )


if __name__ == "__main__":
    main()
