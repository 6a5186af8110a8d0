"""The card that asks nothing: seen by whoever sets up a channel, or one error that says why not."""

from pathlib import Path

import pytest

from collector import config
from collector.channels.trial import try_route
from collector.errors import ConfigError
from tests.support.receiver import receiver
from tests.unit.collector.test_config import MINIMAL

SETTINGS = "[teams]\ndirectory = '.'\n[web]\npublic_url = 'https://holdfast.example.com'\n"


def _load(directory: Path, settings: str = SETTINGS) -> config.Config:
    path = directory / "collector.toml"
    path.write_text(MINIMAL + settings, encoding="utf-8")
    return config.load(path)


async def test_a_test_card_arrives_and_nobody_takes_it_for_a_request(tmp_path: Path) -> None:
    """Through the very channel that requests will take."""
    async with receiver() as far:
        (tmp_path / "approvals.url").touch(0o600)
        (tmp_path / "approvals.url").write_text(far.url)
        await try_route(_load(tmp_path), "teams:approvals")
        text = (await far.next()).body.decode()
    assert "A test of this channel: nothing waits" in text
    assert "https://holdfast.example.com/requests/" in text
    assert "Holdfast asks" not in text


@pytest.mark.parametrize(
    ("route", "settings", "part"),
    [
        ("teams:approvals", SETTINGS, "approvals.url: cannot be read"),
        ("webhook:siem", SETTINGS, "no channel 'webhook' is set up; those that are: teams"),
        ("teams:approvals", "", "those that are: none"),
        ("#approvals", SETTINGS, "is not a route"),
    ],
)
async def test_what_is_missing_is_named(
    tmp_path: Path, route: str, settings: str, part: str
) -> None:
    """A newcomer sees what to do next."""
    with pytest.raises(ConfigError, match=part):
        await try_route(_load(tmp_path, settings), route)


async def test_a_refusal_is_told_in_the_words_of_the_other_side(tmp_path: Path) -> None:
    """And is not tried again: a person is there to look."""
    async with receiver() as far:
        far.script(404)
        (tmp_path / "approvals.url").touch(0o600)
        (tmp_path / "approvals.url").write_text(far.url)
        with pytest.raises(ConfigError, match="teams:approvals: answered 404"):
            await try_route(_load(tmp_path), "teams:approvals")
        assert far.count == 1
