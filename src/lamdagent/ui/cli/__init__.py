"""The command line: `lamdagent VERB …`.

Exit codes: 0 done; 1 a check found something, or an error of ours; 2 the user can mend it; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import logging
import platform
import sys

from lamdagent.core.errors import UserError
from lamdagent.core.text import printable


class _Printable(logging.Formatter):
    """A warning may name what stands in a file from outside."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def main() -> None:
    """Run a command; errors that the user can mend are printed without a traceback."""
    if platform.system() == "Windows":  # the imports below would end in a traceback
        print("error: Windows lacks fcntl, which locks a study. Use Linux, or Linux in WSL.", file=sys.stderr)
        sys.exit(2)
    from lamdagent.ui.cli.app import app

    if logging.lastResort is not None:  # what shows warnings where nothing else is set up
        logging.lastResort.setFormatter(_Printable())
    try:
        app()
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nstopped; nothing is lost. The same command goes on from here.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
