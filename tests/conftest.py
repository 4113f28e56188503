from __future__ import annotations

import os

# Before torch is imported: each of pytest's workers has one core, and so have the processes that a test starts. With
# more threads than free cores a tiny model is many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

settings.register_profile("quick", deadline=None, max_examples=50, database=None)
settings.load_profile("quick")
pytest.register_assert_rewrite("lamdagent.testing.contracts")
pytest_plugins = ["tests.tiny_world", "tests.study_file"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow tests go first, so that no worker begins one when the others have nothing left to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
