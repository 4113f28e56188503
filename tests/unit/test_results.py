"""Every result reads alike on every page, and docs/json.md names the keys that are printed."""

from __future__ import annotations

import importlib.util
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

import lamdagent
from lamdagent.core.format import change, change_with_interval, interval, p_value, percent, with_error, with_interval
from lamdagent.core.types import Failed
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.results.diagnosis.signature import Diagnosis, Signature
from lamdagent.results.holdout import HoldoutResults
from lamdagent.results.leaderboard import leaderboard
from lamdagent.results.lineage import lineage_of
from lamdagent.results.result import Facts, Picture, Result, Section, Table, Verbatim, dumps, to_json
from lamdagent.results.trial import trial_detail
from lamdagent.results.verify import Verification
from lamdagent.study.journal import SqliteJournal
from lamdagent.testing import toy
from lamdagent.ui.cli._output import write_outputs
from lamdagent.ui.cli.app import app
from lamdagent.ui.render.html import page
from lamdagent.ui.render.markdown import markdown
from lamdagent.ui.render.terminal import print_sections

ROOT = Path(__file__).parents[2]
STATE = toy.grown(20)
spec = importlib.util.spec_from_file_location("json_keys", ROOT / "docs" / "json_keys.py")
assert spec is not None and spec.loader is not None
json_keys: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(json_keys)


def results(tmp_path: Path) -> dict[str, Result]:
    """Results of the toy world by the command that prints them."""
    artifacts = LocalArtifacts(tmp_path)
    best, failed = STATE.ranked()[0][0].id, next(t for t in STATE.trials if isinstance(t.outcome, Failed))
    return {
        "run, show": leaderboard("toy", STATE, artifacts),
        "show TRIAL": trial_detail("toy", STATE, failed, toy.Unwritten(), transcript=True),
        "show --diagnose": Diagnosis(
            study="toy", signatures=(Signature(name="n", verdict="ok", measured="m", advice="a"),)
        ),
        "lineage": lineage_of(STATE, best),
        "verify": Verification(study="toy", checked=3, problems=("one",)),
    }


def on_the_terminal(sections: Sequence[Section], width: int | None = None) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=width is not None, color_system=None)
    print_sections(sections, console)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.mark.parametrize("command", ["run, show", "show TRIAL", "show --diagnose", "lineage", "verify"])
def test_what_is_printed_has_the_documented_keys_at_every_depth(command: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
    blocks = {
        block.partition("\n")[0].strip().removeprefix("lamdagent "): dict(
            re.findall(r"^\| `(\w+)` \| (.*?) \| ", block, flags=re.MULTILINE)
        )
        for block in re.split(r"^###? ", text, flags=re.MULTILINE)[1:]
    }
    found = json.loads(dumps(results(tmp_path)[command]))
    assert list(found) == list(blocks[command])
    for key, type in blocks[command].items():
        inner = re.fullmatch(r"(?:list of )?\[(\w+)\]\(.*?\)(?: or null)?", type)
        for value in found[key] if isinstance(found[key], list) else [found[key]]:
            if inner and value is not None:
                assert list(value) == list(blocks[inner[1]]), f"{command}: {key}"


@pytest.mark.parametrize("result", json_keys.COMMANDS.values(), ids=lambda result: result.__name__)
def test_every_key_of_a_result_says_what_it_is(result: type) -> None:
    assert set(json_keys.hints(result)) == set(json_keys.documented(result))


def test_scripts_find_in_show_what_they_read(tmp_path: Path) -> None:
    found = to_json(leaderboard("toy", STATE, LocalArtifacts(tmp_path)))
    best = STATE.trial_of(next(obj for obj, _ in STATE.ranked() if obj.made_by).id)
    assert best is not None
    objective = STATE.objective(best.choice.action.id)
    assert objective is not None
    assert found["base"] == {o.name: v and v.value for o in STATE.of_kind("model") if not o.made_by for v in
                             [STATE.objective(o.id)]}  # fmt: skip
    assert (found["best"]["trial"], found["best"]["objective"]) == (best.number, objective.value)
    assert found["recommended"]["trial"] == best.number
    assert [t["number"] for t in found["trials"]] == list(range(20))
    assert {t["status"] for t in found["trials"]} == {"made", "failed"}
    action = found["trials"][best.number]["action"]
    assert (action["type"], action["id"]) == (best.choice.action.type, best.choice.action.id)
    assert found["trials"][best.number]["objective"] == objective.value


def test_every_page_shows_every_cell(tmp_path: Path) -> None:
    for result in results(tmp_path).values():
        unescaped = re.sub(r"\\([^\w\s]|_)", r"\1", markdown(result))
        pages = [on_the_terminal(result.sections()), unescaped, page(result)]
        cells = [
            cell
            for section in result.sections()
            for part in section.parts
            for cell in (
                [c for row in (part.heads, *part.rows) for c in row] if isinstance(part, Table)
                else [what for _, what in part.rows] if isinstance(part, Facts)
                else [part.text] if isinstance(part, Verbatim)
                else [part] if isinstance(part, str) else []
            )
        ]  # fmt: skip
        assert cells
        for text in pages:
            plain = _words(text)
            assert [cell for cell in cells if _words(cell) not in plain] == [], text


def _words(text: str) -> str:
    """A page without its marks and breaks."""
    import html

    text = re.sub(r"<br>|</?\w+[^<>]*>", " ", text)
    return " ".join(html.unescape(text).split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wide:
    """A result with a table that is too wide."""

    @property
    def title(self) -> str:
        return "wide"

    def sections(self) -> list[Section]:
        table = Table(heads=["#", "model", "how"], rows=[["1", "[red]m|n", "x" * 90]], last_is_extra=True)
        return [Section(parts=[table])]


def test_a_narrow_terminal_leaves_out_the_extra_column_and_a_pipe_does_not() -> None:
    assert "xxx" not in on_the_terminal(Wide().sections(), width=40)
    assert "x" * 90 in on_the_terminal(Wide().sections())


def test_a_name_that_looks_like_markup_stays_as_it_is() -> None:
    assert "[red]m|n" in on_the_terminal(Wide().sections())
    assert "| \\[red]m\\|n |" in markdown(Wide())


def test_a_command_writes_data_page_text_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = leaderboard("toy", STATE, LocalArtifacts(tmp_path))
    write_outputs(result, tmp_path / "new", "board", as_json=True)
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads((tmp_path / "new" / "board.json").read_text()) == to_json(result)
    assert "<svg" in (tmp_path / "new" / "board.html").read_text()
    assert (tmp_path / "new" / "board.md").read_text() == markdown(result)
    assert (tmp_path / "new" / "board.png").stat().st_size > 5_000
    assert "board.png" in err


def test_show_prints_the_leaderboard_a_trial_and_json(tmp_path: Path) -> None:
    from lamdagent.core.events import Asked, Scored, Told

    folder = tmp_path / "runs" / "toy"
    folder.mkdir(parents=True)
    journal = SqliteJournal(folder / "journal.sqlite", writer=True)
    base = STATE.of_kind("model")[0]
    journal.append(*toy.first_events(), Scored(object_id=base.id, scores=STATE.scores[base.id]))
    for trial in STATE.trials:
        assert trial.outcome is not None
        journal.append(Asked(number=trial.number, choice=trial.choice))
        journal.append(Told(number=trial.number, outcome=trial.outcome))
    journal.close()

    def shown(*args: str) -> str:
        done = CliRunner().invoke(app, ["show", str(folder), *args])
        assert done.exit_code == 0, done.output
        return done.output

    board = lamdagent.load(folder).leaderboard
    assert json.loads(shown("--json")) == to_json(board)
    text = shown("--limit", "3")
    assert with_error(board.models[0].objective, board.models[0].stderr) in text
    assert f"of {len(board.models)} models shown; more with --limit" in text
    assert "failed" in text and "diverged" in text
    assert f"chosen by random: {STATE.trials[2].choice.reason}" in shown("2")
    assert json.loads(shown("2", "--json"))["trial"] == to_json(board.trials[2])


def test_values_read_alike_everywhere() -> None:
    assert with_error(0.6119, 0.0244) == "0.612 ± 0.024"
    assert with_error(0.6119, None) == "0.612"
    assert change(-0.12, 0.02) == "-0.120 ± 0.020"
    assert interval(0.565, 0.659) == "0.565 to 0.659"
    assert interval(None, None) == "-"
    assert with_interval(0.6, 0.5, 0.7) == "0.600 (0.500 to 0.700)"
    assert change_with_interval(0.12, 0.081, 0.159) == "+0.120 (+0.081 to +0.159)"
    assert change_with_interval(0.12, None, None) == "+0.120"
    assert (percent(0.64), p_value(0.01234), p_value(None)) == ("64%", "0.012", "-")
    assert p_value(0.0) == p_value(1e-38) == "< 0.001" and p_value(0.001) == "0.001"


def test_a_value_with_its_error_is_formatted_in_one_place() -> None:
    formatted = re.compile(r"± \{|\.3f\}(?:\)|\")? to \{|\+\.3f\} \(")
    places = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "src").rglob("*.py")
        if formatted.search(file.read_text(encoding="utf-8"))
    }
    assert places == {"src/lamdagent/core/format.py", "src/lamdagent/evaluation/evaluator.py"}, (
        "evaluator.py says in an error message what a task gave, with all digits"
    )


def test_json_has_sorted_sets_and_paths_as_text() -> None:
    found: Mapping[str, Any] = to_json({"a": frozenset({"y", "x"}), "b": Path("p"), "c": (1, None)})
    assert found == {"a": ["x", "y"], "b": "p", "c": [1, None]}


def test_data_that_nobody_can_draw_is_an_error_and_no_empty_picture() -> None:
    with pytest.raises(TypeError, match="no picture of int"):
        page(_Drawn())


class _Drawn:
    title = "drawn"

    def sections(self) -> list[Section]:
        return [Section(heading="unknown", parts=[Picture(name="x", caption="", data=3)])]


def test_made_datasets_stand_beside_the_models_with_what_models_gained_on_them(tmp_path: Path) -> None:
    state = toy.grown(40, makes_data=True)
    board = leaderboard("toy", state, LocalArtifacts(tmp_path))
    made = {obj.name for obj in state.of_kind("dataset") if obj.made_by is not None}
    assert {d.name for d in board.datasets} == made
    gained = [d.gain.value for d in board.datasets if d.gain is not None]
    assert gained and gained == sorted(gained, reverse=True)
    assert [d.gain is None for d in board.datasets] == sorted(d.gain is None for d in board.datasets)
    assert f"| {board.datasets[0].name} | {board.datasets[0].contents} |" in markdown(board)
    trial = board.trials[board.datasets[0].trial]
    assert (trial.kind, trial.objective, trial.result) == ("dataset", None, board.datasets[0].contents)
    assert trial.result in on_the_terminal(
        trial_detail("toy", state, state.trials[trial.number], toy.Unwritten()).sections()
    )


def test_a_model_is_judged_by_the_sealed_test_once_it_was_opened_and_not_before() -> None:
    state = toy.grown(40)
    trial = state.trial_of(state.ranked()[0][0].id)
    assert trial is not None
    made = trial.choice.action.id
    seen = {made: tuple(replace(s, split="test", value=0.25) for s in state.scores[made])}
    closed = trial_detail("toy", state, trial, toy.Unwritten())
    opened = trial_detail("toy", state, trial, toy.Unwritten(), test=HoldoutResults(opened=1, scores=seen))
    assert closed.test is None and "sealed test" not in on_the_terminal(closed.sections())
    assert opened.test is not None and opened.test.value == pytest.approx(0.25)
    assert "had no part in picking it" in on_the_terminal(opened.sections())
