"""Which adapters are lost when they are merged into a model."""

from __future__ import annotations

import pytest

from lamdagent.actions.faithful import why_lost_on_merging
from lamdagent.core.types import Object

TIED, UNTIED = (Object(id=n, kind="model", name=n, meta={"tied": n == "tied"}) for n in ("tied", "untied"))


@pytest.mark.parametrize(
    "modules",
    [["embed_tokens"], ["q_proj", "lm_head"], ["model.embed_tokens"], ["wte"], r".*(embed_tokens|q_proj)", "lm_head"],
)
def test_an_adapter_on_tied_embeddings_is_refused_and_on_others_it_is_not(modules: str | list[str]) -> None:
    assert "are one tensor" in str(why_lost_on_merging(TIED, modules))
    assert why_lost_on_merging(UNTIED, modules) is None


@pytest.mark.parametrize("modules", ["all-linear", ["q_proj", "v_proj"], r".*\.(q|v)_proj"])
def test_an_adapter_beside_the_embeddings_is_taken(modules: str | list[str]) -> None:
    assert why_lost_on_merging(TIED, modules) is None


def test_a_model_of_which_it_is_not_known_is_taken() -> None:
    assert why_lost_on_merging(Object(id="m", kind="model", name="m"), ["embed_tokens"]) is None
