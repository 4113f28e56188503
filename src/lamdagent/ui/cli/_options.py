"""Options and help texts that several commands share."""

from __future__ import annotations

from collections.abc import Sequence

from lamdagent.core.errors import UserError, nearest

STUDY_HELP = "The study file, or its run folder (runs/NAME)."


TRIAL_HELP = "A trial's number, or `best`."


JSON_HELP = "Print one JSON object instead."


FILE_HELP = "The study file."


SET_HELP = (
    "Override a value of the study file, such as `budget.trials=50` or `datasets.math.path=x.jsonl`; "
    "`-actions.ties` takes a key out. Repeatable."
)


def dotted(args: Sequence[str]) -> list[str]:
    """`--policy.kind agent` and `--policy.kind=agent` as overrides.

    Raises:
        UserError: anything else that no option takes.
    """
    overrides, rest = [], list(args)
    while rest:
        arg = rest.pop(0)
        key, equals, value = arg.removeprefix("--").partition("=")
        if not arg.startswith("--") or "." not in key or (not equals and not rest):
            known = ("--trials", "--set", "--dry-run", "--plain", "--json", "--help")
            raise UserError(
                f"{arg}: no such option, or its value is missing. {nearest(arg, known)} Or --KEY.KEY VALUE."
            )
        overrides.append(f"{key}={value if equals else rest.pop(0)}")
    return overrides
