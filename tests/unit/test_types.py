from __future__ import annotations

import dataclasses
import inspect
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamdagent.core import events, jobs, types
from lamdagent.core.types import Action, content_id
from lamdagent.testing import toy
from lamdagent.testing.contracts.journal import EVERY_EVENT

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
VALUES = [
    cls
    for module in (types, jobs, events)
    for cls in vars(module).values()
    if inspect.isclass(cls) and cls.__module__ == module.__name__ and dataclasses.is_dataclass(cls)
]


@given(value=st.dictionaries(st.text(), JSON, min_size=2, max_size=5))
def test_an_id_does_not_depend_on_the_order_of_a_mapping(value: dict[str, object]) -> None:
    assert content_id(dict(reversed(value.items()))) == content_id(value)


@given(first=JSON, second=JSON)
def test_an_id_is_twenty_hexadecimal_digits_and_equal_content_has_an_equal_one(first: object, second: object) -> None:
    assert len(content_id(first)) == 20
    int(content_id(first), 16)
    if repr(first) == repr(second):
        assert content_id(first) == content_id(second)


def test_the_id_of_an_action_covers_each_of_its_fields() -> None:
    action = Action(type="step", version=1, inputs={"model": ("a",), "dataset": ("b",)}, seed=0)
    others = [
        dataclasses.replace(action, type="mean"),
        dataclasses.replace(action, version=2),
        dataclasses.replace(action, seed=1),
        dataclasses.replace(action, inputs={"model": ("b",), "dataset": ("a",)}),
        dataclasses.replace(action, inputs={"model": ("a", "b")}),
        dataclasses.replace(action, inputs={"model": ("b", "a")}),
    ]
    assert len({a.id for a in (action, *others)}) == 7
    turned = dataclasses.replace(action, inputs=dict(reversed([*action.inputs.items()])))
    assert turned.id == action.id


def test_ids_never_change_between_releases() -> None:
    # A changed id would make every study train everything again.
    assert content_id(["ü", 1, 0.5, None, {"b": [], "a": True}]) == "98de843d20462ed6f1e2"
    action = Action(type="sft", version=1, inputs={"model": ("m",), "dataset": ("d",)}, seed=7)
    assert action.id == "715fdc0f40d80a48139a"


def test_an_id_is_the_same_in_every_process() -> None:
    code = "from lamdagent.core.types import content_id; print(content_id({'a': [1, 2.5, None, 'ü'], 'b': {}}))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert content_id({"b": {}, "a": [1, 2.5, None, "ü"]}) == other


@pytest.mark.parametrize("cls", VALUES, ids=lambda cls: cls.__name__)
def test_every_value_is_frozen_has_slots_and_takes_keywords_only(cls: type) -> None:
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert hasattr(cls, "__slots__")
    assert all(field.kw_only for field in dataclasses.fields(cls))


def test_states_and_events_survive_pickling() -> None:
    for value in (toy.grown(6, running=1), *EVERY_EVENT):
        assert pickle.loads(pickle.dumps(value)) == value


def test_a_value_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        toy.point("m", (0.0, 0.0)).name = "n"  # type: ignore[misc]
