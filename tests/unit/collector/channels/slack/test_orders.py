"""Grants and quarantines from Slack, as the collector itself gives them."""

from dataclasses import replace
from typing import Any

import pytest

from collector.channels.slack.for_a_time import choices
from collector.config import Grants
from collector.identity.roles import Role
from collector.orders.words import time_words
from tests.support.orders import PROGRAM
from tests.support.slack_house import House, slack_house
from tests.support.slack_limits import buttons
from tests.support.slack_stand_in import SlackStandIn
from tests.support.wire_host import exec_act, opened, rule
from tests.unit.collector.channels.slack.conftest import Site
from tests.unit.collector.channels.slack.test_quorum import POLICY
from wire.acts import act_digest
from wire.messages import HoldOpened, RuleFacts
from wire.orders import Grant, GrantRevoked, Quarantine, QuarantineLifted

pytestmark = pytest.mark.nats


async def _asking(
    house: House, *, owner: str = "", rule_facts: RuleFacts | None = None
) -> HoldOpened:
    """Open a hold that can be granted."""
    act = exec_act(
        "pg_dump", "all", environment={}, filename="/usr/bin/pg_dump", subject="ai-worker"
    )
    hold = replace(
        opened(house.host.id, act=act, owner=owner, rule_facts=rule_facts),
        digest=act_digest(act),
        program=PROGRAM,
        not_grantable="",
    )
    await house.host.say(hold)
    return hold


async def _for_a_time(slack: SlackStandIn, who: str, card: dict[str, Any], *, life: str) -> None:
    """Approve for one of the times that the window offers, by the first reason of its list."""
    await slack.click(who, card, "holdfast_approve_for")
    view = await slack.view("15 minutes, 5 times")
    chosen = {"holdfast_life": {"holdfast_life_input": {"selected_option": {"value": life}}}}
    await slack.press(who, view | {"state": {"values": chosen}}, "holdfast_because_0")


async def test_a_grant_is_given_listed_and_revoked(house: House, slack: SlackStandIn) -> None:
    """The window, one reason, and the host has a verdict and a grant of what was chosen."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await _asking(house)
    card = await slack.card(hold.hold)
    assert "Approve for a time" in buttons(card["blocks"])
    await _for_a_time(slack, ann, card, life="1")
    assert (await house.host.verdict()).hold == hold.hold
    grant = await house.host.order()
    assert isinstance(grant, Grant)
    assert (grant.uses, grant.session, grant.by, grant.via) == (
        5,
        hold.act.session,
        "ann@example.com",
        "slack",
    )
    await slack.command(ann, "grants")
    assert "0 of 5 used" in await slack.answered(f"{grant.order[:8]} pg_dump all: ai-worker on web")
    await slack.command(ann, f"grants revoke {grant.order[:8]} over")
    await slack.answered("covers nothing from now on")
    ended = await house.host.order()
    assert isinstance(ended, GrantRevoked)
    assert (ended.grant, ended.reason, ended.via) == (grant.order, "over", "slack")
    await slack.command(ann, "grants")
    await slack.answered("No grant is in force")
    await slack.command(ann, "grants drop it")
    await slack.answered("Say which grant to revoke")


async def test_where_the_policy_asks_several_they_may_all_say_for_a_time(
    site: Site, slack: SlackStandIn
) -> None:
    """The card says what the first has said; the grant is the narrower, and names both."""
    policy = site.centre.state / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    with site.centre.config.open("a", encoding="utf-8") as file:
        file.write(f'\n[approvals]\npolicy_file = "{policy}"\n')
    async with slack_house(site.centre, slack, site.bundle) as house:
        ann = await house.link("U0ANN000", "ann@example.com")
        bea = await house.link("U0BEA000", "bea@example.com")
        hold = await _asking(house)
        await _for_a_time(slack, ann, await slack.card(hold.hold), life="3")
        card = await slack.card(hold.hold, "approved for 60 minutes, 20 times by ann@example.com")
        assert "Approve for a time" in buttons(card["blocks"])
        await _for_a_time(slack, bea, card, life="1")
        assert (await house.host.verdict()).hold == hold.hold
        grant = await house.host.order()
        assert isinstance(grant, Grant)
        assert (grant.uses, grant.by) == (5, "ann@example.com, bea@example.com")


async def test_after_somebody_has_approved_once_no_time_is_offered(
    site: Site, slack: SlackStandIn
) -> None:
    """The button would promise what nobody can give any more."""
    policy = site.centre.state / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    with site.centre.config.open("a", encoding="utf-8") as file:
        file.write(f'\n[approvals]\npolicy_file = "{policy}"\n')
    async with slack_house(site.centre, slack, site.bundle) as house:
        ann = await house.link("U0ANN000", "ann@example.com")
        hold = await _asking(house, rule_facts=rule(reason_required=False))
        await slack.click(ann, await slack.card(hold.hold), "holdfast_approve")
        card = await slack.card(hold.hold, "approved by ann@example.com at")
        shown = buttons(card["blocks"])
        assert "Approve once" in shown and "Approve for a time" not in shown


async def test_a_subject_is_put_under_quarantine_and_let_go(
    house: House, slack: SlackStandIn
) -> None:
    """On a host by its name, or everywhere; a reason is needed both times."""
    ann = await house.link("U0ANN000", "ann@example.com")
    await slack.command(ann, "quarantine ai-worker on web-1")
    await slack.answered("asks for a reason")
    await slack.command(ann, "quarantine ai-worker on web-1 it mails <!channel>")
    await slack.answered("ai-worker on web-1 is under quarantine")
    order = await house.host.order()
    assert isinstance(order, Quarantine)
    assert (order.subject, order.everywhere, order.reason, order.via) == (
        "ai-worker",
        False,
        "it mails <!channel>",
        "slack",
    )
    await slack.command(ann, "quarantine")
    await slack.answered(f"{order.quarantine[:8]} ai-worker on web-1, since")
    await slack.command(ann, "quarantine ai-worker on nowhere it may be there")
    await slack.answered("There is no host")
    await slack.command(ann, f"quarantine lift {order.quarantine[:8]} looked at it")
    await slack.answered("ai-worker on web-1 is lifted")
    assert isinstance(await house.host.order(), QuarantineLifted)
    await slack.command(ann, "quarantine ai-worker a drill")
    await slack.answered("ai-worker everywhere is under quarantine")


async def test_who_may_not_decide_orders_nothing(house: House, slack: SlackStandIn) -> None:
    """A viewer and a stranger are refused in words; nobody lifts the quarantine of their own."""
    zoe = slack.add("U0ZOE000", "zoe@example.com")
    await slack.command(zoe, "quarantine ai-worker x")
    await slack.answered("does not know whose Slack account this is")
    vera = await house.link("U0VERA00", "vera@example.com", Role.VIEWER)
    await slack.command(vera, "quarantine ai-worker x")
    await slack.answered("may read but not decide")
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await _asking(house, owner="ann@example.com")
    await slack.card(hold.hold)
    await slack.command(ann, "quarantine ai-worker stop mine")
    await slack.answered("is under quarantine")
    order = await house.host.order()
    assert isinstance(order, Quarantine)
    await slack.command(ann, f"quarantine lift {order.quarantine} let it go")
    await slack.answered("nobody decides their own")
    assert house.desk.extras.orders is not None
    assert house.desk.extras.orders.find_quarantine(order.quarantine).lifted is None


def test_the_choices_keep_to_the_limits() -> None:
    """What may not be given is not offered, and nothing twice."""
    assert [time_words(one.wanted) for one in choices(Grants(longest_minutes=1, most_uses=2))] == [
        "1 minute, once",
        "1 minute, 2 times",
    ]
    assert len(choices(Grants())) == 4
