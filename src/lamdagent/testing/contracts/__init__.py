"""The contract of each protocol as a class of tests. Subclass it, name your implementation, and run pytest:

    class TestMyPolicy(PolicyContract):
        def policy(self) -> MyPolicy:
            return MyPolicy()

All of them use the toy world of `lamdagent.testing.toy`. For messages that show both sides of a failed comparison, put
`pytest.register_assert_rewrite("lamdagent.testing.contracts")` into your conftest.py.
"""

from __future__ import annotations

from lamdagent.testing.contracts.action_type import ActionTypeContract
from lamdagent.testing.contracts.artifacts import ArtifactStoreContract
from lamdagent.testing.contracts.journal import JournalContract
from lamdagent.testing.contracts.memory import MemoryContract
from lamdagent.testing.contracts.observer import ObserverContract
from lamdagent.testing.contracts.policy import PolicyContract
from lamdagent.testing.contracts.runner import RunnerContract
from lamdagent.testing.contracts.task import TaskContract

__all__ = [
    "ActionTypeContract",
    "ArtifactStoreContract",
    "JournalContract",
    "MemoryContract",
    "ObserverContract",
    "PolicyContract",
    "RunnerContract",
    "TaskContract",
]
