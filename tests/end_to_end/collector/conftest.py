"""One centre for all tests of a module, with people, two hosts and a client."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.cli.events import read_events
from tests.support.centre import Centre, centre
from tests.support.wire_host import WireHost, wire_host

WAIT_S = 20


@dataclass
class People:
    """A running centre, with a token for each role and two enrolled hosts."""

    centre: Centre
    viewer: str
    reviewer: str
    admin: str
    bundles: dict[str, Path]

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        """Return a client of the API that carries a token."""
        headers = Centre.auth(token) if token else {}
        return httpx.AsyncClient(
            base_url=f"{self.centre.api_url}/api/v1", headers=headers, timeout=WAIT_S
        )

    async def ask(self, sql: str, *texts: str) -> list[list[Any]]:
        """Return the rows of a SELECT; each ? in it stands for one of `texts`."""
        for text in texts:
            sql = sql.replace("?", "'" + text.replace("'", "''") + "'", 1)
        async with self.client(self.viewer) as client:
            answer = await client.post("/trail/query", json={"sql": sql, "limit": 10_000})
        assert answer.status_code == 200, answer.text
        rows: list[list[Any]] = answer.json()["rows"]
        return rows

    async def ask_until(self, wanted: list[list[Any]], sql: str, *texts: str) -> list[list[Any]]:
        """Ask until the answer is `wanted`: events give no other sign that they were taken in."""
        for _ in range(400):
            if (rows := await self.ask(sql, *texts)) == wanted:
                break
            await asyncio.sleep(0.05)
        return rows

    @asynccontextmanager
    async def host(self, name: str = "web-1") -> AsyncIterator[WireHost]:
        """Connect as one of the hosts."""
        async with wire_host(self.bundles[name]) as host:
            yield host


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """Give a centre that this module's tests share."""
    with centre(tmp_path_factory.mktemp("centre")) as running:
        yield populate(running)


def populate(running: Centre) -> People:
    """Make people and hosts."""
    return People(
        centre=running,
        viewer=running.token("vera@example.com", "viewer"),
        reviewer=running.token("ann@example.com", "reviewer", logins=["ann-unix"]),
        admin=running.token("root@example.com", "admin"),
        bundles={name: running.enroll(name) for name in ("web-1", "db-1")},
    )


class Stream:
    """The stream of requests, as a client sees it."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    async def event(self) -> tuple[str, dict[str, Any]]:
        """Return the next event: its name and data."""
        while True:
            while b"\n\n" not in self._rest:
                self._rest += await asyncio.wait_for(anext(self._chunks), WAIT_S)
            one, end, self._rest = self._rest.partition(b"\n\n")
            for event in read_events([one + end]):
                return event.name, event.data

    async def until(self, request: str, **wanted: object) -> dict[str, Any]:
        """Return the first event of this request in which these keys have these values."""
        while True:
            name, data = await self.event()
            same = name == "request" and data["request"] == request
            if same and all(data[key] == value for key, value in wanted.items()):
                return data

    async def ready(self) -> list[str]:
        """Read up to the event `ready`; return the requests before it."""
        before = []
        while (event := await self.event())[0] != "ready":
            before.append(str(event[1]["request"]))
        return before


@asynccontextmanager
async def follow(client: httpx.AsyncClient) -> AsyncIterator[Stream]:
    """Follow requests from now on; everything after this is seen."""
    async with client.stream("GET", "/requests/stream") as response:
        assert response.status_code == 200, await response.aread()
        stream = Stream(response.aiter_bytes())
        yield stream
