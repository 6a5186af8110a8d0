"""A continuous export to syslog: a real rsyslog, and a receiver that is away, slow, or hangs up."""

import asyncio
import signal
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from collector.export.settings import Beginning, Export, ExportKind, Transport
from tests.support.export_trail import HOST, ExportTrail
from tests.support.exporting import exporting, until, until_idle
from tests.support.rsyslog import rsyslog
from tests.support.trail_rows import event

_HOSTILE = {"argv": ["sh", "-c", 'a\nb\0 <34>1 - - - - - - forged "]\\ \u2028\U0001f600'], "pid": 7}


def settings(port: int, transport: str = "tcp", **changes: Any) -> Export:
    """Return an export to a port of this machine."""
    chosen: dict[str, Any] = {
        "name": "siem",
        "kind": ExportKind.SYSLOG,
        "to": f"127.0.0.1:{port}",
        "transport": Transport(transport),
        "what": ("events",),
        "start": Beginning.BEGINNING,
        "batch": 10,
        "timeout_s": 20.0,
    }
    return Export(**(chosen | changes))


@pytest.mark.parametrize("transport", ["tcp", "tls", "udp"])
async def test_rsyslog_reads_what_is_sent(
    trail: ExportTrail, tmp_path: Path, transport: str
) -> None:
    """Every part of the header, and a record that no text in it can end or forge."""
    row = {"kind": "exec", "action": "deny", "time_ns": event("exec")["time_ns"], **_HOSTILE}
    await trail.events(HOST, [{"kind": "open", "path": f"/{number}"} for number in range(25)])
    await trail.events(HOST, [row])
    with rsyslog(tmp_path, transport) as far:
        ca = str(far.ca) if transport == "tls" else ""
        async with exporting(trail, tmp_path, settings(far.port, transport, tls_ca=ca)) as one:
            await until_idle(one)
        found = await asyncio.to_thread(far.messages, 26)
    assert [message.number for message in found] == list(range(1, 27))
    ids = [message.json["id"] for message in found]
    assert ids == [f"events/{HOST}/{number}" for number in range(1, 27)]
    last = found[-1]
    assert (last.facility, last.severity) == ("authpriv", "warning")
    assert (last.application, last.name) == ("holdfast", "events.exec")
    assert last.host == socket.gethostname()
    assert last.time.startswith("2026-05-28T20:26:40.123456")
    assert last.json["argv"] == _HOSTILE["argv"]


async def test_a_receiver_that_is_away_gets_everything_when_it_is_back(
    trail: ExportTrail, tmp_path: Path
) -> None:
    """In order, with the numbers going on."""
    await trail.events(HOST, [{}] * 30)
    with rsyslog(tmp_path, "tcp", start=False) as far:
        async with exporting(trail, tmp_path, settings(far.port)) as one:
            await until(lambda: one.health().failures >= 1)
            assert one.health().lag_s > 0 and one.health().sent == 0
            await asyncio.to_thread(far.start)
            await until_idle(one)
        found = await asyncio.to_thread(far.messages, 30)
    assert [message.number for message in found] == list(range(1, 31))


async def test_a_killed_receiver_gets_repeats_under_their_numbers(
    trail: ExportTrail, tmp_path: Path
) -> None:
    """Whoever drops a number that they have already has each record once, and all of them."""
    await trail.events(HOST, [{}] * 100)
    with rsyslog(tmp_path, "tcp") as far:
        async with exporting(trail, tmp_path, settings(far.port, per_second=200)) as one:
            await until(lambda: one.health().sent >= 20)
            await asyncio.to_thread(far.stop, signal.SIGKILL)
            await until(lambda: one.health().failures >= 1)
            await asyncio.to_thread(far.start)
            await until_idle(one)
        found = await asyncio.to_thread(far.messages, 90)
    by_number = {message.number: message.json["id"] for message in found}
    assert all(by_number[message.number] == message.json["id"] for message in found)
    # What it had confirmed and not written when it died is lost with it, as docs/export.md says.
    missing = set(range(1, 101)) - by_number.keys()
    assert len(missing) <= 20
    assert set(range(60, 101)) <= by_number.keys()


class _Far:
    """A receiver that reads as much as a test lets it, then hangs up or keeps still."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.setblocking(False)
        self.port = self.listening.getsockname()[1]

    async def accept(self) -> socket.socket:
        """Return the next connection."""
        loop = asyncio.get_running_loop()
        connection, _ = await asyncio.wait_for(loop.sock_accept(self.listening), 30)
        return connection

    @staticmethod
    async def read(connection: socket.socket, size: int) -> bytes:
        """Return so many bytes, or fewer if it ends."""
        loop, data = asyncio.get_running_loop(), b""
        while len(data) < size:
            part = await asyncio.wait_for(loop.sock_recv(connection, size - len(data)), 30)
            if not part:
                break
            data += part
        return data

    @staticmethod
    def reset(connection: socket.socket) -> None:
        """Hang up at once."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


async def _frames(connection: socket.socket, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        head = b""
        while not head.endswith(b" "):
            head += await _Far.read(connection, 1)
        found.append(await _Far.read(connection, int(head)))
    return found


async def test_a_connection_that_is_cut_in_a_message_is_begun_anew(
    trail: ExportTrail, tmp_path: Path
) -> None:
    """All of the delivery is sent again, byte for byte, from the beginning of a message."""
    # More than the two kernels keep between them.
    await trail.events(HOST, [{"detail": "x" * 150_000}] * 5)
    far = _Far()
    chosen = settings(far.port, longest_bytes=1 << 20)
    async with exporting(trail, tmp_path, chosen) as one:
        connection = await far.accept()
        begun = await far.read(connection, 160_000)
        far.reset(connection)
        connection = await far.accept()
        frames = await _frames(connection, 5)
        assert b"".join(b"%d %b" % (len(frame), frame) for frame in frames).startswith(begun)
        await until_idle(one)
        assert one.health().failures == 1
    connection.close()
    far.listening.close()


async def test_a_receiver_that_closes_behind_a_delivery_gets_it_again(
    trail: ExportTrail, tmp_path: Path
) -> None:
    """Its kernel had confirmed it, and it may not have read it."""
    await trail.events(HOST, [{"detail": "x" * 300_000}])
    far = _Far()
    async with exporting(trail, tmp_path, settings(far.port, longest_bytes=1 << 20)):
        connection = await far.accept()
        await far.read(connection, 100)
        connection.close()
        connection = await far.accept()
        (frame,) = await _frames(connection, 1)
        assert len(frame) > 300_000
    connection.close()
    far.listening.close()


async def test_a_receiver_that_reads_nothing_is_left_and_tried_again(
    trail: ExportTrail, tmp_path: Path
) -> None:
    """After the time that it may take; the export's own lag grows, and nobody else waits."""
    await trail.events(HOST, [{"detail": "x" * 9_000}] * 100)
    far = _Far()
    chosen = settings(far.port, batch=100, longest_bytes=1 << 20, timeout_s=0.5)
    async with exporting(trail, tmp_path, chosen) as one:
        connection = await far.accept()
        await until(lambda: "in time" in one.health().trouble)
        await trail.events(HOST, [{}])
        assert one.health().sent == 0
    connection.close()
    far.listening.close()


async def test_a_datagram_to_nobody_is_told_where_this_machine_knows(
    trail: ExportTrail, tmp_path: Path
) -> None:
    """Elsewhere nobody says so, which is what UDP is."""
    await trail.events(HOST, [{}])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with exporting(trail, tmp_path, settings(port, "udp")) as one:
        await until(lambda: "refused" in one.health().trouble)


async def test_a_certificate_of_nobody_we_trust_gets_nothing(
    trail: ExportTrail, tmp_path: Path
) -> None:
    """The records stay here, and the trouble says why."""
    await trail.events(HOST, [{}])
    with rsyslog(tmp_path, "tls") as far:
        async with exporting(trail, tmp_path, settings(far.port, "tls")) as one:
            await until(lambda: "certificate" in one.health().trouble)
        assert far.messages() == []
