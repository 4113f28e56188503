"""Is what was written what was trained? A model's logits on a few rows, followed from the end of training to the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lamdagent.core.errors import Invalid
from lamdagent.core.types import Object

ROWS, TOKENS, POSITIONS = 4, 64, 16  # rows, tokens of each, and at how many last ones of these logits are compared
ROUNDING = {"float32": 1e-3, "float16": 0.02, "bfloat16": 0.1}
"""How far logits may move where weights are rounded to a dtype, against their own spread. On the tiny model merging an
adapter moves them by 5e-7 in float32 and by 8e-3 in bfloat16, and one on tied embeddings by 0.3 to 0.7."""
SHARED = ("model.embed_tokens", "transformer.wte", "gpt_neox.embed_in", "word_embeddings", "lm_head", "embed_out")
"""Modules whose weights are one tensor where embeddings are tied, as architectures name them."""


class Followed:
    """What a model says on a few rows now, to be held against what it says after a step that should change nothing.

    Args:
        rows: token ids of training rows, of which the first few are looked at.
    """

    def __init__(self, model: Any, rows: Sequence[Sequence[int]]) -> None:
        self._rows = [list(ids)[:TOKENS] for ids in rows[:ROWS]]
        self._said = self._ask(model)

    def after(self, step: str, model: Any, *dtypes: str) -> None:
        """Hold the model to what it said before a step, and go on from here.

        Args:
            dtypes: what it computed in before the step, or does after it, or what the step may round weights to.
        Raises:
            Invalid: it says something else, by more than rounding to the coarsest of these does.
        """
        dtype = max(dtypes, key=lambda name: ROUNDING[name])
        before, now = self._said, self._ask(model)
        spread = float((before - before.mean(-1, keepdim=True)).norm())
        moved = float((now - before).norm()) / spread if spread else 0.0
        if not moved <= ROUNDING[dtype]:
            raise Invalid(
                f"{step} changed what was trained: logits moved by {moved:.2g} of their spread, and rounding to {dtype} "
                f"moves them by less than {ROUNDING[dtype]:g}"
            )
        self._said = now

    def _ask(self, model: Any) -> Any:
        import torch

        training = model.training
        model.eval()
        with torch.no_grad():
            said = [
                model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0, -POSITIONS:]
                for ids in self._rows
            ]
        model.train(training)
        return torch.cat(said).float().cpu()


def why_lost_on_merging(model: Object, target_modules: str | Sequence[str]) -> str | None:
    """Why an adapter on these modules is no longer what was trained once it is merged into a model; None if it is.

    Tied embeddings are one tensor that is used twice, and an adapter is on one of the uses. peft's `ensure_weight_tying`
    trains one for both and then merges it in twice (0.21).
    """
    if not model.model.get("tied"):
        return None
    if isinstance(target_modules, str):
        hit = [name for name in SHARED if re.fullmatch(target_modules, name)] if target_modules != "all-linear" else []
    else:
        last = {name.rpartition(".")[2] for name in SHARED}
        hit = [name for name in target_modules if name.rpartition(".")[2] in last]
    if not hit:
        return None
    return (
        f"an adapter on {hit[0]} cannot be merged into model {model.name!r}, whose input embedding and output head are one "
        "tensor (tie_word_embeddings); leave it out of target_modules"
    )
