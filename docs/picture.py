"""Draw the leaderboard of a study as docs/demo.svg:  python docs/picture.py demo/study.yaml"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console

from lamdagent.core.pipeline import node_label, pipeline_of, render
from lamdagent.results.by_hand import standing
from lamdagent.results.leaderboard import leaderboard
from lamdagent.study.read import read_study
from lamdagent.ui.render.terminal import print_sections

WIDTH, ROWS = 150, 8


def main(study: str) -> None:
    read = read_study(Path(study))
    state = read.state
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print("$ lamdagent show demo", highlight=False)
    print_sections(leaderboard(read.name, state, read.artifacts, against_hand=standing(read)).sections(ROWS), console)
    console.print("\n$ lamdagent lineage demo", highlight=False)
    best = state.ranked()[0][0]
    tree = render(pipeline_of(state, best.id), lambda node: node_label(state, node))
    console.print(tree, highlight=False, markup=False)
    console.save_svg(str(Path(__file__).parent / "demo.svg"), title="lamdagent")


if __name__ == "__main__":
    main(sys.argv[1])
