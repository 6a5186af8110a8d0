"""A house for each test, on a nats-server and a trail of its own."""

import shutil
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


@pytest.fixture(scope="session")
def set_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Make a state directory with one host once; each test gets a copy."""
    with centre(tmp_path_factory.mktemp("slack"), start=False) as made:
        yield Site(made, made.enroll("web-1"))


@pytest.fixture
def site(set_up: Site, tmp_path: Path) -> Iterator[Site]:
    """Give what a house stands on."""
    first = set_up.centre
    made = Centre(tmp_path / "centre")
    shutil.copytree(first.directory, made.directory, dirs_exist_ok=True)
    made.nats_port, made.nats_url = first.nats_port, first.nats_url
    settings = made.state / "nats" / "nats.conf"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace(str(first.directory), str(made.directory)), encoding="utf-8")
    made.start_nats()
    try:
        yield Site(made, made.directory / set_up.bundle.name)
    finally:
        made.close()


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
