"""Approve for a time, where a grant is possible."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from collector.approvals.decide import Decider
from collector.approvals.record import Record, RequestState
from collector.channels.slack.desk import Extras
from collector.identity.people import Caller
from collector.reasons import FOR_APPROVAL
from tests.support.slack_house import House, slack_house
from tests.support.slack_limits import buttons
from tests.support.slack_stand_in import SlackStandIn
from tests.support.wire_host import exec_act
from tests.unit.collector.channels.slack.conftest import Site
from wire.messages import Answer

pytestmark = pytest.mark.nats

LIVES = ("15 minutes, once", "8 hours, 20 times")


class _Grants:
    """Grants for psql alone, which remembers what it gave."""

    def __init__(self) -> None:
        self.given: list[tuple[str, int]] = []
        self.decider: Decider | None = None

    def lives(self, record: Record) -> Sequence[str]:
        return LIVES if record.opened.act.argv[0] == "psql" else ()

    async def approve(
        self,
        caller: Caller,
        record: Record,
        *,
        life: int,
        reason: str,
        digest: str,
        via: str,
        card: str,
    ) -> Record:
        assert self.decider is not None
        self.given.append((record.id, life))
        return await self.decider.decide(
            caller,
            record,
            answer=Answer.APPROVE,
            reason=reason,
            digest=digest,
            via=via,
            card=card,
        )


@pytest.fixture
def grants() -> _Grants:
    """Give what can be granted."""
    return _Grants()


@pytest.fixture
async def house(site: Site, slack: SlackStandIn, grants: _Grants) -> AsyncIterator[House]:
    """Give a collector with grants."""
    extras = Extras(grants=grants)
    async with slack_house(site.centre, slack, site.bundle, extras=extras) as made:
        grants.decider = made.desk.decider
        yield made


async def test_approve_for_a_time_asks_for_how_long_and_why(
    house: House, slack: SlackStandIn, grants: _Grants
) -> None:
    """One window for both; one click on a reason sends it off."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(act=exec_act("psql", "-l"))
    card = await slack.card(hold.hold)
    assert "Approve for a time" in buttons(card["blocks"])
    await slack.click(ann, card, "holdfast_approve_for")
    view = await slack.view(LIVES[1])
    state: dict[str, Any] = {
        "values": {"holdfast_life": {"holdfast_life_input": {"selected_option": {"value": "1"}}}}
    }
    await slack.press(ann, view | {"state": state}, "holdfast_because_0")
    verdict = await house.host.verdict()
    assert (verdict.hold, verdict.reason) == (hold.hold, FOR_APPROVAL[0])
    assert grants.given == [(hold.hold, 1)]


@pytest.mark.parametrize("life", ["2", "-1", "many"])
async def test_a_time_that_was_not_offered_grants_nothing(
    house: House, slack: SlackStandIn, grants: _Grants, life: str
) -> None:
    """What comes back from a window is checked against what can be granted now."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(act=exec_act("psql", "-l"))
    await slack.click(ann, await slack.card(hold.hold), "holdfast_approve_for")
    view = await slack.view(LIVES[1])
    state: dict[str, Any] = {
        "values": {"holdfast_life": {"holdfast_life_input": {"selected_option": {"value": life}}}}
    }
    await slack.press(ann, view | {"state": state}, "holdfast_because_0")
    await slack.view("cannot be approved for a time")
    assert grants.given == []
    assert (await house.record(hold)).state is RequestState.OPEN


async def test_where_no_grant_is_possible_there_is_no_button_and_no_way_round(
    house: House, slack: SlackStandIn, grants: _Grants
) -> None:
    """Not for a shell, say; a made-up click gets words."""
    ann = await house.link("U0ANN000", "ann@example.com")
    hold = await house.open(act=exec_act("sh", "-c", "x"))
    card = await slack.card(hold.hold)
    assert "Approve for a time" not in buttons(card["blocks"])
    body = slack.click_body(ann, card, "holdfast_approve")
    body["actions"][0]["action_id"] = "holdfast_approve_for"
    await slack.send("interactive", body)
    await slack.told(ann, "cannot be approved for a time")
    assert grants.given == []
