"""A running collector drops what is old by itself, says so, and its trail stays sound."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from collector.config import Trail
from collector.keys import read_signer
from collector.proof.verify.check import verify
from collector.trail.store import open_trail
from collector.trail.writer import Writer
from tests.end_to_end.collector.conftest import People, populate
from tests.support.centre import REPOSITORY, centre
from tests.support.proven_trail import chain_of
from wire.ids import HostId

pytestmark = pytest.mark.nats

KEEP = """
[trail.retention]
keep = { open = "90d" }
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[People]:
    """Give a centre whose trail has events that it took in a hundred days ago."""
    with centre(tmp_path, start=False) as running:
        running.start_nats()
        now_ns = time.time_ns
        with monkeypatch.context() as patch:
            patch.setattr(time, "time_ns", lambda: now_ns() - 100 * 86_400 * 10**9)
            connection = open_trail(Trail(file=str(running.state / "trail.duckdb")))
            writer = Writer(connection, on_fatal=lambda _: None)
            asyncio.run(writer.write(batches=chain_of(HostId("a" * 32), (4, 40, 50))))
            writer.write_out().result()
        writer.close()
        connection.close()
        config = running.config
        text = config.read_text().replace("[trail]\n", "[trail]\ncheckpoint_s = 0.5\n")
        config.write_text(text + KEEP)
        yield populate(running)


async def _measure(client: httpx.AsyncClient, line: str) -> None:
    """Wait until the collector says it: a round tells nobody when it has ended."""
    async with asyncio.timeout(60):
        while line not in (await client.get("/metrics")).text.splitlines():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_what_is_old_falls_while_the_collector_works(own: People) -> None:
    """As it was foretold: the measures, the view, the log and both checks say so."""
    running = own.centre
    config = ("--config", str(running.config))
    assert "30 of 94 events would be dropped now" in running.run("retention", *config)
    running.start_collector()
    async with own.client(own.viewer) as client:
        await _measure(client, 'holdfast_retention_dropped_events_total{reason="age"} 30')
    asked = "SELECT kind, events, reason FROM dropped_by_retention"
    assert await own.ask(asked) == [["open", 30, "age"]]
    assert await own.ask("SELECT count(*) FROM events") == [[64]]
    async with own.host() as host:  # ingest goes on
        await host.events({"kind": "open"})
        await own.ask_until([[65]], "SELECT count(*) FROM events")
    signed = "SELECT count(*) > 0 FROM checkpoints WHERE contains(line, '\"tombstones\",14,1,')"
    await own.ask_until([[True]], signed)
    async with asyncio.timeout(60):  # of files; views.duckdb is a few seconds behind
        said = ""
        while "0 of 64 events" not in said:
            said = await asyncio.to_thread(running.run, "retention", *config)
    running.stop_collector()
    key = read_signer(running.state / "keys" / "signing.key").key_id
    report = verify(running.state, trusted=frozenset({key}))
    assert report.sound, report.findings
    assert report.figures["dropped_by_retention"] == 30
    command = [sys.executable, "docs/verify.py", str(running.state), "--public-key", key]
    ran = await asyncio.to_thread(
        lambda: subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "30 events dropped by retention, under 1 tombstones" in ran.stdout
