"""Who was passed over by break-glass hears of it in Slack: so that it notifies, and once."""

import time
from pathlib import Path

import pytest

from collector import config
from collector.identity.people import Caller
from collector.identity.roles import Role
from tests.support.slack_house import House, link_account, slack_house
from tests.support.slack_limits import buttons, texts
from tests.support.slack_stand_in import APPROVALS, Fault, Json, SlackStandIn, rate_limited
from tests.unit.collector.channels.slack.conftest import Site
from wire.messages import HoldOpened

pytestmark = pytest.mark.nats

LEADS = "C0LEADS00"
POLICY = f"""\
policies:
  - id: two-groups
    approve: [{{group: dba}}, {{group: security}}]
    escalate: [{{after: 7d, groups: [leads], channels: ["slack:{LEADS}"]}}]
    channels: ["slack:{APPROVALS}"]
    break_glass: [incident]
"""
IDA = Caller(
    name="ida@example.com",
    role=Role.REVIEWER,
    logins=(),
    token="web",  # noqa: S106
    groups=("incident",),
    signed_in=True,
    authenticated_ns=time.time_ns(),
)


@pytest.fixture
async def policed(site: Site, slack: SlackStandIn) -> Site:
    """A site whose policy asks two groups, with a channel for those whom escalation lets in."""
    policy = site.centre.state / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    with site.centre.config.open("a", encoding="utf-8") as file:
        file.write(f'\n[approvals]\npolicy_file = "{policy}"\n')
    slack.channels[LEADS] = "leads"
    # Known from the start, or the request would be escalated at once.
    identities = Path(config.load(site.centre.config).identities.file)
    await link_account(identities, "U0DEE000", "dee@example.com", groups=("dba",))
    await link_account(identities, "U0SAM000", "sam@example.com", groups=("security",))
    return site


async def _asked(house: House) -> tuple[HoldOpened, Json]:
    """Return a request that two groups are asked about, and its card."""
    hold = await house.open()
    return hold, await house.card(hold)


async def _break(house: House, hold: HoldOpened) -> None:
    await house.desk.decider.break_glass(
        IDA, await house.record(hold), reason="production is down", digest=None, via="cli"
    )


async def test_whoever_was_passed_over_is_told_below_the_card_and_once(
    policed: Site, slack: SlackStandIn, tmp_path: Path
) -> None:
    """With who, why, what and the page; not again when the host confirms, nor after a restart."""
    cards = tmp_path / "cards.sqlite3"
    async with slack_house(policed.centre, slack, policed.bundle, cards=cards) as house:
        hold, card = await _asked(house)
        await _break(house, hold)
        await house.host.obey(hold, await house.host.verdict())
        (told,) = await slack.wait(lambda: slack.replies(card))
        await slack.card(hold.hold, "released at")
        leads = await slack.wait(
            lambda: [one for one in slack.cards(hold.hold) if one["channel"] == LEADS]
        )
        await slack.wait(lambda: "released at" in texts(leads[0]["blocks"]))
    async with slack_house(policed.centre, slack, policed.bundle, cards=cards) as house:
        await slack.card((await house.open()).hold)
    assert slack.replies(card) == [told]
    assert told["reply_broadcast"] in ("1", "true", True)
    assert told["text"].endswith("was let go by break-glass by ida@example.com")
    said = texts(told["blocks"])
    assert "ida@example.com let it go" in said
    assert "production is down" in said
    assert f"/requests/{hold.hold}" in str(buttons(told["blocks"])["Open the page"])
    for one in (card, *leads):
        shown = texts(one["blocks"])
        assert "let go by break-glass by ida@example.com" in shown
        assert "approved by" not in shown
        assert one["text"].endswith("was let go by break-glass by ida@example.com")
    assert not slack.replies(leads[0]), "a new card notifies by itself"


async def test_those_who_are_told_late_are_told_though_it_is_over(
    policed: Site, slack: SlackStandIn
) -> None:
    """Slack asks the leads' channel to wait until the host has long let go."""
    async with slack_house(policed.centre, slack, policed.bundle) as house:
        hold, _ = await _asked(house)
        slack.fail("chat.postMessage", rate_limited(1), rate_limited(1), rate_limited(1))
        await _break(house, hold)
        await house.host.obey(hold, await house.host.verdict())
        await house.until(hold, lambda record: record.finished)
        await slack.wait(lambda: [one for one in slack.cards(hold.hold) if one["channel"] == LEADS])


@pytest.mark.parametrize("fault", [Fault(done=True, broken=True), rate_limited(0)])
async def test_an_alarm_that_slack_may_have_is_looked_for_before_it_is_sent_again(
    policed: Site, slack: SlackStandIn, fault: Fault
) -> None:
    """An answer that is lost doubles nothing, and a refusal loses nothing."""
    async with slack_house(policed.centre, slack, policed.bundle) as house:
        hold, card = await _asked(house)
        slack.channels.pop(LEADS)  # its own post must not take the fault
        slack.fail("chat.postMessage", fault, fault)
        await _break(house, hold)
        await house.host.obey(hold, await house.host.verdict())
        await slack.card(hold.hold, "released at")
        await slack.wait(lambda: "conversations.replies" in slack.methods)
        await slack.wait(lambda: slack.replies(card))
    assert len(slack.replies(card)) == 1


async def test_where_the_card_was_deleted_the_channel_is_told_all_the_same(
    policed: Site, slack: SlackStandIn
) -> None:
    """Nobody gets rid of the alarm by deleting the card that it would stand below."""
    async with slack_house(policed.centre, slack, policed.bundle) as house:
        hold, card = await _asked(house)
        del slack.messages[f"{card['channel']}/{card['ts']}"]
        await _break(house, hold)
        told = await slack.wait(
            lambda: [one for one in slack.cards(hold.hold) if one["channel"] == APPROVALS]
        )
    assert "production is down" in texts(told[0]["blocks"])


async def test_the_people_who_were_passed_over_are_told_by_themselves(
    policed: Site, slack: SlackStandIn
) -> None:
    """By direct message, in the account that they have linked; whoever broke the glass is not."""
    identities = Path(config.load(policed.centre.config).identities.file)
    await link_account(identities, "U0IDA000", "ida@example.com", groups=("incident", "dba"))
    for user in ("U0DEE000", "U0SAM000", "U0IDA000"):
        slack.add(user, f"{user.lower()}@other.example.com")
    async with slack_house(policed.centre, slack, policed.bundle, people="slack") as house:
        hold, _ = await _asked(house)
        await _break(house, hold)

        def direct() -> list[str]:
            places = [one["channel"] for one in slack.cards(hold.hold)]
            return sorted(one for one in places if one.startswith("D"))

        await slack.wait(lambda: len(direct()) == 2)
        await house.host.obey(hold, await house.host.verdict())
        await slack.card(hold.hold, "released at")
        opened = [params["users"] for name, params in slack.calls if name == "conversations.open"]
    assert sorted(set(opened)) == ["U0DEE000", "U0SAM000"]
    for one in slack.cards(hold.hold):
        assert "production is down" in texts(one["blocks"])
    assert len(direct()) == 2
