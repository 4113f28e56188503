"""For whoever writes a plugin: a toy world to run it in, and the contract suite of each protocol to subclass.

`lamdagent.testing.toy` searches in milliseconds. A class in `lamdagent.testing.contracts` becomes a test of a policy, a
memory, a runner, a journal, an action type or an observer by naming it in one method. Neither imports pytest.
"""
