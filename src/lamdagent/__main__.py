"""`python -m lamdagent` is `lamdagent`."""

from lamdagent.ui.cli import main

main()
