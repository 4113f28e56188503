from __future__ import annotations

from lamdagent.memories.reflection import Reflection
from lamdagent.memories.table import Table
from lamdagent.policies.agent.policy import Agent
from lamdagent.policies.evolution import Evolution
from lamdagent.policies.greedy import Greedy
from lamdagent.policies.random import Random
from lamdagent.policies.surrogate.policy import Surrogate
from lamdagent.policies.tpe import Tpe
from lamdagent.testing.contracts import MemoryContract
from lamdagent.testing.contracts.policy import DataPolicyContract
from lamdagent.testing.fake_chat import FakeClient, fake_chat


class TestRandom(DataPolicyContract):
    def policy(self) -> Random:
        return Random()


class TestTable(MemoryContract):
    most_chars = 5_000

    def memory(self) -> Table:
        return Table()


class TestLongTable(MemoryContract):
    def memory(self) -> Table:
        return Table(best=50, latest=50)


class TestReflection(MemoryContract):
    def memory(self) -> Reflection:
        return Reflection(chat=fake_chat(FakeClient()))


class TestAgent(DataPolicyContract):
    def policy(self) -> Agent:
        return Agent(chat=fake_chat(FakeClient()), fallback=Random())


class TestGreedy(DataPolicyContract):
    def policy(self) -> Greedy:
        return Greedy()


class TestEvolution(DataPolicyContract):
    def policy(self) -> Evolution:
        return Evolution()


class TestTpe(DataPolicyContract):
    def policy(self) -> Tpe:
        return Tpe()


class TestSurrogate(DataPolicyContract):
    def policy(self) -> Surrogate:
        return Surrogate()
