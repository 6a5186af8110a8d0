"""An answer in Slack names the card on which it was given, whatever the card is by now."""

import json
from pathlib import Path

import pytest

from collector.approvals.record import Record
from collector.channels.interface import Route
from collector.channels.slack.blocks import Carried
from collector.channels.slack.door import CHANNEL
from collector.channels.slack.elements import METADATA_LIMIT, VALUE_LIMIT
from collector.reasons import FOR_APPROVAL, FOR_DENIAL
from collector.shown.content import content_of, digest_of
from tests.support.slack_house import House, slack_house
from tests.support.slack_limits import texts
from tests.support.slack_stand_in import Json, SlackStandIn
from tests.support.wire_host import exec_act, rule, state
from tests.unit.collector.channels.slack.conftest import Site
from tests.unit.collector.channels.slack.test_sessions import PRESSED, capped, summary
from wire.ids import RequestId
from wire.messages import HoldOpened, HoldStateName, Vote

pytestmark = pytest.mark.nats

WAIVED = rule(reason_required=False)
NOTED = "its parent is gone"


def carried(card: Json, action: str) -> Carried:
    """Return what a button of a card carries."""
    (value,) = (
        element["value"]
        for block in card["blocks"]
        for element in block.get("elements", [])
        if element.get("action_id") == action
    )
    assert len(value) < VALUE_LIMIT
    return Carried.parse(value)


async def voted(house: House, hold: HoldOpened) -> Vote:
    """Return the one vote on a request."""
    record = await house.until(hold, lambda one: one.votes)
    (vote,) = record.votes
    return vote


async def test_a_click_names_the_card_that_the_button_is_on(
    house: House, slack: SlackStandIn
) -> None:
    """Its content is what the card says; the digest stands at the foot of it."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(act=exec_act("id"), rule_facts=WAIVED)
    card = await slack.card(hold.hold)
    shown = carried(card, "holdfast_approve")
    assert f"Card {shown.card}" in texts(card["blocks"])
    await slack.click(ann, card, "holdfast_approve")
    vote = await voted(house, hold)
    assert vote.card == shown.card
    made = house.desk.notices.make(Record(hold), Route(CHANNEL), "").card
    assert digest_of(content_of(made)) == vote.card
    for fact in made.facts:
        assert f"{fact.label}: {fact.text}" in texts(card["blocks"])


@pytest.mark.parametrize("asks_why", [False, True])
async def test_a_card_that_changes_before_the_click_is_not_the_one_that_was_answered(
    house: House, slack: SlackStandIn, asks_why: bool
) -> None:
    """Slack may show the old one for a while, and a window stays open for long."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(act=exec_act("id"), rule_facts=rule(reason_required=asks_why))
    card = json.loads(json.dumps(await slack.card(hold.hold)))
    if asks_why:
        await slack.click(ann, card, "holdfast_deny")
        view = await slack.view(FOR_DENIAL[0])
        assert len(view["private_metadata"]) < METADATA_LIMIT
    await house.host.say(state(hold, 1, HoldStateName.HELD, detail=NOTED))
    newer = await slack.card(hold.hold, NOTED)
    assert carried(newer, "holdfast_deny") != carried(card, "holdfast_deny")
    if asks_why:
        await slack.press(ann, view, "holdfast_because_0")
    else:
        await slack.click(ann, card, "holdfast_deny")
    vote = await voted(house, hold)
    assert vote.card == carried(card, "holdfast_deny").card


async def test_a_card_that_was_posted_before_a_restart_is_known_after_it(
    site: Site, slack: SlackStandIn, tmp_path: Path
) -> None:
    """Also if it would be another one by now."""
    cards = tmp_path / "cards.sqlite3"
    async with slack_house(site.centre, slack, site.bundle, cards=cards) as house:
        ann = await house.link("U0ANN000", "ann@example.com")
        hold = await house.open(act=exec_act("id"), rule_facts=WAIVED)
        await house.card(hold)
        card = json.loads(json.dumps(await slack.card(hold.hold)))
        await house.host.say(state(hold, 1, HoldStateName.HELD, detail=NOTED))
        await slack.card(hold.hold, NOTED)
    async with slack_house(site.centre, slack, site.bundle, cards=cards) as house:
        await slack.click(ann, card, "holdfast_deny")
        vote = await voted(house, hold)
    assert vote.card == carried(card, "holdfast_deny").card


async def test_a_button_of_an_earlier_release_still_works(
    house: House, slack: SlackStandIn
) -> None:
    """It names no card, and the vote says that none is known."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(act=exec_act("psql"))
    body = slack.click_body(ann, await slack.card(hold.hold), "holdfast_approve")
    body["actions"][0]["value"] = body["actions"][0]["value"].rpartition(" ")[0]
    await slack.send("interactive", body)
    await slack.press(ann, await slack.view(FOR_APPROVAL[0]), "holdfast_because_0")
    assert (await voted(house, hold)).card == ""


async def test_a_made_up_card_decides_nothing(house: House, slack: SlackStandIn) -> None:
    """Whoever clicks is told to look again."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(act=exec_act("id"), rule_facts=WAIVED)
    body = slack.click_body(ann, await slack.card(hold.hold), "holdfast_approve")
    body["actions"][0]["value"] = body["actions"][0]["value"][:-64] + "0" * 64
    await slack.send("interactive", body)
    await slack.told(ann, "a card that was not shown of this request")
    assert (await house.record(hold)).votes == ()


async def test_to_deny_a_session_is_an_answer_to_its_summary(
    house: House, slack: SlackStandIn
) -> None:
    """Which was before the person; the cards of the requests need not have been."""
    ann = await house.link("U0ANN000", "ann@example.com")
    holds = await capped(house)
    card = await summary(slack, holds, "3 acts wait; 25 further acts denied")
    await slack.click(ann, card, PRESSED)
    await slack.press(ann, await slack.view(FOR_DENIAL[0]), "holdfast_because_0")
    for hold in holds:
        assert (await voted(house, hold)).card == carried(card, PRESSED).card


def test_what_a_button_carries_is_read_as_it_was_written() -> None:
    """With a digest, without one, and with anything else."""
    whole = Carried.parse(f"{'1' * 32} {'n' * 24} {'d' * 64}")
    assert Carried.parse(str(whole)) == whole
    assert Carried.parse("r n") == Carried(RequestId("r"), "n", "")
    assert Carried.parse("") == Carried(RequestId(""), "", "")
