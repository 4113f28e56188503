"""The contract of `lamdagent.core.protocols.Display`."""

from __future__ import annotations

from lamdagent.core.protocols import Display
from lamdagent.core.state import State
from lamdagent.core.types import Failed, Job, Progress
from lamdagent.testing import toy


class DisplayContract:
    """Shows whatever comes, and never stops a search."""

    def display(self) -> Display:
        raise NotImplementedError

    def test_it_shows_a_whole_search_with_failures(self) -> None:
        from lamdagent.policies.random import Random

        display = self.display()
        runner = toy.inline(slots=2, watch=display.progressed)
        state = toy.search(Random(), trials=25, runner=runner, display=display)
        display.close(state)
        assert any(isinstance(trial.outcome, Failed) for trial in state.trials)

    def test_progress_of_an_unknown_job_is_no_error(self) -> None:
        display = self.display()
        for progress in (Progress(phase="load"), Progress(phase="train", done=1, total=9, facts={"loss": 0.5})):
            display.progressed(99, progress)
            display.progressed("stranger", progress)
        display.close(State())

    def test_text_that_looks_like_markup_is_only_text(self) -> None:
        display, state = self.display(), toy.grown(1)
        display.began(Job(key=0, action=state.trials[0].choice.action, objects=()), state)
        display.ended(0, Failed(cause="error", message="[/red] [bold {x} %s"), state)
        display.close(state)

    def test_a_search_stopped_before_anything_began_can_be_closed(self) -> None:
        self.display().close(State())
