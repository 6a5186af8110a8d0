"""A session at its limit has one card on each route, which follows it to its end."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from collector.channels import teams_card
from collector.channels.interface import Notice, Posted, Route
from collector.channels.slack.blocks import message
from collector.channels.slack.desk import Extras, showing
from collector.channels.webhook import payload
from collector.web.settings import quarantine_url
from tests.support.desk import Desk, desk
from tests.support.receiver import WAIT_S
from tests.support.slack_limits import buttons, check_message, texts
from tests.unit.collector.test_capped import gone, hold, told
from wire.ids import HoldId


@dataclass
class Board:
    """A channel that shows summaries of sessions to the test; of requests it only has the cards."""

    name: str = "board"
    shown: "asyncio.Queue[tuple[str, Notice]]" = field(default_factory=asyncio.Queue)

    async def post(self, notice: Notice) -> Posted:
        return self._show("post", notice)

    async def update(self, posted: Posted, notice: Notice) -> Posted:
        return self._show("update", notice)

    async def run(self) -> None:
        """Nothing comes in."""

    def _show(self, how: str, notice: Notice) -> Posted:
        if notice.session is not None:
            self.shown.put_nowait((how, notice))
        return Posted(notice.request)

    async def next(self) -> tuple[str, Notice]:
        return await asyncio.wait_for(self.shown.get(), WAIT_S)

    async def until(self, waiting: int, denied: int) -> tuple[str, Notice]:
        """Return how a summary with these counts was shown; those before it may be left out."""
        while True:
            how, notice = await self.next()
            assert notice.session is not None
            if (notice.session.waiting, notice.session.denied) == (waiting, denied):
                return how, notice


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Desk]:
    """A book over an empty trail."""
    async with desk(tmp_path) as made:
        yield made


async def test_one_card_a_session_is_changed_as_the_count_grows_and_ends_by_itself(
    centre: Desk,
) -> None:
    """Posted once, whichever of its requests are answered, and not again after its end."""
    board = Board()
    first, second = hold(1), hold(2)
    async with centre.showing([board], ["board"]):
        await centre.tell(first, second, told(first, first, 1), told(second, first, 1))
        how, notice = await board.until(2, 1)
        assert (how, notice.request) == ("post", f"session-{first.hold}")
        await centre.tell(told(first, first, 25, 2), told(second, first, 25, 2))
        assert (await board.until(2, 25))[0] == "update"
        await centre.tell(gone(first))
        assert (await board.until(1, 25))[0] == "update"
        await centre.tell(gone(second))
        how, notice = await board.until(0, 25)
        assert (how, notice.finished, notice.buttons) == ("update", True, False)
        await centre.tell(hold(3))
    assert board.shown.empty()


async def test_a_restart_neither_doubles_the_card_nor_forgets_it(centre: Desk) -> None:
    """What happened while the collector was away is on the card afterwards, its end too."""
    board = Board()
    first, second = hold(1), hold(2)
    async with centre.showing([board], ["board"]):
        await centre.tell(first, second, told(first, first, 7), told(second, first, 7))
        await board.until(2, 7)
    await centre.restart()
    async with centre.showing([board], ["board"]) as dispatcher:
        await centre.tell(told(second, first, 8, 2))
        assert (await board.until(2, 8))[0] == "update"
        assert (await dispatcher.overview()).failures == ()
    await centre.tell(gone(first), gone(second))
    await centre.restart()
    async with centre.showing([board], ["board"]):
        how, notice = await board.until(0, 8)
        assert (how, notice.finished) == ("update", True)


async def test_it_goes_to_every_route_of_its_requests(centre: Desk) -> None:
    """Policies may send the requests of one session to different places."""
    board = Board()
    first, second = hold(1), hold(2)
    await centre.tell(first, second, told(first, first, 1), told(second, first, 1))
    where = {first.hold: Route("board", "a"), second.hold: Route("board", "b")}
    async with centre.showing([board], lambda record: [where[HoldId(record.id)]]):
        assert {(await board.next())[1].to for _ in where} == {"a", "b"}
    assert board.shown.empty()


async def _notice(centre: Desk, *, over: bool = False) -> Notice:
    board = Board()
    first, second = hold(1), hold(2)
    async with centre.showing([board], ["board"]):
        await centre.tell(first, second, told(first, first, 30), told(second, first, 30))
        _, notice = await board.until(2, 30)
        if over:
            await centre.tell(gone(first), gone(second))
            _, notice = await board.until(0, 30)
    return notice


async def test_in_slack_it_can_be_denied_and_not_approved(centre: Desk) -> None:
    """Within every limit of Slack, and with the way to the form for a quarantine."""
    made = message(showing(await _notice(centre), None, Extras()))
    check_message({"text": made.text, "blocks": made.blocks})
    assert list(buttons(made.blocks)) == ["Deny all of this session", "Open the page"]
    assert "2 acts wait; 30 further acts denied without asking" in texts(made.blocks)
    assert "🟡" in texts(made.blocks)


async def test_in_slack_nothing_can_be_denied_once_it_is_over(centre: Desk) -> None:
    """The card stays, and says so."""
    made = message(showing(await _notice(centre, over=True), None, Extras()))
    assert list(buttons(made.blocks)) == ["Open the page"]
    assert "over: nothing of it waits" in texts(made.blocks)
    assert "⚪" in texts(made.blocks)


async def test_a_webhook_tells_of_a_session_as_of_no_request(centre: Desk) -> None:
    """Its type says what it is, so that no receiver takes it for something to approve."""
    body = payload(await _notice(centre), "request.opened")
    assert (body["type"], body["waiting"], body["denied"]) == ("session.capped", 2, 30)
    assert "request" not in body
    assert "decision" not in body
    json.dumps(body)


async def test_teams_shows_it_with_a_link_to_its_page(centre: Desk) -> None:
    """Counts that grow are no news there, where a card cannot be changed; its end is."""
    notice = await _notice(centre)
    drawn = json.loads(teams_card.message(notice))
    assert "30 further acts denied" in json.dumps(drawn)
    over = teams_card.standing(notice)
    assert over.startswith("open")


def test_the_form_for_a_quarantine_is_filled_in() -> None:
    """Whatever the names are, they are two values of the form."""
    url = quarantine_url("https://h.example", "ai&worker", "web 1")
    assert url == "https://h.example/quarantines?subject=ai%26worker&host=web+1#stop"
