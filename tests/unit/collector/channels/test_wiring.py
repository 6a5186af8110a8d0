"""Channels as the configuration sets them up, and what is refused at the start."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest

from collector import config
from collector.approvals.book import Book
from collector.approvals.register import Register
from collector.channels.interface import Route
from collector.channels.wiring import FILE, start_channels
from collector.errors import ConfigError
from collector.trail.reader import Reader
from tests.unit.collector.test_config import MINIMAL


def _load(directory: Path, text: str) -> config.Config:
    path = directory / "collector.toml"
    path.write_text(MINIMAL.replace("/srv/", "") + text, encoding="utf-8")
    return config.load(path)


async def test_without_a_section_there_is_nothing_but_the_record(tmp_path: Path) -> None:
    """A collector that was set up before there were channels starts as it did."""
    async with AsyncExitStack() as stack:
        book = Book(Register(), cast("Reader", None))
        dispatcher = start_channels(_load(tmp_path, ""), book, stack)
        assert (await dispatcher.overview()).lanes == ()
    assert (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[channels]\ndefault = ['teams:x']\n", "teams:x has no section"),
        ("[channels]\nfallback = ['pager']\n[teams]\ndirectory='t'\n", "set up: teams"),
        ("[channels]\ndefault = ['']\n", "channels.default: '' is not a route"),
        ("[channels]\ndefault = ['we b:x']\n", "is not a route"),
        ('[channels]\ndefault = ["teams:x\\u001b"]\n', "is not a route"),
        ("[channels]\nfallback = ['#approvals']\n", "channels.fallback"),
        ("[channels]\ntimeout_s = 0\n", "channels.timeout_s must be more than 0"),
        ("[webhook]\ndirectory='w'\ntls_ca = 'missing.pem'\n", "webhook.tls_ca"),
    ],
)
async def test_what_cannot_be_meant_is_refused_at_the_start(
    tmp_path: Path, text: str, part: str
) -> None:
    """With the key and the remedy, not by a card that never comes."""
    with pytest.raises(ConfigError, match=part):
        async with AsyncExitStack() as stack:
            start_channels(_load(tmp_path, text), Book(Register(), cast("Reader", None)), stack)


@pytest.mark.parametrize("text", ["slack:#approvals", "slack:@ann", "teams:a", "webhook", "a:b:c"])
def test_a_route_is_written_as_it_is_read(text: str) -> None:
    """In the configuration, in the log and by the API alike."""
    assert str(Route.parse(text)) == text
