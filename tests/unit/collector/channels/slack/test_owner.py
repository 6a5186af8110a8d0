"""Direct messages to whoever answers for the subject: found, told, and with nothing to decide."""

import asyncio
from pathlib import Path

import pytest

from collector import config
from collector.channels.interface import Route
from collector.channels.slack.door import CHANNEL
from tests.support.slack_house import House, link_account, slack_house
from tests.support.slack_limits import texts
from tests.support.slack_stand_in import APPROVALS, SlackStandIn
from tests.support.wire_host import exec_act
from tests.unit.collector.channels.slack.conftest import Site

pytestmark = pytest.mark.nats

OWN = Route(CHANNEL, "owner")
ROUTES = (Route(CHANNEL, "#approvals"), Route(CHANNEL, "owner"))


async def test_the_owner_gets_a_direct_message_and_no_buttons_to_decide_with(
    site: Site, slack: SlackStandIn
) -> None:
    """Found by address. Nobody decides their own, so another person's card has the buttons."""
    slack.add("U0OLGA00", "olga@example.com")
    async with slack_house(site.centre, slack, site.bundle, routes=ROUTES) as house:
        hold = await house.open(owner="olga@example.com")
        await slack.wait(lambda: len(slack.cards(hold.hold)) == 2)
    own = next(one for one in slack.cards(hold.hold) if one["channel"].startswith("D"))
    other = next(one for one in slack.cards(hold.hold) if one["channel"] == APPROVALS)
    assert "another person decides" in texts(own["blocks"])
    assert "holdfast_approve" not in str(own)
    assert "holdfast_deny" not in str(own)
    assert "holdfast_approve" in str(other)


async def test_an_owner_without_an_address_is_found_by_the_account_they_linked(
    site: Site, slack: SlackStandIn
) -> None:
    """What a person has proved comes before what Slack calls them."""
    async with slack_house(site.centre, slack, site.bundle, routes=ROUTES) as house:
        await house.link("U0OLGA00", "olga")
        hold = await house.open(owner="Olga and somebody-else")
        await slack.wait(lambda: len(slack.cards(hold.hold)) == 2)
    assert "users.lookupByEmail" not in slack.methods


async def test_several_owners_share_one_conversation(site: Site, slack: SlackStandIn) -> None:
    """Each of them sees that the others know."""
    slack.add("U0OLGA00", "olga@example.com")
    slack.add("U0OTTO00", "otto@example.com")
    async with slack_house(site.centre, slack, site.bundle, routes=ROUTES) as house:
        hold = await house.open(owner="olga@example.com, otto@example.com")
        await slack.wait(lambda: len(slack.cards(hold.hold)) == 2)
    opened = [params["users"] for name, params in slack.calls if name == "conversations.open"]
    assert opened == ["U0OLGA00,U0OTTO00"]


async def test_an_owner_whom_slack_does_not_know_is_a_route_that_is_refused(
    site: Site, slack: SlackStandIn
) -> None:
    """The reason is on record, and the channel has its card all the same."""
    async with slack_house(site.centre, slack, site.bundle, routes=ROUTES) as house:
        hold = await house.open(owner="nobody@example.com")
        await slack.card(hold.hold)
        (failed,) = await _failures(house)
    assert failed == "slack:owner"


async def test_the_owner_is_told_though_the_policy_names_channels_of_its_own(
    site: Site, slack: SlackStandIn
) -> None:
    """A policy says who is asked where; who answers for the subject is told all the same."""
    policy = site.centre.state / "policy.yaml"
    policy.write_text(f'policies: [{{id: all, channels: ["slack:{APPROVALS}"]}}]')
    with site.centre.config.open("a", encoding="utf-8") as file:
        file.write(f'\n[approvals]\npolicy_file = "{policy}"\n')
    slack.add("U0OLGA00", "olga@example.com")
    async with slack_house(site.centre, slack, site.bundle, owner=OWN) as house:
        hold = await house.open(owner="olga@example.com")
        await slack.wait(lambda: len(slack.cards(hold.hold)) == 2)
    assert {one["channel"][0] for one in slack.cards(hold.hold)} == {"C", "D"}


async def test_an_owner_who_cannot_be_told_is_no_reason_to_tell_others(
    site: Site, slack: SlackStandIn
) -> None:
    """The failure is on record; the fallback is for requests that nobody sees."""
    slack.channels["C0LASTONE"] = "last"
    last = (Route(CHANNEL, "C0LASTONE"),)
    await link_account(
        Path(config.load(site.centre.config).identities.file), "U0ANN000", "ann@example.com"
    )
    async with slack_house(site.centre, slack, site.bundle, owner=OWN, fallback=last) as house:
        hold = await house.open(owner="the team")
        assert await _failures(house) == ["slack:owner"]
        await house.card(await house.open(owner="", act=exec_act("true")))
        assert [one["channel"] for one in slack.cards(hold.hold)] == [APPROVALS]


async def _failures(house: House) -> list[str]:
    # The record of cards tells nobody of what it stores.
    for _ in range(2000):
        if failed := [str(one.route) for one in await house.desk.cards.failures(9) if one.why]:
            return failed
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was refused")
