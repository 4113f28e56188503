"""Function calls, scored by structure."""

from __future__ import annotations

import json
import time

import pytest

from lamdagent.core.calls import Call, calls_in, same_calls
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


@pytest.mark.parametrize("text", ['{"f": {"a": [1, 2]}}', '{"point": {"at": [1]}}', PLAIN])
def test_an_accepted_string_said_again_is_right_whatever_its_lists_stand_for(text: str) -> None:
    assert is_right("call", f" {text}\n", [text])


def test_a_value_that_is_a_list_needs_a_bracket_more_among_alternatives() -> None:
    assert is_right("call", "f(a=[1, 2])", ['{"f": {"a": [[1, 2]]}}'])
    assert is_right("call", "f(a=2)", ['{"f": {"a": [1, 2]}}'])
    assert not is_right("call", "f(a=[1, 2])", ['{"f": {"a": [1, 2]}}'])


def test_an_object_with_a_name_and_other_keys_is_no_call() -> None:
    assert not is_right("call", '{"name": "Bob", "age": 4}', ['{"name": "Bob", "age": 3}'])
    assert calls_in('{"name": "Bob", "age": 4}') == []
    assert calls_in('{"id": "1", "type": "function", "name": "f", "args": {"a": 1}}') == [Call("f", {"a": 1})]
    assert calls_in('{"name": "f"}') == [Call("f")]


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('Sure! f(user={"name": "Bob"}, n=3)', [Call("f", {"user": {"name": "Bob"}, "n": 3})]),
        ('First f(a=1), then {"name": "g", "arguments": {"b": 2}}.', [Call("f", {"a": 1}), Call("g", {"b": 2})]),
        ('I do {"name": "g", "arguments": {"b": "f(a=1)"}}!', [Call("g", {"b": "f(a=1)"})]),
        (
            '{"thought": "f(a=2) is it", "tool_calls": [{"name": "f", "arguments": {"a": 1}}, {"name": "g"}]}',
            [Call("f", {"a": 1}), Call("g")],
        ),
        (f"So: f(text='{'()) ' * 60}', n=1) it is", [Call("f", {"text": "()) " * 60, "n": 1})]),
        ("So: f(a='it\\'s )', b=\"(\",  # not )\n c=1).", [Call("f", {"a": "it's )", "b": "(", "c": 1})]),
        ("The function(s) to call: f(a=1)", [Call("f", {"a": 1})]),
        ("调用f(a=1)。", [Call("f", {"a": 1})]),
    ],
)
def test_among_words_what_begins_first_is_read_and_what_stands_inside_it_is_a_part_of_it(
    text: str, calls: list[Call]
) -> None:
    assert calls_in(text) == calls


def test_what_was_thought_before_the_answer_is_no_part_of_it() -> None:
    assert is_right("call", f"<think>weather(city='Bergen', days=3)?\n</think>\n{PLAIN}", [PLAIN])
    assert not is_right("call", f"<think>{PLAIN}</think> weather(city='Bergen', days=3)", [PLAIN])


def test_calls_that_fit_several_are_matched_as_a_whole_and_soon() -> None:
    wide, narrow = Call("f", {"a": [1, 2]}, alternatives=True), Call("f", {"a": [1]}, alternatives=True)
    given = [Call("f", {"a": 1}), Call("f", {"a": 2})]
    assert same_calls(given, [wide, narrow])
    assert not same_calls([given[0]] * 2, [narrow, Call("f", {"a": [2]}, alternatives=True)])
    began = time.monotonic()
    assert not same_calls([Call("f", {"a": 1})] * 16, [Call("f", {"a": 1})] * 15 + [Call("f", {"a": 2})])
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    "text",
    ["f(" * 9000 + ")" * 9000, "f('" * 3000, 'f("""' * 5000, "{(" * 9000, "a" * 20_000, '{"a":' * 9000, "f(x) " * 5000],
)
def test_a_long_text_that_holds_no_calls_is_soon_read(text: str) -> None:
    began = time.monotonic()
    assert calls_in(text) == []
    assert time.monotonic() - began < 5
