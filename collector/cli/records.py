"""Commands about the record: hosts, events, figures, exports; and those of the trail."""

import sys
from typing import Annotated

import typer

from collector.cli.bundle import bundle
from collector.cli.errors import UsageError
from collector.cli.export import export, exports
from collector.cli.reports import evidence, report
from collector.cli.run import Run, command
from collector.cli.verifying import verify
from collector.cli.words import instant
from wire.event_kinds import EventKind

_TIME = "30m, 2h, 7d or ISO 8601."


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    command(app)(hosts)
    command(app)(events)
    command(app)(figures)
    command(app)(exports)
    trail = typer.Typer(help="Ask the trail, the record of everything.", no_args_is_help=True)
    command(trail)(sql)
    command(trail)(export)
    command(trail)(report)
    command(trail)(evidence)
    command(trail)(verify)
    command(trail)(bundle)
    app.add_typer(trail, name="trail")


def hosts(run: Run) -> None:
    """List the hosts, what they can promise, and when they last reported."""
    found = run.centre.get("/hosts")
    if run.json:
        run.print_json(found)
        return
    from collector.cli.tables import print_hosts

    if not found["hosts"]:
        run.note("no host is enrolled; `holdfast-collector enroll NAME` admits one")
        return
    print_hosts(run.console, found["hosts"])


def events(
    run: Run,
    host: Annotated[str | None, typer.Option(help="Only this host, by name or id.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only this watched subject.")] = None,
    session: Annotated[str | None, typer.Option(help="Only this session.")] = None,
    kind: Annotated[EventKind | None, typer.Option(help="Only this kind.")] = None,
    path: Annotated[str | None, typer.Option(help="Paths with this text in them.")] = None,
    address: Annotated[str | None, typer.Option(help="Only this address.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only what this rule decided.")] = None,
    hold: Annotated[str | None, typer.Option(help="Only the event of this hold, by id.")] = None,
    since: Annotated[str | None, typer.Option(help=f"Since; {_TIME}", metavar="TIME")] = None,
    until: Annotated[str | None, typer.Option(help=f"Until; {_TIME}", metavar="TIME")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    after: Annotated[
        str | None, typer.Option(help="Go on after this place, as the last page said.")
    ] = None,
) -> None:
    """List what watched processes did, newest first; filters are combined."""
    page = run.centre.get(
        "/events",
        host=host,
        subject=subject,
        session=session,
        kind=kind.value if kind else None,
        path=path,
        address=address,
        rule=rule,
        hold=hold,
        since=instant(since, option="--since"),
        until=instant(until, option="--until"),
        limit=limit,
        after=after,
    )
    if run.json:
        run.print_json(page)
        return
    from collector.cli.tables import print_events

    if not page["events"]:
        run.note("no events")
        return
    print_events(run.console, page["events"])
    if page["next"]:
        run.note(f"there are more: add --after {page['next']}")


def figures(
    run: Run,
    since: Annotated[
        str | None, typer.Option(help=f"Answers since; {_TIME}", metavar="TIME")
    ] = None,
) -> None:
    """Show how fast people decide and how often they approve, by person and by rule."""
    found = run.centre.get("/figures", since=instant(since, option="--since"))
    if run.json:
        run.print_json(found)
        return
    from collector.cli.tables import print_figures

    if not found["reviewers"]:
        run.note("nobody has answered anything")
        return
    print_figures(run.console, found)


def sql(
    run: Run,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="One SELECT in DuckDB's SQL, or - for stdin.")
    ],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many rows.")] = 1000,
) -> None:
    """Ask the trail in SQL; read-only."""
    text = sys.stdin.read() if query == "-" else query
    if not text.strip():
        raise UsageError("no_query", "there is no query", 'give one: holdfast trail sql "SELECT 1"')
    found = run.centre.post("/trail/query", {"sql": text, "limit": limit}, changes=False)
    if run.json:
        run.print_json(found)
        return
    from collector.cli.tables import print_rows

    print_rows(run.console, [column["name"] for column in found["columns"]], found["rows"])
    if found["truncated"]:
        run.note(f"only the first {len(found['rows'])} rows are shown; see --limit")
