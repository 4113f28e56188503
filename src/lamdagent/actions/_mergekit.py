"""mergekit's methods as facts, and the one place that runs it.

The facts are those of `mergekit.merge_methods.registry`, written down so that a study file is read without torch; a test
holds them against the installed release.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lamdagent.objects.models.companions import write_companions

BaseModel = Literal["root", "first", "may", "none"]
"""Relative to what a method merges: the base model that all descend from, the first of the models, the base model where
the setting says so, or nothing."""
WEIGHED = {"weight": None, "density": 1.0}
VECTORS: dict[str, Any] = {"normalize": False, "rescale": False, "lambda": 1.0}
ELECTED: dict[str, Any] = {**VECTORS, "int8_mask": False}
"""Of methods that elect signs: only these make a mask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A merge method: what it is relative to, how many models it takes beside a base model that all descend from, and its
    parameters with their defaults, one for each model (`each`) or one for all (`shared`); None is required. `draws`: it
    drops elements at random, where it drops any."""

    base: BaseModel
    each: Mapping[str, float | None]
    shared: Mapping[str, Any]
    least: int = 2
    most: int | None = None
    draws: bool = False


METHODS: dict[str, Method] = {
    "linear": Method(base="none", each={"weight": None}, shared={"normalize": True}),
    "slerp": Method(base="first", each={}, shared={"t": None}, most=2),
    "nuslerp": Method(
        base="may", each={"weight": None}, shared={"nuslerp_flatten": True, "nuslerp_row_wise": False}, most=2
    ),
    "multislerp": Method(base="may", each={"weight": None}, shared={"normalize_weights": True, "eps": 1e-8}),
    "karcher": Method(base="none", each={}, shared={"max_iter": 10, "tol": 1e-5}),
    "task_arithmetic": Method(base="root", each={"weight": None}, shared={"normalize": False, "lambda": 1.0}),
    "ties": Method(base="root", each=WEIGHED, shared={**ELECTED, "normalize": True}),
    "dare_linear": Method(base="root", each=WEIGHED, shared={**VECTORS, "rescale": True}, draws=True),
    "dare_ties": Method(base="root", each=WEIGHED, shared={**ELECTED, "rescale": True}, draws=True),
    "della": Method(
        base="root",
        each={**WEIGHED, "epsilon": 0.15},
        shared={**ELECTED, "normalize": True, "rescale": True},
        draws=True,
    ),
    "della_linear": Method(
        base="root", each={**WEIGHED, "epsilon": 0.15}, shared={**VECTORS, "rescale": True}, draws=True
    ),
    "breadcrumbs": Method(base="root", each={**WEIGHED, "gamma": 0.01}, shared=VECTORS),
    "breadcrumbs_ties": Method(base="root", each={**WEIGHED, "gamma": 0.01}, shared=ELECTED),
    "model_stock": Method(base="root", each={}, shared={"filter_wise": False}),
    "sce": Method(base="root", each={}, shared={"select_topk": 1.0, "int8_mask": False}),
    "ram": Method(base="root", each={}, shared={"epsilon": 1e-5}),
    "ramplus_tl": Method(base="root", each={}, shared={"r": 0.1, "alpha": 0.2, "epsilon": 1e-5}),
    "nearswap": Method(base="first", each={}, shared={"t": None}, most=2),
    "arcee_fusion": Method(base="first", each={}, shared={}, most=2, draws=True),
}
"""Every method of mergekit 0.1.5 that leaves the architecture as it is, so not `passthrough`; of the parameters that it
declares those that it reads."""


def merge(
    recipe: Mapping[str, Any], folder: Path, *, config_of: Path, conventions_of: Path, device: str, seed: int
) -> None:
    """Run a mergekit recipe and write a plain Hugging Face folder.

    mergekit takes all that is not weights from the base model, which the merged ones may have left behind.

    Args:
        config_of: the model folder whose config.json the merge computes with.
        conventions_of: the one whose tokenizer, special tokens, chat template and generation settings it has.
        seed: of what dare, della and arcee_fusion draw.
    """
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    options = MergeOptions(
        device=device,
        quiet=True,
        write_model_card=False,
        copy_tokenizer=False,
        lazy_unpickle=True,
        low_cpu_memory=False,
        random_seed=seed,
    )
    run_merge(MergeConfiguration.model_validate(recipe), str(folder), options)
    write_companions(folder, config_of=config_of, conventions_of=conventions_of, dtype=recipe["dtype"])
