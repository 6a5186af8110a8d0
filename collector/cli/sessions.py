"""The command that denies all of an AI session at its limit."""

from typing import Annotated

import typer

from collector.cli.errors import UsageError
from collector.cli.requests import ReasonOption
from collector.cli.run import Run, command
from collector.cli.words import check_prefix


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    command(app, "deny-session")(deny_session)


def deny_session(
    run: Run,
    session: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The session, as `holdfast pending` names it, or the start of it."
        ),
    ],
    reason: ReasonOption = None,
) -> None:
    """Deny all that waits of an AI session at its limit, each request by itself."""
    if not reason or not reason.strip():
        raise UsageError(
            "reason_required",
            "to deny all of a session asks for a reason; nothing was done",
            "add --reason TEXT",
        )
    from collector.cli.several import tell_results

    route = f"/sessions/{check_prefix(session, what='session')}/deny"
    tell_results(run, run.centre.post(route, {"reason": reason, "via": "cli"}))
