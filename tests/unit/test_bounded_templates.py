"""Templates of the user end in a text or in an error that names them, within bounds of time and size."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.test_audit import brought, found, talk, texts
from tests.unit.test_rendering import CHAT, tokenizer

from lamdagent.core import templates
from lamdagent.core.errors import DataError, UserError
from lamdagent.core.templates import BadTemplate, Template, refuse_powers, within
from lamdagent.core.types import SIDES, Split
from lamdagent.evaluation.tasks.item_templates import bound_templates, errors_of
from lamdagent.evaluation.tasks.lm_eval import LmEvalConfig, LmEvalTask, NamedItems
from lamdagent.llm.prompts import render
from lamdagent.objects.datasets.formats import task_items, training_rows
from lamdagent.objects.models.rendering import Renderer

ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
CALLS_ITSELF = "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}"
DOUBLES = "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}"
BAD = {
    "a loop without end": ENDLESS,
    "a text without end": "{% for i in range(99999) %}{% for j in range(99999) %}"
    + "x" * 1000
    + "{% endfor %}{% endfor %}",
    "calls without end": CALLS_ITSELF,
    "calls that double": DOUBLES,
    "a power without end": "{{ 9 ** 999999999 }}",
    "a number that grows": "{% set n = namespace(x=9) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}",
    "a text that is multiplied": "{{ 'a' * 99999999999 }}",
    "a list that is multiplied": "{{ ([1] * 99999999999) | length }}",
    "a text that is filled up": "{{ 'a'.ljust(99999999999) }}{{ 'a' | center(99999999999) }}",
    "a number with a width": "{{ '%99999999999d' % 1 }}",
    "a number with a width by a filter": "{{ '%99999999999d' | format(1) }}",
    "an unknown name": "{{ nothing }}",
    "what is no template": "{{ prompt ",
    "an unknown tag": "{% fly %}",
    "an unknown filter": "{{ prompt | fly }}",
    "division by zero": "{{ 1 / 0 }}",
    "a wrong call": "{{ prompt.join(1, 2, 3) }}",
    "what the sandbox forbids": "{{ prompt.__class__.__mro__ }}",
    "loops in loops": "{% for a in prompt %}" * 40 + "{% endfor %}" * 40,
    "brackets in brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "a template elsewhere": "{% include 'x' %}{{ prompt }}",
}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "MOST_S", 0.3)


@pytest.mark.parametrize("source", BAD.values(), ids=BAD)
def test_a_bad_template_of_a_dataset_is_told_with_its_key_and_row(source: str) -> None:
    began = time.monotonic()
    with pytest.raises(DataError, match=r"(rows\.jsonl:7: |columns: )the template for 'prompt'") as told:
        list(
            task_items(
                [("rows.jsonl:7", {"prompt": "a", "answer": "b"})], {"prompt": source + "{{''}}", "answer": "answer"}
            )
        )
    assert time.monotonic() - began < 5 and len(str(told.value)) < 1000
    with pytest.raises(DataError, match="the template for 'text'"):
        list(training_rows([("rows.jsonl:7", {"prompt": "a"})], {"text": source + "{{''}}"}, chat=False))


def test_a_good_template_is_what_it_was() -> None:
    template = Template(
        "{% for c in word %}{{ c * 3 }}{{ '-' * 4 }}{{ 2 ** 10 }}{{ '%05d' % 7 }}{{ 'a'.ljust(3) }}|{% endfor %}"
    )
    assert template.render({"word": "ab"}) == "aaa----102400007a  |bbb----102400007a  |"


@pytest.mark.parametrize("source", BAD.values(), ids=BAD)
def test_a_bad_prompt_file_is_told_with_its_name(source: str, tmp_path: Path) -> None:
    (tmp_path / "choose.md").write_text(source)
    with pytest.raises(UserError, match=r"choose\.md: .*It may use: prompt\."):
        render("lamdagent.policies", "choose.md", tmp_path, prompt="a")


def test_a_prompt_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "choose.md").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"choose\.md: "):
        render("lamdagent.policies", "choose.md", tmp_path, prompt="a")


CHATS = {
    "a loop without end": ENDLESS,
    "calls without end": CALLS_ITSELF,
    "a power": "{{ 9 ** 999999999 }}",
    "an unknown tag": "{% fly %}",
    "what is no template": "{{ messages ",
    "a long text": "{% for i in range(99999) %}" + "x" * 1000 + "{% endfor %}",
}


@pytest.mark.parametrize("template", CHATS.values(), ids=CHATS)
def test_a_bad_chat_template_is_told_once(template: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(DataError, match="the chat template cannot be rendered: "):
        Renderer(tokenizer(template=CHAT + template)).chat([{"role": "user", "content": "a"}])
    assert time.monotonic() - began < 5


def test_a_chat_template_that_never_ends_for_a_row_names_the_row(tmp_path: Path) -> None:
    never = CHAT + "{% if messages[0]['content'] == 'ba' %}" + ENDLESS + "{% endif %}"
    model = brought(tmp_path, tokenizer(template=never))
    with pytest.raises(DataError, match=r"f:2: the chat template cannot be rendered: took longer than 0\.3 s"):
        texts(found(tmp_path, model, [talk("ab", "a"), talk("ba", "a")]))


def test_a_power_in_a_chat_templates_text_is_no_power() -> None:
    renderer = Renderer(tokenizer(template=CHAT + "**bold** {{ '**' }}"))
    assert renderer.chat([{"role": "user", "content": "a"}], ask=False).endswith("**bold** **")


def of_a_file(prompt: str = "{{q}}", target: str = "{{a}}") -> Any:
    """A task as lm-eval makes one of a file."""
    from datasets import Dataset, DatasetDict
    from lm_eval.api.task import ConfigurableTask

    bound_templates()
    rows = DatasetDict({"validation": Dataset.from_list([{"q": "one", "a": "1"}, {"q": "two", "a": "2"}])})
    return ConfigurableTask(config={
        "task": "of_a_file", "custom_dataset": lambda **_: rows, "validation_split": "validation",
        "output_type": "generate_until", "doc_to_text": prompt, "doc_to_target": target,
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    })  # fmt: skip


class OfAFile(NamedItems):
    """The items of such a task, without lm-eval's index of thousands."""

    def load(self, split: Split) -> dict[str, Any]:
        return {"of_a_file": made}


made: Any = None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"prompt": ENDLESS + "{{q}}"}, r"the template .* fails on .*'q': .*: took longer than 0\.3 s"),
        ({"prompt": "{{nothing}}"}, "the template '{{nothing}}' fails on .*'q': .*: 'nothing' is undefined"),
        ({"target": "{{ q"}, "the template '{{ q' fails on "),
        ({"target": "{{ 9 ** 999999999 }}"}, r".*\*\* makes more than it may"),
    ],
)
def test_a_bad_template_of_a_task_file_is_told_with_its_task(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match="^task of_a_file: " + said), errors_of("of_a_file"):
        of_a_file(**keys)


def test_a_template_of_a_task_file_that_fails_on_one_item_is_told_with_the_item(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(globals(), "made", of_a_file("{% if a == '2' %}{{ nothing }}{% endif %}{{ q | upper }}"))
    config = LmEvalConfig(task="of_a_file", metric="exact_match")
    task = LmEvalTask(name="of_a_file", source=OfAFile(config=config, include_path=None))
    with pytest.raises(DataError, match=r"^task of_a_file, item 1: the template .* fails on .*'two'"):
        list(task.documents("validation")), list(task.documents("test"))
    monkeypatch.setitem(globals(), "made", of_a_file("{{ q | regex_replace('o', '0') | upper }}"))
    task = LmEvalTask(name="of_a_file", source=OfAFile(config=config, include_path=None))
    assert {prompt for side in SIDES for _, prompt, _ in task.documents(side)} == {"0NE", "TW0"}


def run_on() -> None:
    with within(0.05):
        while True:
            with contextlib.suppress(Exception):  # what runs inside may swallow what it likes
                time.sleep(1)


def test_what_takes_too_long_is_stopped_and_nothing_else_is() -> None:
    handler = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeoutError):
        run_on()
    with within(0.05):
        pass
    time.sleep(0.1)
    assert signal.getsignal(signal.SIGALRM) is handler
    heard = list[str]()
    other = threading.Thread(target=lambda: heard.append(Template("{{ a }}").render({"a": "b"})))
    other.start()
    other.join()
    assert heard == ["b"]
    with pytest.raises(BadTemplate):
        Template("{{ a")


@pytest.mark.parametrize("text", ["rose by 5% *because* of it", "50% of 12345678 people", "100%"])
def test_a_text_with_a_percentage_is_filled_in_whatever_filter_takes_it(text: str) -> None:
    assert Template("{{ p | indent(2) }}{{ p | center(4) }}").render({"p": text}) == 2 * text


def test_a_format_with_an_endless_width_is_refused() -> None:
    for source in ("{{ '%099999999d' | format(1) }}", "{{ '%*d' | format(9, 1) }}", "{{ '%099999999d' % 1 }}"):
        with pytest.raises(BadTemplate):
            Template(source).render({})


def test_unpacked_arguments_are_no_power() -> None:
    refuse_powers("{%- set ns = namespace(**x) -%}{{ dict(m, **{'a': 1}) }}{{ f(1, ** y) }}")
    with pytest.raises(BadTemplate, match="takes a power"):
        refuse_powers("{{ (9) ** 9 }}")


def test_an_alarm_around_another_is_not_disarmed_by_it() -> None:
    def renders_and_hangs() -> None:
        with within(0.2):
            Template("{{ 1 }}").render({})
            time.sleep(2)

    with pytest.raises(TimeoutError, match=r"0\.2 s"):
        renders_and_hangs()
