"""Slack waits three seconds, and a window can be opened for as long: what is slow comes after."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.support.slack_house import House
from tests.support.slack_limits import texts
from tests.support.slack_stand_in import Fault, Json, SlackStandIn
from tests.support.wire_host import rule

pytestmark = pytest.mark.nats

WAIVED = rule(reason_required=False)
Send = Callable[[SlackStandIn, str, Json], Awaitable[str]]

SENDS: dict[str, Send] = {
    "a click": lambda slack, who, card: slack.click(who, card, "holdfast_approve"),
    "details": lambda slack, who, card: slack.click(who, card, "holdfast_details"),
    "a command": lambda slack, who, _: slack.command(who, "pending"),
    "a comment": lambda slack, who, card: slack.say(who, card, "why?"),
}


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS.keys())
async def test_it_is_acknowledged_before_slack_says_who_it_is(
    house: House, slack: SlackStandIn, send: Send
) -> None:
    """Slack answers nothing about the person before it has our acknowledgement."""
    ann = await house.link("U0ANN000", "ann@example.com")
    card = await house.card(await house.open(rule_facts=WAIVED))
    acknowledged = asyncio.Event()
    slack.fail("users.info", Fault(done=True, wait_for=acknowledged))
    # Returns once the envelope is acknowledged, and never if that waits for the person.
    await send(slack, ann, card)
    assert "users.info" not in slack.methods
    acknowledged.set()
    await slack.wait(lambda: "users.info" in slack.methods)


async def test_work_that_was_acknowledged_is_done_afterwards(
    house: House, slack: SlackStandIn
) -> None:
    """The vote counts however long Slack took to say whose it is."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(rule_facts=WAIVED)
    card = await house.card(hold)
    acknowledged = asyncio.Event()
    slack.fail("users.info", Fault(done=True, wait_for=acknowledged))
    await slack.click(ann, card, "holdfast_approve")
    assert not (await house.record(hold)).votes
    acknowledged.set()
    assert (await house.host.verdict()).hold == hold.hold


async def test_a_window_is_open_before_slack_says_who_it_is(
    house: House, slack: SlackStandIn
) -> None:
    """What it takes to know that may take longer than a window waits."""
    ann = await house.link("U0ANN000", "ann@example.com")
    card = await house.card(await house.open())
    opened = asyncio.Event()
    slack.fail("users.info", Fault(done=True, wait_for=opened))
    await slack.click(ann, card, "holdfast_approve")
    await slack.view("Or write your own")
    assert "users.info" not in slack.methods
    opened.set()


@pytest.mark.parametrize("action", ["holdfast_approve", "holdfast_details"])
async def test_whoever_clicks_too_long_ago_for_a_window_is_told_and_clicks_again(
    house: House, slack: SlackStandIn, action: str
) -> None:
    """Slack refuses the window; nothing is decided, and the next click gets one."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open()
    card = await house.card(hold)
    late = slack.click_body(ann, card, action)
    slack.now += 3.1
    await slack.send("interactive", late)
    said = await slack.told(ann, "expired_trigger_id")
    assert "Slack opened no window" in said
    assert "three seconds" in said
    assert not slack.views
    assert not (await house.record(hold)).votes
    await slack.click(ann, card, action)
    window = await slack.view("holdfast" if action == "holdfast_details" else "Or write your own")
    assert texts(window["blocks"])
