"""Many requests that wait, and what it takes to answer them all through the API.

The holds are of a host made of wire messages, so no process waits behind them.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import aiohttp

from tests.support.centre import Centre, centre
from tests.support.wire_host import WireHost, exec_act, wire_host
from wire import subjects
from wire.codec import decode_as
from wire.messages import HoldOpened, Verdict

T = TypeVar("T")

# What one browser or script has under way at once.
AT_ONCE = 16
_LISTED = 1000
_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Decided:
    """Nanoseconds from the first answer until: the last verdict is stored, the last reply is there.

    `confirmed` is another time: from the host's first word on what it did until the trail has all.
    """

    stored: float
    answered: float
    confirmed: float


class Crowd:
    """A centre, a host that opens holds, and a reviewer's client."""

    def __init__(self, host: WireHost, client: aiohttp.ClientSession) -> None:
        self._host = host
        self._client = client
        self._confirmed = 0  # in all rounds

    async def decide(self, count: int) -> Decided:
        """Open so many holds, approve them all, and have the host confirm each."""
        assert count <= _LISTED
        before = await self._count("open")
        holds = await _bounded(
            [self._host.open(act=exec_act("curl", str(number))) for number in range(count)]
        )
        await self._until("open", before + count)
        wall, begun = time.time_ns(), time.monotonic_ns()
        await _bounded([self._approve(hold) for hold in holds])
        answered = time.monotonic_ns() - begun
        verdicts, last_ns = await self._verdicts(count)
        return Decided(last_ns - wall, answered, await self._confirm(holds, verdicts))

    async def _approve(self, hold: HoldOpened) -> None:
        body = {"answer": "approve", "reason": "measured", "digest": hold.digest}
        url = f"/api/v1/requests/{hold.hold}/decision"
        async with self._client.post(url, json=body) as response:
            assert response.status == 200, await response.text()
            await response.read()

    async def _verdicts(self, count: int) -> tuple[list[Verdict], int]:
        """Return so many verdicts, and when the server stored the last of them (wall clock)."""
        found: list[Verdict] = []
        last_ns = 0
        reader = await self._host.client.jetstream().pull_subscribe_bind(
            subjects.verdict_consumer(self._host.id), subjects.VERDICTS
        )
        while len(found) < count:
            for message in await reader.fetch(count - len(found), timeout=_WAIT_S):
                found.append(decode_as(message.data, Verdict))
                last_ns = max(last_ns, round(message.metadata.timestamp.timestamp() * 1e6) * 1000)
                await message.ack()
        await reader.unsubscribe()
        return found, last_ns

    async def _confirm(self, holds: Sequence[HoldOpened], verdicts: Sequence[Verdict]) -> float:
        """Have the host say of each what it did; return how long the trail took to have it."""
        of = {hold.hold: hold for hold in holds}
        begun = time.monotonic_ns()
        await _bounded([self._host.obey(of[one.hold], one) for one in verdicts])
        self._confirmed += len(holds)
        text = "SELECT count(*) FROM hold_states WHERE state = 'released'"
        await self._sql_until(text, self._confirmed)
        return time.monotonic_ns() - begun

    async def _count(self, state: str) -> int:
        async with self._client.get(
            "/api/v1/requests", params={"state": state, "limit": str(_LISTED)}
        ) as response:
            return len((await response.json())["requests"])

    async def _until(self, state: str, count: int) -> None:
        end = time.monotonic() + _WAIT_S
        while (found := await self._count(state)) != count:
            assert time.monotonic() < end, f"{found} requests are {state}, not {count}"

    async def _sql_until(self, text: str, count: int) -> None:
        end = time.monotonic() + _WAIT_S
        while True:
            async with self._client.post("/api/v1/trail/query", json={"sql": text}) as response:
                assert response.status == 200, await response.text()
                found = (await response.json())["rows"][0][0]
            if found == count:
                return
            assert time.monotonic() < end, f"the trail has {found}, not {count}"


@asynccontextmanager
async def crowd(place: Path) -> AsyncIterator[Crowd]:
    """Have a centre without channels and a host enrolled there."""
    with centre(place) as made:
        bundle = await asyncio.to_thread(made.enroll, "web-1")
        token = await asyncio.to_thread(made.token, "ann@example.com", "reviewer")
        async with (
            wire_host(bundle) as host,
            aiohttp.ClientSession(made.api_url, headers=Centre.auth(token)) as client,
        ):
            yield Crowd(host, client)


async def _bounded(work: Sequence[Awaitable[T]]) -> list[T]:
    """Do all of it, a few at once, in their order; return what came of each."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(step: Awaitable[T]) -> T:
        async with places:
            return await step

    return await asyncio.gather(*map(one, work))
