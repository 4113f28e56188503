from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
from hypothesis import settings

from lamdagent import execution

settings.register_profile("quick", deadline=None, max_examples=50, database=None)
settings.load_profile("quick")
pytest.register_assert_rewrite("lamdagent.testing.contracts")


@pytest.fixture(autouse=True, scope="session")
def _versions_are_looked_up_once() -> Iterator[None]:
    # Reading eight packages' metadata takes longer than a toy trial.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "versions", functools.cache(execution.versions))
        yield
