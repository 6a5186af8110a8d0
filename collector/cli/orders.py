"""Commands about grants and quarantines."""

from typing import Annotated, Any

import typer

from collector.cli.errors import UsageError
from collector.cli.requests import ReasonOption
from collector.cli.run import Run, command
from collector.cli.words import check_prefix
from collector.words import clock, count

AllOption = Annotated[bool, typer.Option("--all", help="Also those that are over.")]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    command(app)(grants)
    command(app)(quarantine)


def grants(
    run: Run,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[revoke ID]", help="Nothing to list them, or the one to revoke."),
    ] = None,
    reason: ReasonOption = None,
    everything: AllOption = False,
) -> None:
    """List the grants in force, or revoke one: `holdfast grants revoke ID`."""
    match words or []:
        case []:
            _list_grants(run, everything=everything)
        case ["revoke", grant]:
            route = f"/grants/{check_prefix(grant, what='grant')}/revoke"
            done = run.centre.post(route, {"reason": reason or "", "via": "cli"})
            if run.json:
                run.print_json(done)
            run.say(f"grant {done['grant'][:8]} covers nothing from now on")
        case _:
            raise UsageError(
                "usage",
                "say which grant to revoke",
                "holdfast grants, or holdfast grants revoke ID",
            )


def quarantine(
    run: Run,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SUBJECT | lift ID]",
            help="The subject to stop; lift and an id to let it go on; nothing to list them.",
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Only on this host, by name or id; else everywhere.")
    ] = None,
    reason: ReasonOption = None,
    everything: AllOption = False,
) -> None:
    """Deny everything open of a subject and stop its processes, until `quarantine lift ID`."""
    match words or []:
        case []:
            _list_quarantines(run, everything=everything)
        case ["lift", one]:
            route = f"/quarantines/{check_prefix(one, what='quarantine')}/lift"
            done = run.centre.post(route, {"reason": _needed(reason), "via": "cli"})
            _tell(run, done, "lifted")
        case [subject]:
            body = {"subject": subject, "host": host, "reason": _needed(reason), "via": "cli"}
            _tell(run, run.centre.post("/quarantines", body), "in force")
        case _:
            raise UsageError(
                "usage",
                "say one subject, or which quarantine to lift",
                "holdfast quarantine SUBJECT --reason TEXT, or holdfast quarantine lift ID",
            )


def _list_grants(run: Run, *, everything: bool) -> None:
    found = run.centre.get("/grants", all="true" if everything else None)
    if run.json:
        run.print_json(found)
        return
    from collector.cli.tables import print_grants

    if not found["grants"]:
        run.note("no grant is in force; `holdfast approve ID --for 15m` makes one")
        return
    print_grants(run.console, found["grants"])


def _list_quarantines(run: Run, *, everything: bool) -> None:
    found = run.centre.get("/quarantines", all="true" if everything else None)
    if run.json:
        run.print_json(found)
        return
    from collector.cli.tables import print_quarantines

    if not found["quarantines"]:
        run.note("nobody is under quarantine")
        return
    print_quarantines(run.console, found["quarantines"])


def _tell(run: Run, done: dict[str, Any], state: str) -> None:
    if run.json:
        run.print_json(done)
        return
    from collector.sanitize import visible

    where = "everywhere" if done["everywhere"] else visible(done["hosts"][0]["host_name"])
    told = count(len(done["hosts"]), "host")
    since = clock(done["lifted_ns"] or done["time_ns"])
    run.say(
        f"quarantine {done['quarantine'][:8]} of {visible(done['subject'])}, {where}: {state} "
        f"since {since}; {told} told"
    )


def _needed(reason: str | None) -> str:
    if reason and reason.strip():
        return reason
    raise UsageError(
        "reason_required", "a quarantine asks for a reason; nothing was done", "add --reason TEXT"
    )
