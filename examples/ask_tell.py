"""The loop by hand: ask what to do next, do it, tell what came of it.

python examples/ask_tell.py demo/study.yaml
"""

import sys
from pathlib import Path

import lamdagent
from lamdagent.core.jobs import Job
from lamdagent.core.search import job_of


def main(study_file: str, trials: int = 2) -> None:
    study = lamdagent.load_study(Path(study_file), ["study=by-hand", f"budget.trials={trials}"])
    with lamdagent.open_study(study, inline=True) as opened:
        search, runner = opened.search, opened.runner

        for model in search.state.unscored:
            runner.submit(Job(key=model.name, action=None, objects=(model,)))
            [(_, outcome)] = runner.wait()
            search.record_baseline(model, outcome)

        while asked := search.ask():
            (trial,) = asked
            runner.submit(job_of(trial, search.state))
            [(_, outcome)] = runner.wait()
            search.tell(trial.number, outcome)

        for model, objective in search.state.ranked():
            print(f"{objective.value:.3f} ± {objective.stderr:.3f}  {model.name}")


if __name__ == "__main__":
    main(sys.argv[1])
