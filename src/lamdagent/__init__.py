"""Find the best post-training pipeline for a language model.

`run_study(file)` runs a study file to the end; `Search` is the loop itself, by ask and tell. The command line is
`lamdagent`. Importing this package loads no torch.
"""

from __future__ import annotations

from lamdagent.core.search import Search, run
from lamdagent.study.config import load_study
from lamdagent.study.open import OpenStudy, open_study
from lamdagent.study.run import run_study

__version__ = "0.1.0"
__all__ = ["OpenStudy", "Search", "__version__", "load_study", "open_study", "run", "run_study"]
