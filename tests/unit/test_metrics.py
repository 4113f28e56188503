"""Right or wrong: what a generated answer says, and which choice is the likeliest."""

from __future__ import annotations

import pytest

from lamdagent.core.metrics import is_right, likeliest, why_unanswerable
from lamdagent.core.numerals import last_values

RIGHT = """
18 | 18
18. | 18
18.0 | 18
0 | -0
+7 | 7
The answer is 18 dollars. | 18
#### 18 | 18
\\boxed{18} | 18
$5.00 | 5
-$5 | -5
5 € | 5
1,234 | 1234
1,234. | 1234
$1,234.00 | 1234
$1,000,000 | 1000000
1,23,456 | 123456
1'000 | 1000
10 000 | 10000
10\u00a0000 | 10000
1.000,50 | 1000.5
72, in total | 72
3/4 | 3/4
The answer is 3/4. | 3/4
0.75 | 3/4
3 / 4 | 0.75
1 3/4 | 1.75
\\frac{3}{4} | 0.75
.5 | 0.5
5. | 5
The probability is .25 | 0.25
1e5 | 100000
1.5e3 | 1500
1E-2 | 0.01
1e5. | 100000
3 x 10^5 | 300000
3 × 10^-2 | 0.03
2 * 10^{3} | 2000
2^10 | 1024
2**10 | 1024
50% | 50
50% | 0.5
0.5 | 50%
12.5 % | 12.5
The set is 1,2,3 | 3
(3,4) | 4
x = 3,4 | 4
10-3=7 | 7
pages 5-6 | 6
2024-01-15 | 15
1/2/2024 | 2024
1.2.3 | 3
7 - 10 = -3 | -3
= −3 | -3
–3 | -3
(−3) | -3
- 5 | -5
x = - 4 | -4
7 - 3 | 3
in 2024 300 people | 300
٣ | 3
9007199254740993 | 9007199254740993
"""
WRONG = """
The answer is 1/4. | 3/4
1/4 | 3/4
5 | 0.5
.5 | 5
The probability is .25 | 25
= −3 | 3
3 | -3
1e5 | 5
1e5 | 1
2^10 | 10
3 x 10^5 | 5
12,5 | 125
50% | 5
nothing | 18
 | 18
9007199254740993 | 9007199254740992
0.1 | 0.10000000000000001
1/0 | 1
1/0 | 0
"""


def pairs(table: str) -> list[tuple[str, str]]:
    return [
        (answer.strip(), accepted.strip())
        for answer, _, accepted in (row.partition("|") for row in table.split("\n"))
        if accepted
    ]


@pytest.mark.parametrize(("answer", "accepted"), pairs(RIGHT))
def test_the_same_number_in_another_spelling_is_right(answer: str, accepted: str) -> None:
    assert is_right("number", answer, [accepted])


@pytest.mark.parametrize(("answer", "accepted"), pairs(WRONG))
def test_another_number_is_wrong(answer: str, accepted: str) -> None:
    assert not is_right("number", answer, [accepted])


def test_long_numbers_are_compared_digit_by_digit() -> None:
    assert is_right("number", "1" * 400, ["1" * 400])
    assert not is_right("number", "1" * 400, ["1" * 399 + "2"])


@pytest.mark.parametrize("text", ["9" * 100_000, "1e999999999", "9^99999999", "2^9999", "1/0"])
def test_a_number_that_nobody_could_mean_is_none(text: str) -> None:
    assert last_values(text) == frozenset()


def test_an_accepted_string_that_no_answer_or_every_answer_meets_is_told() -> None:
    assert "no number" in (why_unanswerable("number", ["eighteen"]) or "")
    assert "every answer" in (why_unanswerable("contains", ["yes", " "]) or "")
    assert why_unanswerable("number", ["#### 18"]) is None
    assert why_unanswerable("exact_match", [""]) is None


@pytest.mark.parametrize("unclear", ["12,5", "-0,75", "1,2345", "$3,5", "12,50 €"])
def test_a_decimal_comma_of_an_accepted_number_is_refused(unclear: str) -> None:
    assert "has a decimal comma" in (why_unanswerable("number", [unclear]) or "")


@pytest.mark.parametrize("clear", ["1,234", "12.5", "1,234,567", "$1,234.50", "the set is 1, 2, 3", "(3,4)"])
def test_a_comma_of_thousands_or_of_a_list_is_taken(clear: str) -> None:
    assert why_unanswerable("number", [clear]) is None


def test_an_accepted_string_that_goes_on_after_what_ends_an_answer_is_refused() -> None:
    assert "holds a text of `until`" in (why_unanswerable("exact_match", ["a\nb"], ["\n"]) or "")
    assert why_unanswerable("exact_match", ["a\n"], ["\n"]) is None, "what is around an answer does not count"
    assert why_unanswerable("exact_match", ["a\nb", "a"], ["\n"]) is None, "one of them can be met"
    assert why_unanswerable("number", ["first 3\nso 4"], ["\n"]) is None, "the number alone counts"


def test_an_empty_string_is_contained_in_no_answer() -> None:
    assert not is_right("contains", "anything at all", [""])


def test_acc_norm_divides_by_bytes() -> None:
    choices, logs = ["in Japan", "日本の首都"], [-9.6, -9.0]  # -1.20 and -0.60 a byte, -1.20 and -1.80 a character
    assert likeliest("acc_norm", choices, logs) == 1
    assert likeliest("acc", choices, [-1.0, -1.0]) == 0
