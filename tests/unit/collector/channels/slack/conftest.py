"""A house for each test, on one nats-server and one trail for all tests of a module."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.centre import Centre, centre
from tests.support.slack_house import House, slack_house
from tests.support.slack_stand_in import SlackStandIn, slack_stand_in


@dataclass
class Site:
    """A nats-server with an enrolled host, and no collector."""

    centre: Centre
    bundle: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Give what a house stands on."""
    with centre(tmp_path_factory.mktemp("slack"), start=False) as made:
        made.start_nats()
        yield Site(made, made.enroll("web-1"))


@pytest.fixture
async def slack() -> AsyncIterator[SlackStandIn]:
    """Give an empty workspace."""
    async with slack_stand_in() as made:
        yield made


@pytest.fixture
async def house(site: Site, slack: SlackStandIn) -> AsyncIterator[House]:
    """Give a collector that is connected to it."""
    async with slack_house(site.centre, slack, site.bundle) as made:
        yield made
