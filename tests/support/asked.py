"""Requests for tests of what people see: held, shown by the centre, and answered by others."""

from typing import Any

from tests.end_to_end.collector.conftest import People, follow
from tests.support.wire_host import WireHost
from wire.messages import HoldOpened


async def waiting(people: People, host: WireHost, **options: Any) -> HoldOpened:
    """Open a hold and wait until the centre shows it."""
    async with people.client(people.viewer) as client, follow(client) as stream:
        await stream.ready()
        hold = await host.open(**options)
        await stream.until(hold.hold, state="open")
    return hold


async def answered(people: People, token: str, hold: HoldOpened, **answer: str) -> None:
    """Answer a request through the API, as somebody else does meanwhile."""
    async with people.client(token) as client:
        done = await client.post(f"/requests/{hold.hold}/decision", json=answer)
        assert done.status_code == 200, done.text
