from __future__ import annotations

from lamdagent.memories.table import Table
from lamdagent.policies.random import Random
from lamdagent.testing.contracts import MemoryContract, PolicyContract


class TestRandom(PolicyContract):
    def policy(self) -> Random:
        return Random()


class TestTable(MemoryContract):
    most_chars = 2_500

    def memory(self) -> Table:
        return Table()


class TestLongTable(MemoryContract):
    def memory(self) -> Table:
        return Table(best=50, latest=50)
