"""Bad days of Slack: no card is lost, none is doubled, and none says what is not so."""

import asyncio
from pathlib import Path

import pytest

from tests.support.slack_house import House, slack_house
from tests.support.slack_limits import buttons, texts
from tests.support.slack_stand_in import (
    APPROVALS,
    Fault,
    SlackStandIn,
    not_ok,
    rate_limited,
)
from tests.support.wire_host import exec_act, rule
from tests.unit.collector.channels.slack.conftest import Site
from wire.messages import HoldOpened

pytestmark = pytest.mark.nats

WAIVED = rule(reason_required=False)


@pytest.mark.parametrize(
    "fault",
    [
        rate_limited(0),
        not_ok("internal_error"),
        Fault(status=503, body={"ok": False}),
        Fault(broken=True),
    ],
    ids=["429", "internal_error", "503", "broken off"],
)
async def test_a_card_that_slack_did_not_take_is_posted_again(
    house: House, slack: SlackStandIn, fault: Fault
) -> None:
    """Once it is taken there is one."""
    slack.fail("chat.postMessage", fault)
    hold = await house.open()
    await slack.card(hold.hold)
    assert len(slack.cards(hold.hold)) == 1


@pytest.mark.parametrize(
    "fault",
    [Fault(done=True, broken=True), Fault(done=True, status=500, body={"ok": False})],
    ids=["broken off", "500"],
)
async def test_a_card_whose_acknowledgement_was_lost_is_found_and_not_doubled(
    house: House, slack: SlackStandIn, fault: Fault
) -> None:
    """Slack has the card and we do not know: we look before we post another one."""
    ann = await house.link("U0ANN000", "ann@example.com")
    slack.fail("chat.postMessage", fault)
    hold = await house.open(rule_facts=WAIVED)
    card = await house.card(hold)
    assert len(slack.cards(hold.hold)) == 1
    await slack.click(ann, card, "holdfast_approve")
    assert (await house.host.verdict()).hold == hold.hold


async def test_an_answer_that_comes_too_late_is_a_lost_one(site: Site, slack: SlackStandIn) -> None:
    """The method takes longer than we wait, and does its work all the same."""
    late = asyncio.Event()
    async with slack_house(site.centre, slack, site.bundle, timeout_s=1) as house:
        slack.fail("chat.postMessage", Fault(done=True, wait_for=late))
        hold = await house.open()
        await slack.wait(lambda: "conversations.history" in slack.methods)
        late.set()
        await house.card(hold)
    assert len(slack.cards(hold.hold)) == 1


async def _doubled(house: House, slack: SlackStandIn) -> tuple[HoldOpened, str]:
    """Open a hold whose first post Slack finishes after the second; return that card's time."""
    slack.fail("chat.postMessage", Fault(broken=True))
    hold = await house.open(rule_facts=WAIVED)
    await house.card(hold)
    first = next(params for name, params in slack.calls if name == "chat.postMessage")
    late: str = slack.finish_late("chat.postMessage", first)["ts"]
    assert len(slack.cards(hold.hold)) == 2
    return hold, late


async def test_a_card_that_slack_posts_after_our_look_says_so_with_the_next_change(
    house: House, slack: SlackStandIn
) -> None:
    """It has no buttons any more, and the other one goes on to the end."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold, late = await _doubled(house, slack)
    await slack.click(ann, await house.card(hold), "holdfast_approve")
    verdict = await house.host.verdict()
    await slack.wait(lambda: "posted twice" in texts(slack.messages[f"{APPROVALS}/{late}"]))
    assert not buttons(slack.messages[f"{APPROVALS}/{late}"]["blocks"])
    await house.host.obey(hold, verdict)
    assert (await slack.card(hold.hold, "released at"))["ts"] != late


async def test_a_click_on_the_second_card_counts_and_marks_it(
    site: Site, slack: SlackStandIn, tmp_path: Path
) -> None:
    """Also when the collector has been started anew since, and knows of the other one alone."""
    cards = tmp_path / "cards.sqlite3"
    async with slack_house(site.centre, slack, site.bundle, cards=cards) as house:
        hold, late = await _doubled(house, slack)
    async with slack_house(site.centre, slack, site.bundle, cards=cards) as house:
        ann = await house.link("U0ANN000", "ann@example.com")
        await slack.click(ann, slack.messages[f"{APPROVALS}/{late}"], "holdfast_approve")
        assert (await house.host.verdict()).hold == hold.hold
        await slack.wait(lambda: "posted twice" in texts(slack.messages[f"{APPROVALS}/{late}"]))
        assert (await slack.card(hold.hold, "approved by"))["ts"] != late


async def test_a_post_without_a_timestamp_is_a_failed_post(
    house: House, slack: SlackStandIn
) -> None:
    """It is recorded as such, with a reason, for the next channel to take over."""
    slack.fail("chat.postMessage", Fault(body={"ok": True, "channel": APPROVALS}))
    hold = await house.open()
    for _ in range(2000):
        if failed := [one for one in await house.desk.cards.failures(9) if one.why]:
            break
        await asyncio.sleep(0.01)
    assert str(failed[0].request) == hold.hold
    assert "did not say where it is" in failed[0].why


async def test_a_refusal_names_its_remedy(house: House, slack: SlackStandIn) -> None:
    """`ok: false` comes with HTTP 200, and is a refusal all the same."""
    slack.fail("chat.postMessage", not_ok("not_in_channel"))
    await house.open()
    for _ in range(2000):
        if failed := [one for one in await house.desk.cards.failures(9) if one.why]:
            break
        await asyncio.sleep(0.01)
    assert "invite the app there" in failed[0].why


async def test_a_card_that_cannot_be_changed_gets_a_reply(
    house: House, slack: SlackStandIn
) -> None:
    """Whoever reads the thread sees how it ended."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(rule_facts=WAIVED)
    card = await house.card(hold)
    slack.fail("chat.update", not_ok("edit_window_closed"))
    await slack.click(ann, card, "holdfast_deny")
    reply = await slack.wait(
        lambda: [m for m in slack.messages.values() if m.get("thread_ts") == card["ts"]]
    )
    assert "denied by ann@example.com" in texts(reply[0]["blocks"])


async def test_a_card_that_is_too_long_for_slack_after_all_is_shortened(
    house: House, slack: SlackStandIn
) -> None:
    """How Slack counts is written nowhere."""
    slack.fail("chat.postMessage", not_ok("msg_blocks_too_long"))
    hold = await house.open(act=exec_act("sh", "-c", "a" * 3500))
    card = await slack.card(hold.hold)
    assert "bytes hidden" in texts(card["blocks"])


async def test_a_lost_click_decides_nothing_and_the_card_still_has_its_link(
    house: House, slack: SlackStandIn
) -> None:
    """Socket Mode can lose a click: the next one counts, and so does the page."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(rule_facts=WAIVED)
    card = await house.card(hold)
    slack.click_body(ann, card, "holdfast_approve")  # never sent
    assert f"/requests/{hold.hold}" in str(card["blocks"])
    assert not (await house.record(hold)).votes
    await slack.click(ann, card, "holdfast_approve")
    assert (await house.host.verdict()).hold == hold.hold


async def test_clicks_go_on_after_slack_asks_to_connect_anew(
    house: House, slack: SlackStandIn
) -> None:
    """It does so every few hours."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(rule_facts=WAIVED)
    card = await house.card(hold)
    await slack.refresh()
    await slack.click(ann, card, "holdfast_approve")
    assert (await house.host.verdict()).hold == hold.hold


async def test_a_restarted_collector_changes_the_card_that_was_posted_before(
    site: Site, slack: SlackStandIn, tmp_path: Path
) -> None:
    """And a click on it counts, since its nonce is on record."""
    cards = tmp_path / "cards.sqlite3"
    async with slack_house(site.centre, slack, site.bundle, cards=cards) as house:
        ann = await house.link("U0ANN000", "ann@example.com")
        hold = await house.open(rule_facts=WAIVED)
        card = await house.card(hold)
    async with slack_house(site.centre, slack, site.bundle, cards=cards) as house:
        await slack.click(ann, card, "holdfast_approve")
        await house.host.obey(hold, await house.host.verdict())
        await slack.card(hold.hold, "released at")
    assert len(slack.cards(hold.hold)) == 1
