"""From a card in Slack to the signed verdict on the host, and what whoever clicks is told."""

import asyncio
import json

import pytest

from collector.approvals.record import RequestState
from collector.reasons import FOR_APPROVAL, FOR_DENIAL
from tests.support.slack_house import House
from tests.support.slack_limits import buttons, texts
from tests.support.slack_stand_in import SlackStandIn
from tests.support.wire_host import exec_act, rule
from wire.messages import Answer

pytestmark = pytest.mark.nats

WAIVED = rule(reason_required=False)


async def test_a_reason_by_one_click_approves_and_the_card_turns_green_on_the_hosts_word(
    house: House, slack: SlackStandIn
) -> None:
    """Approve once, a reason of the short list, the verdict, and the confirmation."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(act=exec_act("psql", "-c", "copy t to stdout"))
    card = await slack.card(hold.hold)
    assert "🟡" in texts(card["blocks"])
    assert list(buttons(card["blocks"])) == [
        "Approve once",
        "Deny",
        "Details",
        "Open the page",
    ]
    await slack.click(ann, card, "holdfast_approve")
    view = await slack.view(FOR_APPROVAL[0])
    await slack.press(ann, view, "holdfast_because_0")
    verdict = await house.host.verdict()
    assert (verdict.hold, verdict.answer) == (hold.hold, Answer.APPROVE)
    assert (verdict.by, verdict.via, verdict.reason) == (
        "ann@example.com",
        "slack",
        FOR_APPROVAL[0],
    )
    assert verdict.digest == hold.digest
    await slack.view("You have approved it")
    card = await slack.card(hold.hold, "waiting for the host to confirm")
    assert "🟢" not in texts(card["blocks"]), "green only when the host confirms"
    assert "Approve once" not in buttons(card["blocks"])
    await house.host.obey(hold, verdict)
    card = await slack.card(hold.hold, "released at")
    assert "🟢" in texts(card["blocks"])
    assert len(slack.cards(hold.hold)) == 1, "the one card was changed"


async def test_a_typed_reason_denies(house: House, slack: SlackStandIn) -> None:
    """The window takes any words, and the card turns red on the host's word."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open()
    await slack.click(ann, await slack.card(hold.hold), "holdfast_deny")
    view = await slack.view(FOR_DENIAL[0])
    values = {"holdfast_text": {"holdfast_text_input": {"value": " never <!channel> "}}}
    await slack.submit(ann, view, values)
    verdict = await house.host.verdict()
    assert (verdict.answer, verdict.reason) == (Answer.DENY, "never <!channel>")
    await slack.view("You have denied it")
    await house.host.obey(hold, verdict)
    card = await slack.card(hold.hold, "killed at")
    assert "🔴" in texts(card["blocks"])


async def test_an_empty_reason_is_asked_for_again(house: House, slack: SlackStandIn) -> None:
    """The window stays open and says what is missing."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open()
    await slack.click(ann, await slack.card(hold.hold), "holdfast_deny")
    view = await slack.view(FOR_DENIAL[0])
    values = {"holdfast_text": {"holdfast_text_input": {"value": "  "}}}
    envelope = await slack.submit(ann, view, values)
    assert slack.acknowledged[envelope]["response_action"] == "errors"
    assert (await house.record(hold)).state is RequestState.OPEN


async def test_one_click_decides_where_no_reason_is_needed(
    house: House, slack: SlackStandIn
) -> None:
    """No window opens; the word comes for the clicker alone."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(rule_facts=WAIVED)
    await slack.click(ann, await slack.card(hold.hold), "holdfast_approve")
    assert (await house.host.verdict()).hold == hold.hold
    await slack.told(ann, "You have approved it")
    assert "views.open" not in slack.methods


async def test_two_people_click_at_the_same_moment_and_one_is_told_who_was_first(
    house: House, slack: SlackStandIn
) -> None:
    """One decision; the other person reads who, what and when instead of an error."""
    ann = await house.link("U0ANN000", "ann@example.com")
    bea = await house.link("U0BEA000", "bea@example.com")
    hold = await house.open(rule_facts=WAIVED)
    card = await slack.card(hold.hold)
    await asyncio.gather(
        slack.click(ann, card, "holdfast_approve"), slack.click(bea, card, "holdfast_deny")
    )
    await slack.wait(lambda: len(slack.whispers) == 2)
    record = await house.record(hold)
    assert record.decision is not None
    first, other = (ann, bea) if record.decision.by == "ann@example.com" else (bea, ann)
    verb = "approved" if first == ann else "denied"
    await slack.told(first, f"You have {verb} it")
    await slack.told(other, f"Already {verb} by {record.decision.by} at ")


async def test_a_click_that_comes_twice_counts_once(house: House, slack: SlackStandIn) -> None:
    """Slack sends some clicks again; so do people."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(rule_facts=WAIVED)
    card = await slack.card(hold.hold)
    body = slack.click_body(ann, card, "holdfast_deny")
    await slack.send("interactive", body)
    await slack.told(ann, "You have denied it")
    await slack.send("interactive", body)
    await slack.told(ann, "Already denied by you at ")
    assert len((await house.record(hold)).votes) == 1


async def test_details_show_everything_that_fits_and_the_comments(
    house: House, slack: SlackStandIn
) -> None:
    """Whoever is linked may read on, without leaving Slack."""
    vera = await house.link("U0VERA00", "vera@example.com")
    hold = await house.open()
    card = await house.card(hold)
    await slack.say(vera, card, "is that the nightly job?")
    await house.until(hold, lambda record: record.comments)
    await slack.click(vera, card, "holdfast_details")
    view = await slack.view("is that the nightly job?")
    assert "vera@example.com at " in json.dumps(view)
    assert not {"Approve once", "Deny"} & set(buttons(view["blocks"]))


async def test_a_window_that_slack_does_not_open_is_told_of_and_nothing_is_decided(
    house: House, slack: SlackStandIn
) -> None:
    """A trigger lives for three seconds."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open()
    card = await slack.card(hold.hold)
    await slack.click(ann, card, "holdfast_approve", trigger_id="old")
    await slack.told(ann, "expired_trigger_id")
    assert (await house.record(hold)).state is RequestState.OPEN
