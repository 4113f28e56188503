"""Function calls, scored by structure."""

from __future__ import annotations

import json

import pytest

from lamdagent.core.calls import Call, calls_in
from lamdagent.core.metrics import is_right, why_unanswerable

PLAIN = 'weather(city="Oslo", days=3)'
BFCL = json.dumps([{"triangle.area": {"base": [10], "height": [5], "unit": ["units", ""]}}])


@pytest.mark.parametrize(
    "answer",
    [
        'weather(city="Oslo", days=3)',
        "weather(days=3, city='Oslo')",
        "[weather(city='Oslo', days=3.0)]",
        '{"name": "weather", "arguments": {"days": 3, "city": "Oslo"}}',
        '{"name": "weather", "parameters": {"days": 3, "city": "Oslo"}}',
        '[{"type": "function", "function": {"name": "weather", "arguments": "{\\"days\\": 3, \\"city\\": \\"Oslo\\"}"}}]',
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo", "days": 3}}\n</tool_call>',
        '```json\n{"name": "weather", "arguments": {"city": "Oslo", "days": 3}}\n```',
        "I will look: weather(city='Oslo', days=3). Done.",
        'Sure: {"name": "weather", "arguments": {"city": "Oslo", "days": 3}} as you asked',
        '{"weather": {"city": "Oslo", "days": 3}}',
    ],
)
def test_the_same_call_is_right_however_it_is_written(answer: str) -> None:
    assert is_right("call", answer, [PLAIN])


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Oslo, 3 days",
        "weather(city='Oslo')",
        "weather(city='Oslo', days=3, wind=True)",
        "weather(city='Bergen', days=3)",
        "weather(city='Oslo', days='3')",
        "weather(city='Oslo', days=3), weather(city='Oslo', days=3)",
        "forecast(city='Oslo', days=3)",
        "weather('Oslo', 3)",
        "weather(city='Oslo', days=3",
        "weather(**{'city': 'Oslo', 'days': 3})",
        "weather(city=open('/etc/passwd'), days=3)",
    ],
)
def test_another_call_is_wrong(answer: str) -> None:
    assert not is_right("call", answer, [PLAIN])


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("triangle.area(base=10, height=5)", True),
        ("triangle.area(height=5, base=10, unit='Units')", True),
        ("triangle.area(base=10, height=5, unit='cm')", False),
        ("triangle.area(base=10, height=5, depth=1)", False),
        ("triangle.area(base=10)", False),
        ("triangle.area(base=True, height=5)", False),
        ('{"name": "triangle.area", "arguments": {"base": 10.0, "height": 5}}', True),
    ],
)
def test_answers_of_bfcl_have_alternatives_and_arguments_that_may_be_left_out(answer: str, right: bool) -> None:
    assert is_right("call", answer, [BFCL]) == right


def test_alternatives_stand_inside_mappings_and_lists_too() -> None:
    wanted = json.dumps(
        [{"order": {"items": [[{"dish": ["fish", "Fish & chips"], "n": [2, ""]}]], "to": [["a", "b"]]}}]
    )
    assert is_right("call", "order(items=[{'dish': 'fish'}], to=['a', 'b'])", [wanted])
    assert not is_right("call", "order(items=[{'dish': 'meat'}], to=['a', 'b'])", [wanted])
    assert not is_right("call", "order(items=[{'dish': 'fish'}], to=['b', 'a'])", [wanted])


def test_several_calls_count_in_any_order_each_once() -> None:
    wanted = ["[f(a=1), g(b=2), f(a=3)]"]
    assert is_right("call", "[g(b=2), f(a=3), f(a=1)]", wanted)
    assert not is_right("call", "[g(b=2), f(a=3), f(a=3)]", wanted)


def test_truth_is_no_number_and_json_words_are_read_in_python() -> None:
    assert is_right("call", "f(a=true, b=null)", ["f(a=True, b=None)"])
    assert not is_right("call", "f(a=1)", ["f(a=True)"])


def test_an_accepted_string_without_a_call_is_refused_with_its_text() -> None:
    assert "no function call can be read in the accepted string 'Oslo'" in (why_unanswerable("call", ["Oslo"]) or "")
    assert why_unanswerable("call", [PLAIN, BFCL], ["\n", ")"]) is None


@pytest.mark.parametrize("text", ["f(" * 3000, "[" * 9000, "{" * 9000, "f(a=" + "9" * 5000 + ")", "f(" + ")" * 5000])
def test_a_text_that_cannot_be_read_is_no_call(text: str) -> None:
    assert calls_in(text) in ([], [Call("f")])
