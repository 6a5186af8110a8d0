"""`holdfast-collector retention`."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from collector import config as configuration
from collector.admin import ConfigFile


def retention(
    as_json: Annotated[bool, typer.Option("--json", help="Print one object.")] = False,
    config: ConfigFile = configuration.DEFAULT_FILE,
) -> None:
    """Say what retention would drop now, by host and kind. Drops nothing."""
    from collector.trail.retention.forecast import forecast
    from collector.trail.retention.settings import policy_of

    settings = configuration.load(config).trail
    policy = policy_of(settings.retention, place=f"{config}: trail.retention")
    if policy is None:
        typer.echo("nothing is ever dropped: trail.retention asks for nothing")
        return
    found = forecast(Path(settings.file), policy, time.time_ns())
    if as_json:
        typer.echo(json.dumps({"policy": json.loads(policy.text), **asdict(found)}))
        return
    rows = [("host", "kind", "reason", "events", "bytes", "up to (UTC)")]
    for one in found.doomed:
        last = time.strftime("%Y-%m-%d %H:%M", time.gmtime(one.last_ns // 10**9))
        kind = one.kind or "every kind"
        rows.append((one.host, kind, one.reason, f"{one.events}", f"{one.bytes}", last))
    if found.doomed:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            typer.echo("  ".join(cells).rstrip())
    events, size = (sum(getattr(one, name) for one in found.doomed) for name in ("events", "bytes"))
    typer.echo(
        f"{events} of {found.events} events would be dropped now, {size} of {found.bytes} bytes"
    )
    if found.held:
        typer.echo(f"note: {found.held} due events stay while a hold is open", err=True)
