from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("quick", deadline=None, max_examples=50, database=None)
settings.load_profile("quick")
pytest.register_assert_rewrite("lamdagent.testing.contracts")
