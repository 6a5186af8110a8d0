"""The collector cannot use its files: whoever clicks or writes in Slack is told so, in words."""

import sqlite3
from typing import Any

import pytest

from collector.errors import TrailError
from tests.support.slack_house import House
from tests.support.slack_limits import texts
from tests.support.slack_stand_in import SlackStandIn
from tests.support.wire_host import rule
from tests.unit.collector.channels.slack.test_sessions import capped, summary

pytestmark = pytest.mark.nats

WORDS = "cannot use its files"
WAIVED = rule(reason_required=False)


def _damage(house: House) -> None:
    """Take the table of linked accounts away, as a damaged disk does."""
    with sqlite3.connect(house.identities) as database:
        tables = [
            name
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if "link" in name or "account" in name
        ]
        assert tables
        for name in tables:
            database.execute(f"DROP TABLE {name}")


async def test_a_click_is_answered(house: House, slack: SlackStandIn) -> None:
    """With one sentence, and nothing is decided."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(rule_facts=WAIVED)
    card = await house.card(hold)
    _damage(house)
    await slack.click(ann, card, "holdfast_approve")
    await slack.told(ann, WORDS)
    assert not (await house.record(hold)).votes


@pytest.mark.parametrize("action", ["holdfast_approve", "holdfast_details"])
async def test_a_window_that_is_open_says_so(
    house: House, slack: SlackStandIn, action: str
) -> None:
    """It does not stay at "One moment", nor at a question whose answer would count for nothing."""
    ann = await house.link("U0ANN000", "ann@example.com")
    card = await house.card(await house.open())
    _damage(house)
    await slack.click(ann, card, action)
    await slack.view(WORDS)


async def test_a_window_that_was_open_before_says_so(house: House, slack: SlackStandIn) -> None:
    """Whoever has typed a reason reads that it may not have counted."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open()
    await slack.click(ann, await house.card(hold), "holdfast_deny")
    view = await slack.view("Or write your own")
    _damage(house)
    await slack.submit(ann, view, {"holdfast_text": {"holdfast_text_input": {"value": "no"}}})
    await slack.view(WORDS)
    assert not (await house.record(hold)).votes


async def test_a_comment_that_is_not_kept_is_said_not_to_be(
    house: House, slack: SlackStandIn
) -> None:
    """Also where the trail cannot be read, and not only the accounts."""
    ann = await house.link("U0ANN000", "ann@example.com")
    card = await house.card(await house.open())
    _damage(house)
    await slack.say(ann, card, "why?")
    assert "not kept" in await slack.told(ann, WORDS)


async def test_a_trail_that_cannot_be_read_is_told_as_well(
    house: House, slack: SlackStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A click, a comment, and what denies a whole session."""
    ann = await house.link("U0ANN000", "ann@example.com")
    bea = await house.link("U0BEA000", "bea@example.com")
    holds = await capped(house)
    whole = await summary(slack, holds)
    card = await house.card(holds[0])

    async def broken(*_: object) -> Any:
        raise TrailError("trail.duckdb: cannot be read")

    monkeypatch.setattr(house.book, "get", broken)
    await slack.click(ann, card, "holdfast_approve")
    await slack.told(ann, WORDS)
    await slack.say(bea, card, "why?")
    assert "not kept" in await slack.told(bea, WORDS)
    before = len(slack.whispers)
    await slack.click(ann, whole, "holdfast_deny_all")
    await slack.wait(lambda: len(slack.whispers) > before)
    assert WORDS in texts(slack.whispers[-1]["blocks"])


async def test_a_comment_below_the_summary_of_a_session_is_said_to_belong_elsewhere(
    house: House, slack: SlackStandIn
) -> None:
    """It would vanish, and its writer think that everybody reads it."""
    ann = await house.link("U0ANN000", "ann@example.com")
    whole = await summary(slack, await capped(house))
    await slack.say(ann, whole, "what is this?")
    assert "below the card of one of its requests" in await slack.told(ann, "not kept")
