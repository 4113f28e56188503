from __future__ import annotations

import math
from pathlib import Path

from lamdagent.core.jobs import Job, Progress
from lamdagent.core.types import Failed
from lamdagent.objects.artifacts import LocalArtifacts
from lamdagent.results.leaderboard import leaderboard
from lamdagent.results.running import running_jobs
from lamdagent.study.progress import MOST_POINTS, ProgressFiles, read_progress, running_progress
from lamdagent.testing import toy
from lamdagent.ui.render.markdown import markdown

STATE = toy.grown(3, running=2)


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def begun(folder: Path, *keys: int | str) -> tuple[ProgressFiles, Clock]:
    clock = Clock()
    files = ProgressFiles(folder, clock)
    for key in keys:
        files.started(Job(key=key, action=None, objects=()), STATE)
    return files, clock


def test_a_job_is_written_of_once_a_second_and_where_a_phase_begins(tmp_path: Path) -> None:
    files, clock = begun(tmp_path, 3)
    for step in range(1, 41):
        clock.now_s = 1000.0 + step / 10
        files.progressed(3, Progress(phase="train", done=step, total=40, facts={"loss": 0.5}))
    points = read_progress(tmp_path, 3)
    assert [(p.phase, p.done) for p in points] == [
        ("waiting for a worker", 0), ("train", 1), ("train", 11), ("train", 21), ("train", 31)
    ]  # fmt: skip
    assert points[1].time_s == 1000.1
    assert points[1].facts == {"loss": 0.5}


def test_a_long_job_has_at_most_a_thousand_points_from_its_start_to_now(tmp_path: Path) -> None:
    files, clock = begun(tmp_path, 3)
    most = 0
    for step in range(1, 5001):
        clock.now_s = 1000.0 + step
        files.progressed(3, Progress(phase="train", done=step))
        if step % 250 == 0:
            most = max(most, len(read_progress(tmp_path, 3)))
    points = read_progress(tmp_path, 3)
    assert 500 <= len(points) <= most <= MOST_POINTS
    assert points[0].time_s == 1000.0
    assert points[-1].done > 4980
    assert [p.done for p in points] == sorted(p.done for p in points)


def test_a_file_stays_after_the_end_and_begins_anew_with_the_job(tmp_path: Path) -> None:
    files, _ = begun(tmp_path, 3)
    files.progressed(3, Progress(phase="train", done=1))
    files.ended(3, Failed(cause="cancelled", message=""), STATE)
    files.closed(STATE)
    assert len(read_progress(tmp_path, 3)) == 2
    begun(tmp_path, 3)
    assert len(read_progress(tmp_path, 3)) == 1


def test_a_line_that_is_half_written_is_left_out_and_a_loss_that_is_not_finite_is_unknown(tmp_path: Path) -> None:
    files, _ = begun(tmp_path, 3)
    files.progressed(3, Progress(phase="train", done=1, facts={"loss": math.nan}))
    with (tmp_path / "progress" / "3.jsonl").open("a") as out:
        out.write('{"time_s": 1')
    assert [p.facts for p in read_progress(tmp_path, 3)] == [{}, {"loss": None}]
    assert read_progress(tmp_path, 4) == ()


def test_what_runs_now_is_shown_with_its_step_and_age(tmp_path: Path) -> None:
    files, clock = begun(tmp_path, "base", 2, 3, 4)  # base and trial 2 have ended
    clock.now_s = 1090.0
    files.progressed(4, Progress(phase="train", done=40, total=75))
    assert set(running_progress(tmp_path, STATE)) == {3, 4}
    waits, trains = running_jobs(STATE, tmp_path, now_s=1100.0)
    assert (waits.key, waits.phase, waits.age_s, waits.silent_s) == (3, "waiting for a worker", 100.0, 100.0)
    assert (trains.key, trains.done, trains.total, trains.age_s, trains.silent_s) == (4, 40, 75, 100.0, 10.0)
    page = markdown(leaderboard("toy", STATE, LocalArtifacts(tmp_path), (waits, trains)))
    assert "2 running" in page
    assert "train 40/75" in page
    assert "running" not in markdown(leaderboard("toy", toy.grown(3), LocalArtifacts(tmp_path)))
