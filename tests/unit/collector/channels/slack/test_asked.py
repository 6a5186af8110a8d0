"""A card says who is asked, and that nobody may approve it: at once, and when it changes."""

from pathlib import Path

import pytest

from collector import config
from collector.approvals import applied
from collector.channels.interface import Route
from tests.support.slack_house import House, link_account, slack_house
from tests.support.slack_limits import texts
from tests.support.slack_stand_in import APPROVALS, Json, SlackStandIn
from tests.unit.collector.channels.slack.conftest import Site
from wire.messages import HoldOpened

pytestmark = pytest.mark.nats

LEADS = "C0LEADS00"
FALLBACK = (Route("slack", LEADS),)


def _policed(site: Site, slack: SlackStandIn, more: str = "") -> None:
    policy = site.centre.state / "policy.yaml"
    policy.write_text(f"policies:\n  - id: one\n    approve: [{{group: dba}}]\n{more}")
    with site.centre.config.open("a", encoding="utf-8") as file:
        file.write(f'\n[approvals]\npolicy_file = "{policy}"\n')
    slack.channels[LEADS] = "leads"


async def _cards(
    slack: SlackStandIn, hold: HoldOpened, has: str, *, without: str = "never said"
) -> list[str]:
    """Return where the two cards of a request are, once both say this and not that."""

    def so(card: Json) -> bool:
        said = texts(card["blocks"])
        return has in said and without not in said

    found = await slack.wait(lambda: [one for one in slack.cards(hold.hold) if so(one)][1:] and 1)
    assert found
    return sorted(one["channel"] for one in slack.cards(hold.hold))


async def test_nobody_may_approve_is_said_at_once_to_the_fallback_too_and_taken_back(
    site: Site, slack: SlackStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do about it; the card changes when somebody of the group has signed in."""
    monkeypatch.setattr(applied, "_KNOWN_S", 0.05)
    _policed(site, slack)
    async with slack_house(site.centre, slack, site.bundle, fallback=FALLBACK) as house:
        hold = await house.open()
        where = await _cards(
            slack, hold, "Nobody may approve: group dba: 1 must approve, and 0 are"
        )
        assert where == [APPROVALS, LEADS]
        assert "have whoever is missing sign in once" in texts(slack.cards(hold.hold)[0]["blocks"])
        await house.link("U0DEE000", "dee@example.com", groups=("dba",))
        await _cards(slack, hold, "Asked: 1 of dba", without="Nobody may approve")


async def test_time_lets_others_in_and_shows_it_to_them(site: Site, slack: SlackStandIn) -> None:
    """Escalation from the clock to their channel, and the first card says who may stand in."""
    _policed(
        site,
        slack,
        f'    escalate: [{{after: 2s, groups: [leads], channels: ["slack:{LEADS}"]}}]\n',
    )
    identities = Path(config.load(site.centre.config).identities.file)
    await link_account(identities, "U0DEE000", "dee@example.com", groups=("dba",))
    async with slack_house(site.centre, slack, site.bundle) as house:
        hold = await house.open()
        first = await slack.card(hold.hold, "Asked: 1 of dba")
        assert first["channel"] == APPROVALS
        where = await _cards(slack, hold, "Asked: 1 of dba; leads may stand in")
        assert where == [APPROVALS, LEADS]
        await _lead_may_answer(house, slack, hold)


async def _lead_may_answer(house: House, slack: SlackStandIn, hold: HoldOpened) -> None:
    lea = await house.link("U0LEA000", "lea@example.com", groups=("leads",))
    card = next(one for one in slack.cards(hold.hold) if one["channel"] == LEADS)
    await slack.click(lea, card, "holdfast_deny")
    view = await slack.view("Or write your own")
    await slack.submit(lea, view, {"holdfast_text": {"holdfast_text_input": {"value": "no"}}})
    assert (await house.host.verdict()).hold == hold.hold
