"""One centre for all tests of a module, with people, hosts, and holds that the centre shows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.collector.conftest import People, follow, populate
from tests.support.centre import centre
from tests.support.node import node_modules
from tests.support.wire_host import WireHost
from wire.messages import HoldOpened


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """Give a centre that this module's tests share."""
    with centre(tmp_path_factory.mktemp("centre")) as running:
        yield populate(running)


@pytest.fixture(scope="session")
def axe() -> Path:
    """Give the script of axe-core."""
    return node_modules(Path(__file__).parent) / "axe-core" / "axe.min.js"


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
