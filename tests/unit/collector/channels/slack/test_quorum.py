"""Where the policy asks two people, the first vote shows on the card and decides nothing."""

import pytest

from collector.approvals.record import RequestState
from tests.support.slack_house import slack_house
from tests.support.slack_limits import buttons, texts
from tests.support.slack_stand_in import SlackStandIn
from tests.support.wire_host import rule
from tests.unit.collector.channels.slack.conftest import Site

pytestmark = pytest.mark.nats

POLICY = """\
policies:
  - id: two-people
    approve:
      - votes: 2
"""


async def test_two_votes_from_slack_approve_and_one_person_counts_once(
    site: Site, slack: SlackStandIn
) -> None:
    """Whoever votes reads that more are needed; the card names them and keeps its buttons."""
    policy = site.centre.state / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    with site.centre.config.open("a", encoding="utf-8") as file:
        file.write(f'\n[approvals]\npolicy_file = "{policy}"\n')
    async with slack_house(site.centre, slack, site.bundle) as house:
        ann = await house.link("U0ANN000", "ann@example.com")
        bea = await house.link("U0BEA000", "bea@example.com")
        hold = await house.open(rule_facts=rule(reason_required=False))
        await slack.click(ann, await slack.card(hold.hold), "holdfast_approve")
        await slack.told(ann, "More votes are needed")
        card = await slack.card(hold.hold, "approved by ann@example.com at")
        assert "🟡" in texts(card["blocks"])
        assert "Approve once" in buttons(card["blocks"])
        before = len(slack.whispers)
        await slack.click(ann, card, "holdfast_approve")
        await slack.wait(lambda: len(slack.whispers) > before)
        record = await house.record(hold)
        assert (record.state, len(record.votes)) == (RequestState.OPEN, 1)
        await slack.click(bea, card, "holdfast_approve")
        assert (await house.host.verdict()).hold == hold.hold
        await slack.told(bea, "You have approved it")
