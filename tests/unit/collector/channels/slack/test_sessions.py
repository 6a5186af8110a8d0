"""A session at its limit in Slack: one card, and one button that denies all that waits of it."""

import asyncio
from dataclasses import replace

import pytest

from collector.identity.roles import Role
from collector.reasons import FOR_DENIAL
from tests.support.slack_house import House
from tests.support.slack_limits import buttons, texts
from tests.support.slack_stand_in import Json, SlackStandIn
from tests.support.wire_host import exec_act, state
from wire.messages import Answer, HoldOpened, HoldStateName

pytestmark = pytest.mark.nats

PRESSED = "holdfast_deny_all"


async def capped(house: House, denied: int = 25) -> list[HoldOpened]:
    """Open three holds of one session, and have the host say that it is at its limit."""
    holds = [await house.open(act=exec_act("dd", f"of={number}")) for number in range(3)]
    for hold in holds:
        await tell(house, holds, hold, 1, denied)
    return holds


async def tell(
    house: House, holds: list[HoldOpened], hold: HoldOpened, sequence: int, denied: int
) -> None:
    """Say of a hold how many acts of its session were denied."""
    said = state(hold, sequence, HoldStateName.HELD, detail="3 requests wait")
    await house.host.say(replace(said, capped=holds[0].hold, denied_beyond=denied))


async def summary(slack: SlackStandIn, holds: list[HoldOpened], has: str = "") -> Json:
    """Return the card of the session once it says this."""
    return await slack.card(f"session-{holds[0].hold}", has)


async def test_one_button_denies_all_that_waits_and_the_card_ends_with_it(
    house: House, slack: SlackStandIn
) -> None:
    """Each request gets its own verdict, with the reason; the host's word ends the summary."""
    ann = await house.link("U0ANN000", "ann@example.com")
    holds = await capped(house)
    card = await summary(slack, holds, "3 acts wait; 25 further acts denied")
    assert list(buttons(card["blocks"])) == [
        "Deny all of this session",
        "Open the page",
        "Quarantine",
    ]
    assert "subject=ai-worker&host=web-1" in str(card["blocks"])
    await slack.click(ann, card, PRESSED)
    view = await slack.view(FOR_DENIAL[0])
    await slack.press(ann, view, "holdfast_because_0")
    verdicts = [await house.host.verdict() for _ in holds]
    assert {one.hold for one in verdicts} == {one.hold for one in holds}
    assert {one.digest for one in verdicts} == {one.digest for one in holds}
    assert {(one.answer, one.by, one.via, one.reason) for one in verdicts} == {
        (Answer.DENY, "ann@example.com", "slack", FOR_DENIAL[0])
    }
    await slack.view("3 of 3 requests are denied")
    card = await summary(slack, holds, "over: nothing of it waits")
    assert "⚪" in texts(card["blocks"])
    assert "Deny all of this session" not in buttons(card["blocks"])
    assert len(slack.cards(f"session-{holds[0].hold}")) == 1, "the one card was changed"


async def test_the_count_on_the_card_grows(house: House, slack: SlackStandIn) -> None:
    """No further card is posted for it."""
    holds = await capped(house, 1)
    await summary(slack, holds, "1 further act denied")
    for hold in holds:
        await tell(house, holds, hold, 2, 4000)
    await summary(slack, holds, "4000 further acts denied")
    assert len(slack.cards(f"session-{holds[0].hold}")) == 1


async def test_whoever_may_not_decide_denies_nothing(house: House, slack: SlackStandIn) -> None:
    """A role that only reads is told so; what waits goes on waiting."""
    viv = await house.link("U0VIV000", "viv@example.com", Role.VIEWER)
    holds = await capped(house)
    await slack.click(viv, await summary(slack, holds), PRESSED)
    view = await slack.view("may read but not decide")
    assert "submit" not in view
    assert {(await house.record(hold)).state.value for hold in holds} == {"open"}


async def test_who_answers_for_the_subject_denies_none_of_it_in_this_way(
    house: House, slack: SlackStandIn
) -> None:
    """Each denial goes through the same checks as one by itself, and each refusal is counted."""
    owner = await house.link("U0OWN000", "team-ai@example.com")
    holds = await capped(house)
    await slack.click(owner, await summary(slack, holds), PRESSED)
    await slack.press(owner, await slack.view(FOR_DENIAL[0]), "holdfast_because_0")
    await slack.view("0 of 3 requests are denied")
    assert {(await house.record(hold)).state.value for hold in holds} == {"open"}


@pytest.mark.parametrize("action", ["holdfast_approve", "holdfast_approve_for", "holdfast_deny"])
async def test_no_other_button_does_anything_with_the_summary(
    house: House, slack: SlackStandIn, action: str
) -> None:
    """Whoever forges a click with its nonce approves nothing, and denies nothing unasked."""
    ann = await house.link("U0ANN000", "ann@example.com")
    holds = await capped(house)
    card = await summary(slack, holds)
    forged = slack.click_body(ann, card, PRESSED)
    forged["actions"][0]["action_id"] = action
    await slack.send("interactive", forged)
    await slack.told(ann, "has not made this card")
    assert {(await house.record(hold)).state.value for hold in holds} == {"open"}


async def test_a_forged_window_approves_nothing(house: House, slack: SlackStandIn) -> None:
    """What a window is about may say approve: there is no such answer for a session."""
    ann = await house.link("U0ANN000", "ann@example.com")
    holds = await capped(house)
    await slack.click(ann, await summary(slack, holds), PRESSED)
    view = await slack.view(FOR_DENIAL[0])
    view["private_metadata"] = view["private_metadata"].replace("deny", "approve")
    await slack.press(ann, view, "holdfast_because_0")
    await slack.view("not approved as a whole")
    assert {(await house.record(hold)).state.value for hold in holds} == {"open"}
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(house.host.verdict(), 0.5)


async def test_pending_lists_the_session_too(house: House, slack: SlackStandIn) -> None:
    """`/holdfast pending` says that it is at its limit."""
    ann = await house.link("U0ANN000", "ann@example.com")
    holds = await capped(house)
    await summary(slack, holds)
    await slack.command(ann, "pending")
    await slack.answered("25 further acts denied without asking")
