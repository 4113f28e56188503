"""The command line: `lamdagent VERB …`.

Exit codes: 0 done; 1 a check found something, or an error of ours; 2 the user can mend it; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import platform
import sys

from lamdagent.core.errors import UserError


def main() -> None:
    """Run a command; errors that the user can mend are printed without a traceback."""
    if platform.system() == "Windows":  # the imports below would end in a traceback
        print("error: Windows lacks fcntl, which locks a study. Use Linux, or Linux in WSL.", file=sys.stderr)
        sys.exit(2)
    from lamdagent.ui.cli.app import app

    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nstopped; nothing is lost. The same command goes on from here.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
