"""Lists as tables that fit the terminal; long cells are folded, never cut."""

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from collector.cli.cards import COLOURS
from collector.cli.words import short
from collector.eventtext import changed
from collector.sanitize import clean, harmless, visible
from collector.words import left, span

_WIDE = 110
_CELL = 400

Row = Sequence[str | Text]
_PACE = ("MEDIAN", "90 % WITHIN", "UNDER 2 S", "APPROVED", "LAST")


def print_pending(console: Console, requests: list[dict[str, Any]]) -> None:
    """Print requests, one row each; a narrow terminal gets fewer and taller columns."""
    now = time.time_ns()
    ids = [request["request"] for request in requests]
    wide = console.width >= _WIDE
    rows: list[Row] = []
    for request in requests:
        who, what, where = summary_of(request["act"])
        if (count := request.get("count", 1)) > 1:
            what += f" ({count} identical)"
        severity = request["rule"]["severity"]
        marked = Text(visible(severity), COLOURS.get(severity, ""))
        waits = request["state"] == "open"
        rest = left(request["deadline_ns"], now) if waits else visible(request["state"])
        age = span(now - request["opened_ns"])
        name, host = short(request["request"], ids), visible(request["host_name"])
        rule = visible(request["rule"]["id"])
        if wide:
            rows.append((name, age, rest, host, who, what, where, rule, marked))
        else:
            aside = Text.assemble(marked, f"\n{rule}")
            rows.append((name, f"{age}\n{rest}", f"{who}\n{host}", f"{what}\n{where}", aside))
    if wide:
        _print(console, ("ID", "AGE", "LEFT", "HOST", "WHO", "WHAT", "WHERE", "RULE", "SEV"), rows)
    else:
        _print(console, ("ID", "AGE\nLEFT", "WHO\nHOST", "WHAT\nWHERE", "SEV\nRULE"), rows)


def print_capped(console: Console, sessions: list[dict[str, Any]]) -> None:
    """Print a line for each AI session at its limit, and how to deny all of it."""
    for capped in sessions:
        card = capped["card"]
        words = f"{harmless(card['title'])}: {harmless(card['state_line'])}"
        remedy = f"`holdfast deny-session {visible(capped['name'][:8])} --reason TEXT`"
        console.print(Text(f"{words}; {remedy} denies all that waits of it"))


def print_hosts(console: Console, hosts: list[dict[str, Any]]) -> None:
    """Print hosts, one row each."""
    now = time.time_ns()
    rows = [
        (
            visible(host["name"]),
            visible(host["mode"] or "never seen"),
            str(host["open_holds"]),
            span(now - host["last_event_ns"]) + " ago" if host["last_event_ns"] else "none yet",
            str(host["gap_events"]),
            visible(", ".join(host["subjects"])),
            visible(host["version"] or ""),
            visible(host["kernel"] or ""),
        )
        for host in hosts
    ]
    columns = ("HOST", "MODE", "HELD", "LAST EVENT", "LOST", "SUBJECTS", "AGENT", "KERNEL")
    _print(console, columns, rows)
    for host in hosts:
        if host.get("without_effect"):
            rules = visible(", ".join(host["without_effect"]))
            name, mode = visible(host["name"]), visible(host["mode"] or "")
            console.print(f"{name}: no effect in {mode} mode: {rules}", markup=False)


def print_exports(console: Console, exports: list[dict[str, Any]]) -> None:
    """Print continuous exports, one row each."""
    now = time.time_ns()
    rows = [
        (
            visible(export["name"]),
            visible(export["kind"]),
            visible(export["to"]),
            visible(export["format"]),
            str(export["sent"]),
            span(int(export["lag_s"] * 1e9)) if export["lag_s"] else "none",
            span(now - export["worked_ns"]) + " ago" if export["worked_ns"] else "none yet",
            visible(export["trouble"] or _gone(export)),
        )
        for export in exports
    ]
    columns = ("EXPORT", "KIND", "TO", "FORMAT", "SENT", "LAG", "DELIVERED", "TROUBLE")
    _print(console, columns, rows)


def _gone(export: dict[str, Any]) -> str:
    """Return what to say of records that an export came too late for."""
    count = export.get("gone", 0)
    return f"{count} records dropped by retention before they were sent" if count else ""


def print_events(console: Console, events: list[dict[str, Any]]) -> None:
    """Print events, one row each."""
    rows = [
        (
            _time(event.get("time_ns")),
            _text(event.get("host_name") or event.get("host"))[:20],
            _text(event.get("kind")),
            _text(event.get("pid")),
            _program(event),
            _target(event),
            _text(event.get("action")),
            _text(event.get("rule")),
            _text(event.get("guarantee")),
        )
        for event in events
    ]
    columns = ("TIME", "HOST", "KIND", "PID", "PROGRAM", "TARGET", "ACTION", "RULE", "GUARANTEE")
    _print(console, columns, rows)


def print_figures(console: Console, figures: dict[str, Any]) -> None:
    """Print how people decide: first by person, then by rule."""
    people = [
        (visible(one["who"]), str(one["answers"]), *_pace(one)) for one in figures["reviewers"]
    ]
    _print(console, ("REVIEWER", "ANSWERS", *_PACE), people)
    console.print()
    rules = [
        (visible(one["rule"]), f"{one['decisions']} ({one['holds']} holds)", *_pace(one))
        for one in figures["rules"]
    ]
    _print(console, ("RULE", "DECISIONS", *_PACE), rules)


def _pace(figures: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{figures['median_seconds']:.1f} s",
        f"{figures['p90_seconds']:.1f} s",
        f"{figures['share_under_2_s']:.0%}",
        f"{figures['share_approved']:.0%}",
        visible(figures["last"][:16].replace("T", " ") + " UTC"),
    )


def print_grants(console: Console, grants: list[dict[str, Any]]) -> None:
    """Print grants, one row each."""
    now = time.time_ns()
    ids = [grant["grant"] for grant in grants]
    rows = [
        (
            short(grant["grant"], ids),
            left(grant["expires_ns"], now) if grant["state"] == "in_force" else grant["state"],
            f"{grant['used']} of {grant['uses']}",
            _text(grant["host_name"] or grant["host"]),
            _text(grant["subject"]),
            _text(grant["session"] or "every session"),
            _text(grant["what"]),
            _text(grant["by"]),
            _text(grant["reason"]),
        )
        for grant in grants
    ]
    columns = ("ID", "LEFT", "USED", "HOST", "SUBJECT", "SESSION", "WHAT", "BY", "REASON")
    _print(console, columns, rows)


def print_quarantines(console: Console, quarantines: list[dict[str, Any]]) -> None:
    """Print quarantines, one row each."""
    now = time.time_ns()
    ids = [one["quarantine"] for one in quarantines]
    rows = [
        (
            short(one["quarantine"], ids),
            "lifted" if one["lifted_ns"] else "in force",
            span(now - one["time_ns"]),
            _text(one["subject"]),
            "everywhere"
            if one["everywhere"]
            else _text(", ".join(host["host_name"] or host["host"] for host in one["hosts"])),
            _text(one["by"]),
            _text(one["reason"]),
        )
        for one in quarantines
    ]
    _print(console, ("ID", "STATE", "AGE", "SUBJECT", "WHERE", "BY", "REASON"), rows)


def print_rows(console: Console, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print the answer to a question in SQL."""
    shown = [tuple("NULL" if cell is None else _text(cell) for cell in row) for row in rows]
    _print(console, tuple(visible(column) for column in columns), shown)


def _print(console: Console, columns: Sequence[str], rows: Sequence[Row]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        # The first column is what the reader types next: it stays in one piece.
        table.add_column(Text(column), overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    console.print(table)


def summary_of(act: dict[str, Any]) -> tuple[str, str, str]:
    """Return who, what and where of an act from a list, which comes without cards."""
    import msgspec

    from collector.card import summary
    from collector.cli.errors import CliError
    from wire.acts import Act

    try:
        found = summary(msgspec.convert(act, Act))
    except msgspec.ValidationError as error:
        raise CliError(
            "unknown_act",
            f"the centre sent an act that this version does not know ({error})",
            "upgrade holdfast on this machine, or use --json",
        ) from error
    return found.who, found.what, found.where


def _program(event: dict[str, Any]) -> str:
    from collector.commandtext import one_line

    argv = event.get("argv")
    return one_line(argv, _CELL) if argv else _text(event.get("program"))


def _target(event: dict[str, Any]) -> str:
    if event.get("address"):
        port = f":{event['port']}" if event.get("port") is not None else ""
        return _text(f"{event.get('transport') or ''} {event['address']}{port}".strip())
    return _text(changed(event) or event.get("detail"))


def _text(value: object) -> str:
    return "" if value is None else clean(str(value), _CELL).text


def _time(time_ns: object) -> str:
    if not isinstance(time_ns, int):
        return ""
    try:
        when = datetime.fromtimestamp(time_ns // 10**9, UTC)
    except (ValueError, OverflowError, OSError):
        return str(time_ns)
    return f"{when:%Y-%m-%d %H:%M:%S}.{time_ns // 10**6 % 1000:03}Z"
