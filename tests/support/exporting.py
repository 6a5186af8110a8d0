"""A continuous export at work in a test, on a real trail, to a receiver of the test's choice."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from collector.channels.http import Http
from collector.export.bell import Bell
from collector.export.exporter import Exporter
from collector.export.settings import Export, ExportKind
from collector.export.sinks import Sink, SyslogSink, WebhookSink
from collector.export.syslog_wire import wire_to
from tests.support.export_trail import ExportTrail

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


def write_target(directory: Path, url: str) -> None:
    """Have the webhook `siem` there."""
    for name, text in (("siem.url", url), ("siem.secret", SECRET)):
        path = directory / name
        path.touch(mode=0o600)
        path.write_text(text)


async def until(check: Callable[[], object]) -> None:
    """Wait until `check` gives something: an export says how it does, and tells nobody."""
    async with asyncio.timeout(30):
        while not check():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.005)


async def until_idle(exporter: Exporter) -> None:
    """Wait until it has sent something, and everything."""
    await until(lambda: exporter.health().worked_ns and not exporter.health().lag_s)


@asynccontextmanager
async def exporting(
    trail: ExportTrail, directory: Path, settings: Export, bell: Bell | None = None
) -> AsyncIterator[Exporter]:
    """Have an export run; its place is in `directory`, as are its webhooks."""
    sink: Sink = (
        WebhookSink(settings, directory, Http(timeout_s=settings.timeout_s))
        if settings.kind is ExportKind.WEBHOOK
        else SyslogSink(settings, wire_to(settings))
    )
    exporter = Exporter(
        settings,
        directory / "exports.sqlite3",
        trail.connection.cursor(),
        sink,
        lambda host: "web-1",
        (bell or Bell()).listen(),
    )
    task = asyncio.create_task(exporter.run())
    try:
        yield exporter
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
