"""Find the best post-training pipeline for a language model.

`run_study(file)` runs a study file to the end; `load(file)` reads what came of it; `Search` is the loop itself, by ask
and tell. The command line is `lamdagent`. docs/python.md has an example of each, and the modules that plug-ins import
from. Importing this package loads no torch.
"""

from __future__ import annotations

from lamdagent.core.search import Search, run
from lamdagent.study.config import load_study
from lamdagent.study.open import OpenStudy, open_study
from lamdagent.study.run import run_study
from lamdagent.ui.notebook import StudyView, load

__version__ = "0.1.0"
__all__ = [
    "OpenStudy",
    "Search",
    "StudyView",
    "__version__",
    "load",
    "load_study",
    "open_study",
    "run",
    "run_study",
]
