"""Commands that make something of the trail: trail report, trail evidence."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from collector.cli.errors import CliError, UsageError
from collector.cli.run import Run
from collector.cli.words import instant
from collector.report.framework_names import Framework

_TIME = "30m, 2h, 7d or ISO 8601."
From = Annotated[
    str | None,
    typer.Option("--from", help=f"Its beginning, {_TIME} 30 days before the end.", metavar="TIME"),
]
To = Annotated[str | None, typer.Option("--to", help=f"Its end, {_TIME} Now.", metavar="TIME")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write one page of HTML there; - for stdout."),
]


def report(run: Run, begin: From = None, end: To = None, output: Output = None) -> None:
    """Show holds and decisions of a period: over time, by rule, host, subject and reviewer."""
    period = _period(begin, end)
    if output is not None:
        _keep(run, run.centre.page("/trail/report.html", **period), output)
        return
    found = run.centre.get("/trail/report", **period)
    if run.json:
        run.print_json(found)
        return
    from collector.cli.tables import print_rows

    for chart in found["charts"]:
        run.say("")
        run.say(chart["title"])
        if not chart["rows"]:
            run.say("nothing in this period")
            continue
        print_rows(run.console, chart["columns"], chart["rows"])


def evidence(
    run: Run,
    framework: Annotated[Framework, typer.Option(help="Arrange it by the controls of this.")],
    begin: From = None,
    end: To = None,
    output: Output = None,
) -> None:
    """Show what was observed for each control of a framework, or write it as a page to print."""
    given: dict[str, Any] = {"framework": framework.value, **_period(begin, end)}
    if output is not None:
        _keep(run, run.centre.page("/trail/evidence.html", **given), output)
        return
    found = run.centre.get("/trail/evidence", **given)
    if run.json:
        run.print_json(found)
        return
    from collector.cli.tables import print_rows

    by_id = {one["measure"]: one for one in found["observations"]}
    rows = [
        [
            control["id"],
            control["name"],
            control["finding"],
            "; ".join(_words(by_id[name]) for name in control["measures"]),
        ]
        for control in found["controls"]
    ]
    print_rows(run.console, ["control", "name", "finding", "what was looked at"], rows)
    run.note("the whole of it, with samples and queries, is a page: add -o evidence.html")


def _words(observation: dict[str, Any]) -> str:
    gaps = f", {observation['gaps']} gaps" if observation["gaps"] else ""
    return f"{observation['title']}: {observation['seen']}{gaps}"


def _period(begin: str | None, end: str | None) -> dict[str, str | None]:
    return {"since": instant(begin, option="--from"), "until": instant(end, option="--to")}


def _keep(run: Run, page: bytes, output: Path) -> None:
    """Write a page; never over a file that is not ours to lose."""
    if run.json:
        raise UsageError("two_outputs", "--json and --output exclude each other", "leave one out")
    if str(output) == "-":
        sys.stdout.buffer.write(page)
        sys.stdout.flush()
        return
    beside = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        beside.write_bytes(page)
        beside.replace(output)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CliError(
            "cannot_write", f"{output}: {error.strerror}", "choose another file with --output"
        ) from error
    run.note(f"written to {output}")
