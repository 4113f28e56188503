"""Names, reasons, prompts, answers, causes and logs are text on every medium: none of their signs acts on it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from rich.console import Console
from typer.testing import CliRunner

from lamdagent.core.budget import Budget
from lamdagent.core.errors import UserError
from lamdagent.core.events import Event, LLMCalled, MemoryUpdated, SearchStopped
from lamdagent.core.jobs import Job, Progress
from lamdagent.core.llm_call import LLMCall
from lamdagent.core.observers import Observers
from lamdagent.core.pipeline import pipeline_of
from lamdagent.core.search import Search, run
from lamdagent.core.state import reduce_events
from lamdagent.core.text import fenced, for_markdown, in_one_line, printable
from lamdagent.core.types import Failed
from lamdagent.memories.table import Table
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.policies.random import Random
from lamdagent.results.export.huggingface import model_card
from lamdagent.results.holdout import HoldoutResults
from lamdagent.results.leaderboard import leaderboard
from lamdagent.results.lineage import lineage_of
from lamdagent.results.report import report
from lamdagent.results.result import Result, dumps
from lamdagent.results.trial import trial_detail
from lamdagent.study.journal import MemoryJournal, SqliteJournal, from_json, kind_of, to_json
from lamdagent.testing import toy
from lamdagent.ui.cli import main
from lamdagent.ui.cli.app import app
from lamdagent.ui.plots import svg
from lamdagent.ui.render.html import page
from lamdagent.ui.render.markdown import markdown
from lamdagent.ui.render.terminal import print_sections
from lamdagent.ui.terminal.live import Live
from lamdagent.ui.terminal.plain import Plain
from lamdagent.ui.terminal.progress import SearchProgress

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>&lt;b&gt; \x1b[2J\x1b]0;title\x07\x9b31m\x08\r\u202egnp.exe\u2066 "
    "[red]rich[/red] :bomb: $\\frac$ | [link](http://example.org) ![i](http://example.org) `code` **bold** _em_ ~~no~~\n"
    "# heading\n---\n===\n- entry\n1. entry\n> quote\n```\n````text\n</pre></td></table>\n12:00:00 trial 99: 1.000"
)
ACTED_ON = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
OF_TASKS, OF_NAMES = {"task"}, {"name", "reason", "by", "message", "warnings", "log_tail", "uri", "memory", "study"}


def hostile(value: Any, key: str = "") -> Any:
    """An event's JSON with the markup at the end of every name and text."""
    if isinstance(value, dict):
        return {k: hostile(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [hostile(v, key) for v in value]
    return value + HOSTILE if isinstance(value, str) and key in OF_NAMES | OF_TASKS else value


def events() -> list[Event]:
    journal = MemoryJournal(*toy.first_events())
    loop = Search(
        journal=journal, action_types=toy.ACTION_TYPES, policy=Random(), memory=Table(), budget=Budget(trials=16)
    )
    run(loop, toy.inline(), Observers())
    asked = LLMCall(key="k", trial=1, purpose="choose" + HOSTILE, model="m" + HOSTILE, system=HOSTILE, prompt=HOSTILE,
                    answer=HOSTILE, error=HOSTILE, finish=HOSTILE)  # fmt: skip
    more: list[Event] = [LLMCalled(call=asked), MemoryUpdated(number=1, memory=HOSTILE)]
    more += [SearchStopped(reason="trials", message=HOSTILE)]
    made = [e for e in journal.read() if not isinstance(e, SearchStopped)]
    return [from_json(kind_of(e), json.dumps(hostile(json.loads(to_json(e))))) for e in made] + more


EVENTS = events()
STATE = reduce_events(EVENTS)
FAILED = next(t for t in STATE.trials if isinstance(t.outcome, Failed))
BEST = STATE.ranked()[0][0].id


def results(tmp_path: Path) -> list[Result]:
    artifacts = LocalArtifacts(tmp_path)
    tested = HoldoutResults(opened=1, scores={o.id: STATE.scores[o.id] for o, _ in STATE.ranked()})
    return [
        leaderboard("toy" + HOSTILE, STATE, artifacts),
        trial_detail("toy" + HOSTILE, STATE, FAILED, toy.Unwritten()),
        trial_detail("toy" + HOSTILE, STATE, STATE.trials[1], toy.Unwritten(), transcript=True),
        lineage_of(STATE, BEST),
        report("toy" + HOSTILE, STATE, tested, artifacts, [BEST], ()),
    ]


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.attributes, self.drawn = set[str](), set[str](), 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.drawn += tag == "svg"
        if not self.drawn:
            self.tags.add(tag)
            self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        self.drawn -= tag == "svg"


def test_nothing_of_it_is_a_tag_of_the_page(tmp_path: Path) -> None:
    for result in results(tmp_path):
        text, found = page(result), Tags()
        found.feed(text)
        known = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "br", "small"}
        assert found.tags <= known | {"table", "tr", "th", "td", "pre"}
        assert found.attributes <= {"lang", "charset", "class"}
        assert not ACTED_ON.search(text) and "<script" not in text and "<img" not in text
        assert "&lt;script&gt;" in text


def test_a_picture_draws_names_letter_by_letter(tmp_path: Path) -> None:
    from lamdagent.results.bars import TaskBar, TaskBars
    from lamdagent.results.result import Picture

    bars = {name: TaskBar(value=0.5, low=None, high=None) for name in ("a$b$", "$\\frac$", "_c", HOSTILE)}
    data = TaskBars(side="test", base_model="_base", base={}, model="m<script>", scores=bars)
    drawn = svg(Picture(name="tasks", caption="", data=data))
    assert "a$b$" in drawn and "$\\frac$" in drawn and "<script>" not in drawn and not ACTED_ON.search(drawn)


def kinds(text: str) -> set[str]:
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    return {t.type for token in tokens for t in (token, *(token.children or ()))}


OURS = {"heading_open", "heading_close", "inline", "text", "text_special", "paragraph_open", "paragraph_close", "hardbreak",
        "softbreak", "fence", "table_open", "table_close", "thead_open", "thead_close", "tbody_open", "tbody_close",
        "tr_open", "tr_close", "th_open", "th_close", "td_open", "td_close", "bullet_list_open", "bullet_list_close",
        "list_item_open", "list_item_close", "strong_open", "strong_close"}  # fmt: skip


def test_nothing_of_it_is_markdown(tmp_path: Path) -> None:
    for result in results(tmp_path):
        text = markdown(result)
        assert kinds(text) <= OURS, text
        tokens = MarkdownIt("commonmark").enable("table").parse(text)
        assert sum(t.type == "heading_open" for t in tokens) == 1 + sum(bool(s.heading) for s in result.sections())
        assert not ACTED_ON.search(text)


# fmt: off
SIGNS = ["# a", "a\n---", "a\n===", "- a", "+ a", "1. a", "12) a", "> a", "* a", "***", "___", "```", "~~~", "<b>",
         "`a`", "[a](b)", "![a](b)", "_a_", "**a**", "~~a~~", "a | b\n--- | ---", "&amp;",
         "\\*a\\*", "<http://a.b>", "[a]: b"]
# fmt: on


@pytest.mark.parametrize("text", SIGNS)
def test_a_sign_that_begins_markup_stands_for_itself(text: str) -> None:
    for shown in (for_markdown(text), f"| a |\n|---|\n| {in_one_line(text)} |", f"# {in_one_line(text)}"):
        assert kinds(shown) <= OURS - {"strong_open", "bullet_list_open", "fence"}
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(for_markdown(text))
    assert "".join(t.content for token in tokens for t in token.children or ()) == text.replace("\n", "")
    assert [t.type for t in MarkdownIt().parse(fenced(text))] == ["fence"]


def test_names_and_figures_are_left_as_they_are() -> None:
    for text in (
        "model_1",
        "-0.120 ± 0.020",
        "base > sft sort/gentle",
        "3 of 4",
        "sft(model=base, dataset=a+b)",
        "R & D",
        "~/runs",
    ):
        assert for_markdown(text) == in_one_line(text) == printable(text) == text


def on_a_terminal(result: Result) -> str:
    out = io.StringIO()
    print_sections(result.sections(), Console(file=out, width=200, force_terminal=True, color_system=None))
    return out.getvalue()


def test_nothing_of_it_acts_on_the_terminal(tmp_path: Path) -> None:
    for result in results(tmp_path):
        text = on_a_terminal(result)
        assert not ACTED_ON.search(text), ACTED_ON.findall(text)
        assert "\\x1b[2J" in text
        flat = re.sub(r"\s+", "", text)
        assert "[red]rich[/red]" in flat and ":bomb:" in flat
        assert not ACTED_ON.search(dumps(result))


def watched(observer: Plain | Live) -> None:
    trial, job = FAILED, Job(key=FAILED.number, action=FAILED.choice.action, objects=())
    assert trial.outcome is not None
    observer.started(job, STATE)
    observer.progressed(job.key, Progress(phase="train" + HOSTILE, done=1, total=2, facts={"loss" + HOSTILE: 0.5}))
    observer.ended(job.key, trial.outcome, STATE)
    observer.closed(STATE)


def test_nothing_of_it_acts_on_the_view_of_a_running_search() -> None:
    plain, live, budget = io.StringIO(), io.StringIO(), Budget(trials=16)
    watched(Plain(SearchProgress(budget), plain))
    assert not ACTED_ON.search(plain.getvalue())
    assert not re.search(r"^12:00:00", plain.getvalue(), re.MULTILINE), "a forged line"
    console = Console(file=live, width=200, force_terminal=True, color_system=None)
    watched(Live(SearchProgress(budget), budget, console))
    ours = re.sub(r"\x1b\[(\?25[lh]|\d*A|2K)|\r", "", live.getvalue())  # how rich moves its bars
    assert "\\x1b[2J" in ours and not ACTED_ON.search(ours), ACTED_ON.findall(ours)


def test_nothing_of_it_acts_on_the_terminal_as_an_error_or_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        logging.getLogger("lamdagent.x").warning("%s", HOSTILE)
        raise UserError(HOSTILE)

    monkeypatch.setattr("lamdagent.ui.cli.app.app", fail)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith("error: <script>") and not ACTED_ON.search(said)
    handler = logging.lastResort
    assert handler is not None
    assert not ACTED_ON.search(handler.format(logging.makeLogRecord({"msg": HOSTILE})))


def test_show_of_such_a_study_is_text(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "toy"
    with contextlib.closing(SqliteJournal(folder / "journal.sqlite", writer=True)) as journal:
        journal.append(*EVENTS)
    for more in ([], [str(FAILED.number)], ["1", "--transcript"], ["--json"], ["--diagnose"]):
        out = CliRunner().invoke(app, ["show", str(folder), *more], catch_exceptions=False).output
        assert not ACTED_ON.search(out)


def test_a_model_card_is_text() -> None:
    trial = STATE.trial_of(BEST)
    assert trial is not None
    _, front, card = model_card(STATE, trial, pipeline_of(STATE, BEST), "toy" + HOSTILE).split("---\n", 2)
    assert not ACTED_ON.search(front + card)
    assert kinds(card) <= OURS | {"code_inline", "link_open", "link_close"}
    tokens = MarkdownIt("commonmark").enable("table").parse(card)
    links = [t.attrs["href"] for token in tokens for t in token.children or () if t.type == "link_open"]
    assert links == ["https://arxiv.org/abs/2505.21963"]
    assert [t.content for t, o in zip(tokens[1:], tokens, strict=False) if o.type == "heading_open"][1:] == [
        "Scores", "Lineage", "Use"
    ]  # fmt: skip


def test_a_text_that_cannot_be_written_is_escaped() -> None:
    assert printable("a\ud800b") == "a\\ud800b"
    assert json.loads(dumps({"a": "\x9b\ud800\u202e"})) == {"a": "\x9b\ud800\u202e"}
    dumps({"a": "\ud800"}).encode()
