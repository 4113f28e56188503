"""`python -m lamdagent` is `lamdagent`."""

from lamdagent.cli import main

main()
