"""Who and what is refused in Slack: each in words, and nothing is decided."""

from functools import partial
from typing import Any

import pytest

from collector.approvals.record import RequestState
from collector.channels.slack.blocks import value
from collector.identity.roles import Role
from tests.support.slack_house import BASE_URL, House
from tests.support.slack_limits import texts
from tests.support.slack_stand_in import SlackStandIn, not_ok
from tests.support.wire_host import exec_act, rule, state
from wire.messages import Ground, HoldOpened, HoldStateName

pytestmark = pytest.mark.nats

WAIVED = rule(reason_required=False)


async def _undecided(house: House, hold: HoldOpened) -> bool:
    record = await house.record(hold)
    return record.state is RequestState.OPEN and not record.votes


def _more(slack: SlackStandIn, before: int) -> bool:
    return len(slack.whispers) > before


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"deleted": True}, "deactivated"),
        ({"is_restricted": True}, "guests"),
        ({"is_ultra_restricted": True}, "guests"),
        ({"is_stranger": True}, "another Slack workspace"),
        ({"is_bot": True}, "bots"),
        ({"is_email_confirmed": False}, "not confirmed"),
        ({"is_email_confirmed": None}, "not confirmed"),
        ({"team_id": "T0OTHER0"}, "another workspace"),
        ({"is_restricted": "yes"}, "guests"),
    ],
    ids=str,
)
async def test_an_account_that_is_no_full_member_decides_nothing(
    house: House, slack: SlackStandIn, facts: dict[str, Any], words: str
) -> None:
    """Even one that a reviewer has linked; what Slack says of it now counts."""
    ann = await house.link("U0ANN000", "ann@example.com")
    slack.users[ann] |= facts
    hold = await house.open(rule_facts=WAIVED)
    await slack.click(ann, await slack.card(hold.hold), "holdfast_approve")
    await slack.told(ann, words)
    assert await _undecided(house, hold)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"team": {"id": "T0OTHER0"}}, "another Slack workspace"),
        ({"user": {"id": "U0ANN000", "team_id": "T0OTHER0"}}, "another Slack workspace"),
        ({"api_app_id": "A0OTHER0"}, "another Slack app"),
        ({"api_app_id": None}, "another Slack app"),
    ],
    ids=str,
)
async def test_a_click_from_elsewhere_decides_nothing(
    house: House, slack: SlackStandIn, changes: dict[str, Any], words: str
) -> None:
    """Shared channels bring people of other workspaces, and other apps can copy a button."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(rule_facts=WAIVED)
    await slack.click(ann, await slack.card(hold.hold), "holdfast_approve", **changes)
    await slack.told(ann, words)
    assert await _undecided(house, hold)


async def test_whoever_is_not_linked_gets_their_own_link_and_then_decides(
    house: House, slack: SlackStandIn
) -> None:
    """Nobody is recognised by the address that Slack shows; they sign in once."""
    zoe = slack.add("U0ZOE000", "zoe@example.com")
    hold = await house.open(rule_facts=WAIVED)
    card = await slack.card(hold.hold)
    await slack.click(zoe, card, "holdfast_approve")
    said = await slack.told(zoe, "sign in once")
    assert f"{BASE_URL}/auth/link?code=".lower() in said.lower()
    assert await _undecided(house, hold)
    await house.link(zoe, "zoe@example.com")
    await slack.click(zoe, card, "holdfast_approve")
    assert (await house.host.verdict()).by == "zoe@example.com"


async def test_the_launcher_of_the_session_decides_nothing(
    house: House, slack: SlackStandIn
) -> None:
    """Whichever channel they use; here with a Slack account that is theirs."""
    lena = await house.link("U0LENA00", "lena@example.com", logins=("lena-unix",))
    act = exec_act("curl", login_user="lena-unix")
    hold = await house.open(act=act, rule_facts=WAIVED)
    await slack.click(lena, await slack.card(hold.hold), "holdfast_approve")
    await slack.told(lena, "who is you")
    assert await _undecided(house, hold)


async def test_who_may_not_answer_reads_so_in_the_window(house: House, slack: SlackStandIn) -> None:
    """The window is open before the checks are done; it turns into the refusal."""
    olga = await house.link("U0OLGA00", "olga@example.com")
    hold = await house.open(owner="olga@example.com")
    await slack.click(olga, await slack.card(hold.hold), "holdfast_deny")
    view = await slack.view("answers for the subject that asks")
    assert "submit" not in view
    assert await _undecided(house, hold)


async def test_a_viewer_decides_nothing(house: House, slack: SlackStandIn) -> None:
    """A role that reads is told so."""
    vera = await house.link("U0VERA00", "vera@example.com", Role.VIEWER)
    hold = await house.open(rule_facts=WAIVED)
    await slack.click(vera, await slack.card(hold.hold), "holdfast_approve")
    await slack.told(vera, "may read but not decide")
    assert await _undecided(house, hold)


async def test_the_nonce_of_another_request_decides_neither(
    house: House, slack: SlackStandIn
) -> None:
    """A click decides exactly the request on the card."""
    ann = await house.link("U0ANN000", "ann@example.com")
    one, other = await house.open(rule_facts=WAIVED), await house.open(rule_facts=WAIVED)
    card, theirs = await slack.card(one.hold), await slack.card(other.hold)
    body = slack.click_body(ann, card, "holdfast_approve")
    stolen = slack.click_body(ann, theirs, "holdfast_approve")["actions"][0]["value"]
    for carried in (
        value(one.hold, stolen.split()[1]),  # type: ignore[arg-type]
        value(one.hold, ""),  # type: ignore[arg-type]
        one.hold,
        "",
        " ",
        "' OR 1 '",
    ):
        body["actions"][0]["value"] = carried
        before = len(slack.whispers)
        await slack.send("interactive", body)
        await slack.wait(partial(_more, slack, before))
        assert "has not made this card" in texts(slack.whispers[-1]["blocks"])
    assert await _undecided(house, one)
    assert await _undecided(house, other)


async def test_a_click_on_a_stale_card_is_told_what_has_happened(
    house: House, slack: SlackStandIn
) -> None:
    """The process is gone, and somebody's screen still shows the buttons."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(rule_facts=WAIVED)
    card = await slack.card(hold.hold)
    click = slack.click_body(ann, card, "holdfast_approve")
    await house.host.say(state(hold, 1, HoldStateName.EXPIRED, ground=Ground.TIMEOUT_POLICY))
    card = await slack.card(hold.hold, "expired at")
    await slack.send("interactive", click)
    await slack.told(ann, "Nobody answered in time")
    assert not (await house.record(hold)).votes


async def test_while_slack_does_not_say_who_it_is_nothing_is_decided(
    house: House, slack: SlackStandIn
) -> None:
    """A check that cannot be made is one that fails."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(rule_facts=WAIVED)
    slack.fail("users.info", not_ok("internal_error"))
    await slack.click(ann, await slack.card(hold.hold), "holdfast_approve")
    await slack.told(ann, "Slack does not say who you are")
    assert await _undecided(house, hold)


async def test_an_act_that_does_not_fit_has_no_approve_button_and_no_command_approves_it(
    house: House, slack: SlackStandIn
) -> None:
    """The tail of a long command is where danger hides; the page shows all of it."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(act=exec_act("sh", "-c", "true; " * 4000), rule_facts=WAIVED)
    card = await slack.card(hold.hold, "bytes hidden")
    with pytest.raises(AssertionError, match="no button holdfast_approve"):
        slack.click_body(ann, card, "holdfast_approve")
    assert f"{BASE_URL}/requests/{hold.hold}" in str(card)
    await slack.command(ann, f"approve {hold.hold} looks fine")
    await slack.answered("cannot be approved here")
    assert await _undecided(house, hold)
    await slack.click(ann, card, "holdfast_deny")
    assert (await house.host.verdict()).hold == hold.hold
