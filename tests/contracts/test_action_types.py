from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from lamdagent.actions.merge import Merge, MergeConfig, MergeHyperparameters, merge_recipe
from lamdagent.actions.sft import Sft
from lamdagent.actions.ties import Ties, TiesConfig
from lamdagent.core.action_type import ActionType, why_refused
from lamdagent.core.events import Asked, Event, ObjectAdded, Told
from lamdagent.core.settings import setting_object
from lamdagent.core.space import ActionSpace
from lamdagent.core.state import reduce_events
from lamdagent.core.types import Choice, Made, Object
from lamdagent.policies.mixing import merges_of
from lamdagent.study.parts import StudyParts
from lamdagent.testing import toy
from lamdagent.testing.contracts import ActionTypeContract

Inputs = Mapping[str, Sequence[Object]]


def model(name: str, **meta: Any) -> Object:
    """A model made from `base`, as its meta would have it."""
    facts = {"root": "base", "architecture": "Llama", "shapes": "s", "tokenizer": "t", "chat_template": True}
    return Object(id=name, kind="model", name=name, made_by=name, meta={**facts, **meta})


def dataset(format: str) -> Object:
    return Object(id=format, kind="dataset", name=format, meta={"format": format, "rows": 3})


def setting(action: str, name: str = "half", **values: Any) -> Object:
    whole = {"density": 0.5, "weight": 1.0, "normalize": True, **values}
    return Object(id=name, kind="hyperparameters", name=name, meta={"action": action, "values": whole})


BASE = model("base")
A, B, C = model("a"), model("b"), model("c")


def merged(*models: Object, **values: Any) -> Inputs:
    return {"models": models, "hyperparameters": [setting("ties", **values)]}


class TestStep(ActionTypeContract):
    def action_type(self) -> toy.ToyStep:
        return toy.ToyStep()

    def admitted(self) -> list[Inputs]:
        base, slow = toy.point("base", (0.0, 0.0)), toy.rate("slow", 0.5)
        return [{"model": [base], "dataset": [toy.vector("east", (1.0, 0.0))], "hyperparameters": [slow]}]

    def refused(self) -> list[Inputs]:
        return [{**self.admitted()[0], "dataset": [toy.vector("nowhere", (0.0, 0.0))]}]


class TestMean(ActionTypeContract):
    def action_type(self) -> toy.ToyMean:
        return toy.ToyMean()

    def admitted(self) -> list[Inputs]:
        return [{"models": [toy.point(name, x, root="base") for name, x in toy.STARTS.items()]}]

    def refused(self) -> list[Inputs]:
        here = [toy.point(name, (0.0, 0.0), root="base") for name in "ab"]
        return [{"models": here}, {"models": [toy.point(name, x) for name, x in toy.STARTS.items()]}]


class TestBlend(ActionTypeContract):
    def action_type(self) -> toy.ToyBlend:
        return toy.ToyBlend()

    def admitted(self) -> list[Inputs]:
        return [{"datasets": [toy.vector("east", (1.0, 0.0)), toy.vector("north", (0.0, 1.0))]}]

    def refused(self) -> list[Inputs]:
        return [{"datasets": [toy.vector(name, (1.0, 0.0)) for name in ("east", "orient")]}]


class TestSft(ActionTypeContract):
    def action_type(self) -> Sft:
        return Sft()

    def trained(self, trained: Object, on: str) -> Inputs:
        return {"model": [trained], "dataset": [dataset(on)], "hyperparameters": [setting("sft")]}

    def admitted(self) -> list[Inputs]:
        made = [self.trained(A, on) for on in ("prompt_completion", "messages", "text")]
        return [*made, self.trained(BASE, "text"), self.trained(model("plain", chat_template=False), "text")]

    def refused(self) -> list[Inputs]:
        return [self.trained(A, "preference"), self.trained(model("plain", chat_template=False), "messages")]


class TestTies(ActionTypeContract):
    def action_type(self) -> Ties:
        return Ties()

    def admitted(self) -> list[Inputs]:
        return [merged(A, B), merged(A, B, C)]

    def refused(self) -> list[Inputs]:
        strange = [model("strange", **{key: "another"}) for key in ("root", "architecture", "shapes", "tokenizer")]
        return [merged(A, BASE), *(merged(A, other) for other in strange), merged(A, B, strange[0])]


class TestOrderedTies(ActionTypeContract):
    def action_type(self) -> Ties:
        return Ties(models=[2, 3], ordered=True)

    def admitted(self) -> list[Inputs]:
        weights = [0.3, 0.7]
        return [merged(A, B, weight=weights), merged(B, A, weight=weights), merged(A, B), merged(A, B, C)]

    def refused(self) -> list[Inputs]:
        return [merged(B, A), merged(C, A, B), merged(A, B, C, weight=[0.3, 0.7]), merged(A, B, density=[0.5] * 3)]


def any_merge(*models: Object, **values: Any) -> Inputs:
    known = {"density": None, "weight": None, "normalize": None, **values}
    return {"models": models, "hyperparameters": [setting("merge", **known)]}


class TestMerge(ActionTypeContract):
    def action_type(self) -> Merge:
        return Merge(models=[2, 3], ordered=True, of_base=True)

    def admitted(self) -> list[Inputs]:
        return [
            any_merge(A, B, C, method="dare_ties", weight=1.0),
            any_merge(A, BASE, method="linear", weight=0.5),  # WiSE-FT
            any_merge(BASE, A, method="slerp", t=0.2),
            any_merge(A, BASE, method="slerp", t=0.2),
            any_merge(A, B, method="slerp", t=0.5),
            any_merge(B, A, method="linear", weight=[0.2, 0.8]),
            any_merge(B, A, method="nearswap", t=0.5),
        ]

    def refused(self) -> list[Inputs]:
        return [
            any_merge(A, BASE, method="ties", weight=1.0),
            any_merge(A, BASE, method="nuslerp", weight=1.0, base_model=True),
            any_merge(A, B, C, method="slerp", t=0.5),
            any_merge(B, A, method="slerp", t=0.5),
            any_merge(A, model("x", root="elsewhere"), method="linear", weight=1.0),
            any_merge(A, model("x", shapes="bigger"), method="linear", weight=1.0),
        ]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"method": "tyes"}, "no merge method 'tyes'. Did you mean 'ties'?"),
        ({"method": "dare_ties", "weight": 1.0, "densitty": 0.1}, "densitty"),
        (
            {"method": "linear", "weight": 1.0, "density": 0.1},
            "method linear does not read 'density'; it reads weight",
        ),
        ({"method": "slerp"}, "method slerp needs 't'"),
        ({"method": "linear"}, "method linear needs 'weight'"),
        ({"method": "slerp", "t": 1.5}, "t must lie from 0"),
        ({"method": "della", "weight": 1.0}, "density is 1.0 and epsilon 0.15"),
        ({"method": "della", "weight": 1.0, "density": 0.1, "epsilon": 0.2}, "must lie between 0 and 1"),
        ({"method": "ties", "weight": 1.0, "density": 0.0}, "density must lie above 0"),
        ({"method": "ties", "weight": 0.0}, "a weight must not be 0"),
        ({"method": "linear", "weight": [1.0, -1.0]}, "cancel each other"),
        ({"method": "linear", "weight": -1.0}, "under normalize, weights that are all negative"),
        (
            {"method": "linear", "weight": [0.2, 0.3, 0.4, 0.1]},
            "gives 4 weight values, and a merge takes [2, 3] models",
        ),
        ({"method": "ties", "weight": 1.0, "base_model": True}, "takes no base_model: it is always relative"),
        ({"method": "ram", "epsilon": [0.1, 0.2]}, "is one for all models, not a list"),
        ({"method": "breadcrumbs", "weight": 1.0, "gamma": 1.0}, "gamma must lie from 0 to below 1"),
        ({"weight": 1.0}, "method"),
        ({"method": "task_arithmetic", "weight": 1.0, "density": 0.5}, "does not read 'density'"),
        ({"method": "dare_linear", "weight": 1.0, "int8_mask": True}, "does not read 'int8_mask'"),
        ({"method": "breadcrumbs", "weight": 1.0, "density": 0.9, "gamma": 0.3}, "are more than 1 together"),
    ],
)
def test_a_setting_of_merge_that_its_method_does_not_read_is_refused(setting: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        MergeConfig.model_validate({"hyperparameters": {"odd": setting}})
    assert words in str(refusal.value)


def test_a_method_of_two_models_is_refused_where_more_are_always_merged() -> None:
    with pytest.raises(ValidationError, match="merges 2 models, and a merge takes"):
        MergeConfig.model_validate({"models": [3], "hyperparameters": {"s": {"method": "slerp", "t": 0.5}}})


def test_a_recipe_has_the_base_model_that_its_method_is_relative_to() -> None:
    def base_of(**values: Any) -> object:
        return merge_recipe(["/a", "/b"], "/root", values, "float32").get("base_model")

    assert base_of(method="dare_ties", weight=1.0) == "/root"
    assert base_of(method="slerp", t=0.2) == "/a"
    assert base_of(method="linear", weight=1.0) is None
    assert base_of(method="nuslerp", weight=1.0, base_model=True) == "/root"


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (model("x", root="elsewhere"), "'a' and 'x' do not descend from one base model"),
        (model("x", architecture="Gemma"), "'a' and 'x' have different architectures"),
        (model("x", shapes="bigger"), "'a' and 'x' have tensors of different shapes"),
        (model("x", tokenizer="other"), "'a' and 'x' have different vocabularies"),
        (BASE, "'base' is a base model: merging it with its own descendants adds nothing"),
        (
            model("x", unlike_base="'base' and 'x' have different vocabularies"),
            "'x' is not merged, since a merge is relative to a base: 'base' and 'x' have different vocabularies",
        ),
        (model("x", config={"rope": {"rope_theta": 1e6}}), "disagree on rope ({'rope_theta': 10000.0} and"),
        (
            model("x", conventions={"eos_token": "<|im_end|>", "chat_template": "h2"}),
            "'a' and 'x' disagree on chat_template, eos_token (<|end|> and <|im_end|>); tokenizer_source says",
        ),
    ],
)
def test_ties_says_why_two_models_cannot_be_merged(other: Object, words: str) -> None:
    known = {"config": {"rope": {"rope_theta": 1e4}}, "conventions": {"eos_token": "<|end|>", "chat_template": "h"}}
    assert words in str(why_refused(Ties(), merged(model("a", **known), other)))


@pytest.mark.parametrize("source", ["base", "first"])
def test_models_that_are_spoken_to_in_different_ways_are_merged_where_a_setting_says_whose_it_takes(
    source: str,
) -> None:
    a, b = model("a", conventions={"eos_token": "<|end|>"}), model("b", conventions={"eos_token": "<|eos|>"})
    assert why_refused(Ties(), merged(a, b)) is not None
    assert why_refused(Ties(), merged(a, b, tokenizer_source=source)) is None


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"weight": 0.0}, "must not be 0"),
        ({"weight": [1.0, 0.0]}, "must not be 0"),
        ({"weight": float("nan")}, "finite number"),
        ({"weight": float("inf")}, "finite number"),
        ({"density": float("nan")}, "finite number"),
        ({"weight": [1.0, -1.0]}, "cancel each other"),
        ({"weight": [0.1, 0.2, -0.3]}, "cancel each other"),
        ({"weight": -1.0}, "do the same as positive ones"),
        ({"weight": [-1.0, -0.5]}, "do the same as positive ones"),
        ({"weight": [1.0, 2.0, 3.0, 4.0]}, "gives 4 weight values, and a merge takes"),
        ({"weight": [1.0, 2.0], "density": [0.1, 0.2, 0.3]}, "never possible"),
        ({"wieght": 0.5}, "Did you mean 'weight'?"),
        ({"tokenizer_source": "union"}, "'models', 'base' or 'first'"),
    ],
)
def test_a_merge_setting_that_is_misspelt_or_means_nothing_is_refused(setting: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as raised:
        TiesConfig.model_validate({"hyperparameters": {"odd": setting}})
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "setting",
    [
        {"weight": [1.0, -0.95]},
        {"weight": [0.7, 0.3], "density": [0.2, 0.9]},
        {"weight": -1.0, "normalize": False},
        {"weight": [0.5, 0.3, -0.2]},
        {"density": 0.0001},
    ],
)
def test_odd_weights_that_mean_something_are_taken(setting: dict[str, Any]) -> None:
    TiesConfig.model_validate({"hyperparameters": {"odd": setting}})


def test_preferences_and_base_models_are_refused_by_their_slots_alone() -> None:
    sft, ties = ({slot.name: slot for slot in type.slots} for type in (Sft(), Ties()))
    assert sft["dataset"].why_refused(dataset("preference")) == (
        "dataset 'preference' holds preferences; sft takes prompt and completion, messages, or text"
    )
    assert sft["dataset"].why_refused(dataset("messages")) is None, "that depends on the model's chat template"
    assert "'base' is a base model" in str(ties["models"].why_refused(BASE))
    assert Ties().validate(merged(A, BASE)) is None, "validate is asked of combinations only"


def test_ordered_ties_names_the_one_order_it_takes_where_order_changes_nothing() -> None:
    assert "give a, b, c" in str(Ties(ordered=True).validate(merged(C, A, B)))


def test_a_brought_model_that_names_its_base_can_be_merged() -> None:
    finetuned = Object(id="f", kind="model", name="f", uri="models/f", meta=dict(A.meta))
    assert why_refused(Ties(), merged(A, finetuned)) is None


@pytest.mark.parametrize(
    ("config", "slot"),
    [
        ({"models": [2]}, (2, 2, False)),
        ({"models": [2, 4]}, (2, 4, False)),
        ({"hyperparameters": {"h": {"weight": [0.3, 0.7]}}}, (2, 3, True)),
        ({"hyperparameters": {"h": {"density": [0.3, 0.7]}, "i": {}}}, (2, 3, True)),
    ],
)
def test_order_counts_in_ties_only_where_a_setting_gives_each_model_its_own_value(
    config: dict[str, Any], slot: tuple[int, int, bool]
) -> None:
    arguments = TiesConfig.model_validate({"hyperparameters": {"half": {}}, **config}).arguments(StudyParts(None))  # type: ignore[arg-type]
    models = Ties(**arguments).slots[0]
    assert (models.at_least, models.at_most, models.ordered) == slot
    assert "hyperparameters" not in arguments


def test_a_merge_recipe_gives_each_model_its_own_value_and_all_of_them_a_common_one() -> None:
    values = {"density": 0.5, "weight": [0.3, 0.7], "normalize": False}
    recipe = merge_recipe(["/a", "/b"], "/base", values, "bfloat16")
    assert [m["parameters"] for m in recipe["models"]] == [
        {"density": 0.5, "weight": 0.3},
        {"density": 0.5, "weight": 0.7},
    ]
    assert recipe["base_model"] == "/base"
    assert recipe["dtype"] == "bfloat16"


def test_by_hand_and_screen_find_every_merge_of_two_models_whatever_their_order() -> None:
    settings = [
        setting_object("merge", name, MergeHyperparameters.model_validate(values))
        for name, values in {
            "near": {"method": "slerp", "t": 0.2},
            "soup": {"method": "linear", "weight": 1.0},
            "stock": {"method": "model_stock"},
        }.items()
    ]
    state = reduce_events(ObjectAdded(object=obj) for obj in (BASE, A, B, *settings))
    space = ActionSpace(state, {"merge": Merge(models=[2, 3], ordered=True, of_base=True)})
    for models in ([A, B], [B, A]):
        found = merges_of(state, space, models)
        assert [space[action.inputs["hyperparameters"][0]].name for action in found] == ["near", "soup", "stock"]


@pytest.mark.parametrize(
    ("values", "again"),
    [
        ({"method": "dare_ties", "weight": 1.0, "density": 0.5}, True),
        ({"method": "della_linear", "weight": 1.0, "density": [0.5, 0.6]}, True),
        ({"method": "arcee_fusion"}, True),
        ({"method": "dare_linear", "weight": 1.0}, False),
        ({"method": "ties", "weight": 1.0, "density": 0.5}, False),
    ],
)
def test_a_merge_may_be_repeated_where_its_method_draws(values: dict[str, Any], again: bool) -> None:
    setting = setting_object("merge", "s", MergeHyperparameters.model_validate(values))
    state = reduce_events(ObjectAdded(object=obj) for obj in (BASE, A, B, setting))
    types: Mapping[str, ActionType] = {"merge": Merge(models=[2], ordered=True)}
    first = ActionSpace(state, types).action("merge", {"models": [A.id, B.id], "hyperparameters": [setting.id]})
    made = replace(A, id=first.id, name="M", made_by=first.id)
    done: list[Event] = [
        Asked(number=0, choice=Choice(action=first, reason="r", by="b")),
        Told(number=0, outcome=Made(object=made, scores=())),
    ]
    space = ActionSpace(reduce_events(done, state), types)
    assert (space.why_invalid(space.repeat(first)) is None) == again
