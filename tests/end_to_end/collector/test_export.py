"""Exports of a real collector: as a file over the API, and continuously through kill -9."""

import asyncio
import csv
import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.end_to_end.collector.conftest import People, populate
from tests.support.centre import REPOSITORY, Child, centre, free_port
from tests.support.exporting import write_target
from tests.support.mortal_export import NAMES, POINTS
from tests.support.ocsf_schema import faults
from tests.support.receiver import Received, Receiver, receiver
from tests.support.rsyslog import Rsyslog, rsyslog
from tests.support.wire_host import full_row, wire_host

pytestmark = pytest.mark.nats

_CONFIG = """
[webhook]
directory = "hooks"

[[export]]
name = "hook"
kind = "webhook"
to = "siem"
what = ["events"]
start = "beginning"
batch = 7

[[export]]
name = "log"
kind = "syslog"
to = "127.0.0.1:{port}"
transport = "tcp"
format = "ocsf"
what = ["events"]
start = "beginning"
batch = 7
"""


@dataclass
class Exporting:
    """A centre that exports to a webhook and to rsyslog, and what came of it so far."""

    people: People
    far: Rsyslog
    hook_port: int
    sent: int = 0
    posts: list[Received] = field(default_factory=list)

    async def events(self, count: int) -> None:
        """Have the host publish so many events more."""
        async with wire_host(self.people.bundles["web-1"]) as host:
            host.sequence, host.first, host.previous = self._head
            await host.events(*[full_row()] * count)
            self._head = (host.sequence, host.first, host.previous)
        self.sent += count

    _head: tuple[int, int, str] = (0, 1, "0" * 64)

    async def taken(self, hook: Receiver) -> None:
        """Wait until both receivers have the last event."""
        last = f"/{self.sent}"
        async with asyncio.timeout(60):
            while not any(_ids(post)[-1].endswith(last) for post in self.posts):
                self.posts.append(await hook.next())
        await asyncio.to_thread(self.logged)

    def logged(self) -> None:
        """Wait until syslog has the last event; repeats are none of it."""
        count = self.sent
        while max(one.number for one in self.far.messages(count)) < self.sent:
            count += 1


def _ids(post: Received) -> list[str]:
    return [record["id"] for record in post.json["records"]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporting]:
    """One centre for all deaths."""
    directory = tmp_path_factory.mktemp("exporting")
    with centre(directory, start=False) as running, rsyslog(directory, "tcp") as far:
        hooks = running.state / "hooks"
        hooks.mkdir()
        port = free_port()
        write_target(hooks, f"http://127.0.0.1:{port}/hook")
        with running.config.open("a", encoding="utf-8") as file:
            file.write(_CONFIG.format(port=far.port))
        running.start_nats()
        running.start_collector()
        yield Exporting(populate(running), far, port)


@pytest.mark.parametrize("point", POINTS)
async def test_kill_9_at_a_step_of_an_export_loses_and_doubles_nothing(
    site: Exporting, point: str
) -> None:
    """A repeat is the same under the same id, and one delivery at most is repeated."""
    running = site.people.centre
    before = site.sent
    running.stop_collector()
    async with receiver(site.hook_port) as hook:
        await site.events(10)
        command = [sys.executable, "-m", "tests.support.mortal_export", point, str(running.config)]
        dying = Child(command, running.directory / "dying.log")
        await asyncio.to_thread(dying.wait_for, "dying")
        assert dying.stop() == -9
        running.start_collector()
        await site.taken(hook)

    bodies: dict[str, set[bytes]] = {}
    for post in site.posts:
        bodies.setdefault(post.headers["webhook-id"], set()).add(post.body)
    assert all(len(same) == 1 for same in bodies.values())
    found = [record["id"] for (body,) in bodies.values() for record in json.loads(body)["records"]]
    assert len(found) == len(set(found)) == site.sent

    messages = site.far.messages()
    numbered = {message.number: message.json["metadata"]["uid"] for message in messages}
    assert numbered.keys() == set(range(1, site.sent + 1))
    assert len(set(numbered.values())) == site.sent
    assert all(numbered[one.number] == one.json["metadata"]["uid"] for one in messages)
    fresh = [one.number for one in messages if one.number > before]
    # One delivery at most was on its way, whichever export the death was meant for.
    assert len(fresh) <= site.sent - before + 7
    if point == POINTS[0]:
        assert all(faults(one.json) == [] for one in messages)


async def test_how_exports_do_is_told(site: Exporting) -> None:
    """By the API, by the command, by the page of hosts and for Prometheus."""
    people = site.people
    async with people.client(people.viewer) as client:
        found = (await client.get("/exports")).json()["exports"]
        assert [one["name"] for one in found] == list(NAMES)
        assert [one["sent"] for one in found] == [site.sent, site.sent]
        text = (await client.get("/metrics")).text
        assert f'holdfast_export_records_total{{export="hook"}} {site.sent}' in text
    async with people.client() as nobody:
        assert (await nobody.get("/metrics")).status_code == 401
    code, out, _ = await _holdfast(people, "exports")
    assert code == 0 and "syslog" in out and "siem" in out


async def test_an_unreachable_receiver_delays_nobody(site: Exporting) -> None:
    """The trail goes on, the other export goes on, and the lag of this one grows."""
    await site.events(5)  # nobody listens on the port of the webhook
    await asyncio.to_thread(site.logged)
    people = site.people
    rows = await people.ask_until([[site.sent]], "SELECT count(*) FROM events")
    assert rows == [[site.sent]]
    async with people.client(people.viewer) as client:
        for _ in range(400):
            hook = (await client.get("/exports")).json()["exports"][0]
            if hook["trouble"]:
                break
            await asyncio.sleep(0.05)
        assert hook["lag_s"] > 0 and "no connection" in hook["trouble"]
    async with receiver(site.hook_port) as hook_again:
        await site.taken(hook_again)


async def test_every_format_comes_over_the_api(site: Exporting) -> None:
    """Each with every event, once."""
    ids: dict[str, list[str]] = {}
    async with site.people.client(site.people.viewer) as client:
        for made_in in ("jsonl", "ocsf", "ecs", "csv", "parquet"):
            answer = await client.get("/trail/export", params={"format": made_in})
            assert answer.status_code == 200
            ids[made_in] = _read(made_in, answer.content)
    assert len(ids["jsonl"]) == len(set(ids["jsonl"])) == site.sent
    assert all(found == ids["jsonl"] for found in ids.values())


def _read(made_in: str, data: bytes) -> list[str]:
    if made_in == "parquet":
        column: list[str] = pq.read_table(io.BytesIO(data)).column("id").to_pylist()
        return column
    if made_in == "csv":
        return [row["id"] for row in csv.DictReader(io.StringIO(data.decode()))]
    records = [json.loads(line) for line in data.splitlines()]
    if made_in == "ocsf":
        return [record["metadata"]["uid"] for record in records]
    return [record["id"] if "id" in record else record["event"]["id"] for record in records]


async def _holdfast(people: People, *words: str, url: str = "") -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "collector.cli", *words),
        cwd=REPOSITORY,
        env={
            **os.environ,
            "HOLDFAST_URL": url or people.centre.api_url,
            "HOLDFAST_TOKEN": people.viewer,
            "COLUMNS": "200",
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("made_in", ["jsonl", "ocsf", "ecs", "csv"])
async def test_an_export_that_is_cut_off_goes_on_where_it_was(
    site: Exporting, tmp_path: Path, made_in: str
) -> None:
    """The command keeps whole records, and says behind which one to go on."""
    async with site.people.client(site.people.viewer) as client:
        whole = (await client.get("/trail/export", params={"format": made_in})).content
    output = tmp_path / "out"
    words = ("trail", "export", "--format", made_in, "-o", str(output))
    async with _cutting(whole, len(whole) * 2 // 3) as url:
        code, out, err = await _holdfast(site.people, *words, url=url)
    assert (code, out) == (6, "") and "--after events/" in err and not output.exists()
    first = (tmp_path / "out.part").read_bytes()
    assert whole.startswith(first) and len(first) > len(whole) // 2
    after = err.rpartition("--after ")[2].split(";")[0].strip()
    code, _, err = await _holdfast(site.people, *words, "--after", after)
    assert code == 0, err
    rest = output.read_bytes()
    if made_in == "csv":
        rest = rest.partition(b"\n")[2]
    assert first + rest == whole
    assert output.stat().st_mode & 0o777 == 0o600


class _Cutting:
    """An HTTP server that ends its answer too early."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data, self._size = data, size

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        part = self._data[: self._size]
        writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        await writer.drain()
        writer.close()


_cutting = _Cutting


async def test_a_client_that_goes_away_leaves_room_for_others(site: Exporting) -> None:
    """Two run at a time; a third is told so, and what nobody reads any more ends."""
    people = site.people
    for _ in range(5):
        async with (
            people.client(people.viewer) as client,
            client.stream("GET", "/trail/export") as answer,
        ):
            assert answer.status_code == 200
            await anext(answer.aiter_bytes())
    async with people.client(people.viewer) as client:
        for _ in range(100):
            again = await client.get("/trail/export")
            if again.status_code == 200:
                break
            assert again.json()["error"]["code"] == "busy"
            await asyncio.sleep(0.05)
        assert again.status_code == 200
