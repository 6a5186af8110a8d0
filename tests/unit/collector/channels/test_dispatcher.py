"""Every request is shown where it should be, and every card follows it to its end."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from collector.approvals.book import Book
from collector.approvals.record import Record, RequestState
from collector.channels import dispatcher as dispatching
from collector.channels.http import Http
from collector.channels.interface import Asked, Notice, Posted, Route
from collector.channels.store import Cards
from collector.channels.webhook import Webhook
from collector.errors import ChannelBusyError, ChannelError, StateError
from tests.support.desk import Desk, desk
from tests.support.receiver import WAIT_S, Receiver, receiver
from tests.unit.collector.samples import make_act, make_decision, make_opened, make_state
from wire.ids import HoldId, RequestId, VoteId, request_of
from wire.messages import Answer, Comment, Ground, HoldOpened, HoldState, HoldStateName

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of no receiver but the test's
S = HoldStateName


@dataclass
class Board:
    """A channel that shows cards to the test, and fails as it is told."""

    name: str = "board"
    troubles: list[Exception] = field(default_factory=list)
    shown: "asyncio.Queue[tuple[str, Notice, Posted | None]]" = field(default_factory=asyncio.Queue)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: asyncio.Event = field(default_factory=asyncio.Event)
    failed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def post(self, notice: Notice) -> Posted:
        return await self._show("post", notice, None)

    async def update(self, posted: Posted, notice: Notice) -> Posted:
        return await self._show("update", notice, posted)

    async def run(self) -> None:
        """Nothing comes in."""

    async def _show(self, how: str, notice: Notice, posted: Posted | None) -> Posted:
        self.under_way.set()
        await self.gate.wait()
        if self.troubles:
            self.failed.set()
            raise self.troubles.pop(0)
        self.shown.put_nowait((how, notice, posted))
        return Posted(f"{how} {notice.version}")

    async def next(self) -> tuple[str, Notice, Posted | None]:
        return await asyncio.wait_for(self.shown.get(), WAIT_S)


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Desk]:
    """A book over an empty trail."""
    async with desk(tmp_path) as made:
        yield made


@pytest.fixture
async def far() -> AsyncIterator[Receiver]:
    """The far side of the webhook."""
    async with receiver() as made:
        yield made


@pytest.fixture
async def webhook(tmp_path: Path, far: Receiver) -> AsyncIterator[Webhook]:
    """The webhook channel with two routes: siem and chat."""
    for name in ("siem", "chat"):
        for kind, text in (("url", f"{far.base}/{name}"), ("secret", SECRET)):
            path = tmp_path / f"{name}.{kind}"
            path.touch(0o600)
            path.write_text(text)
    http = Http(timeout_s=2)
    yield Webhook(tmp_path, http)
    await http.close()


def _opened(number: int) -> HoldOpened:
    return make_opened(hold=HoldId(f"{number:032x}"))


def _request(number: int) -> RequestId:
    return request_of(_opened(number).hold)


def _end(opened: HoldOpened) -> tuple[HoldState, HoldState]:
    return (
        make_state(S.APPROVED, 1, hold=opened.hold, ground=Ground.DECISION),
        make_state(S.RELEASED, 2, hold=opened.hold, ground=Ground.DECISION),
    )


async def test_a_card_is_updated_by_every_later_state(
    centre: Desk, webhook: Webhook, far: Receiver
) -> None:
    """From the question to what the host did, whichever channel the answer came by."""
    opened = make_opened()
    async with centre.showing([webhook], ["webhook:siem"]):
        await centre.tell(opened)
        first = (await far.next()).json
        await centre.tell(make_decision(via="web"))
        second = (await far.next()).json
        approved, released = _end(opened)
        await centre.tell(approved, released)
        while not (last := (await far.next()).json)["outcome"]:
            pass
    assert (first["type"], first["state"]) == ("request.opened", "open")
    assert (second["type"], second["decision"]["via"]) == ("request.changed", "web")
    assert (last["type"], last["state"], last["outcome"]) == (
        "request.closed",
        "approved",
        "released",
    )
    assert last["card"]["state_line"].startswith("released at")


async def test_a_remark_is_no_new_state(centre: Desk, webhook: Webhook, far: Receiver) -> None:
    """Nothing on the card changes, so nothing is sent."""
    opened = make_opened()
    request = request_of(opened.hold)
    remark = Comment(
        comment=VoteId("c" * 32), request=request, by="ann", via="cli", text="?", time_ns=1
    )
    async with centre.showing([webhook], ["webhook:siem"]):
        await centre.tell(opened)
        await far.next()
        await centre.tell(remark, make_decision())
        assert (await far.next()).json["decision"]
    assert far.waiting == 0


async def test_after_a_restart_what_waits_is_posted_and_what_ended_meanwhile_is_updated(
    centre: Desk, webhook: Webhook, far: Receiver
) -> None:
    """And what was shown already is not shown again."""
    shown, ended, unseen, both = (_opened(number) for number in range(4))
    async with centre.showing([webhook], ["webhook:siem"]):
        await centre.tell(shown, ended)
        await far.next(), await far.next()
    await centre.tell(*_end(ended), unseen, both, *_end(both))
    await centre.restart()
    async with centre.showing([webhook], ["webhook:siem"]):
        found = [(await far.next()).json for _ in "12"]
    kinds = {one["request"]: one["type"] for one in found}
    assert kinds == {ended.hold: "request.closed", unseen.hold: "request.opened"}
    async with centre.showing([webhook], ["webhook:siem"]) as dispatcher:
        await centre.tell(last := _opened(9))
        assert (await far.next()).json["request"] == last.hold
        assert (await dispatcher.overview()).failures == ()
    assert far.waiting == 0


@pytest.mark.parametrize("word", ["429 0", "500", "reset", "lost", "slow"])
async def test_a_failed_post_is_tried_again_under_the_same_id(
    centre: Desk, webhook: Webhook, far: Receiver, word: str
) -> None:
    """Whatever became of the first one, whoever receives can tell that it is the same."""
    far.script(word)
    async with centre.showing([webhook], ["webhook:siem"]):
        await centre.tell(make_opened())
        first, second = await far.next(), await far.next()
    assert second.answer == "ok"
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


async def test_the_newest_state_wins_while_the_service_is_away(centre: Desk) -> None:
    """A card that changed three times is updated once."""
    board, opened = Board(), make_opened()
    async with centre.showing([board], ["board"]):
        await centre.tell(opened)
        await board.next()
        board.gate.clear()
        board.under_way.clear()
        await centre.tell(_opened(5))
        await board.under_way.wait()
        await centre.tell(make_decision(), *_end(opened))
        board.gate.set()
        await board.next()
        how, notice, posted = await board.next()
    assert (how, notice.finished, posted) == ("update", True, Posted("post 1"))
    assert board.shown.empty()


async def test_independent_routes_do_not_wait_for_each_other(
    centre: Desk, webhook: Webhook, far: Receiver
) -> None:
    """One place that does not answer holds up no card of another, not even of the same channel."""
    stuck = Board(name="stuck")
    stuck.gate.clear()
    async with centre.showing([webhook, stuck], ["stuck", "webhook:siem", "webhook:chat"]):
        await centre.tell(_opened(1), _opened(2))
        found = [(await far.next()).path for _ in range(4)]
        stuck.gate.set()
        await stuck.next(), await stuck.next()
    assert sorted(found) == ["/chat", "/chat", "/siem", "/siem"]


async def test_an_escalation_adds_routes_when_told_and_when_something_changes(
    centre: Desk,
) -> None:
    """Each route has a card of its own, with its own nonce, and all of them follow."""
    board, opened = Board(), make_opened()
    routes = [Route("board", "first")]
    async with centre.showing([board], lambda record: routes) as dispatcher:
        record = await centre.tell(opened)
        _, first, _ = await board.next()
        routes.append(Route("board", "second"))
        await dispatcher.reconsider(record.id)
        _, second, _ = await board.next()
        routes.clear()
        await centre.tell(make_decision())
        updates = [await board.next(), await board.next()]
    assert (first.to, second.to) == ("first", "second")
    assert first.nonce != second.nonce
    assert {(how, notice.to) for how, notice, _ in updates} == {
        ("update", "first"),
        ("update", "second"),
    }


async def test_a_refusal_for_good_is_recorded_and_the_fallback_shows_the_request(
    centre: Desk, webhook: Webhook, far: Receiver
) -> None:
    """Nobody waits in silence: the next channel has it, and the record says why."""
    board = Board(troubles=[ChannelError("channel_not_found")])
    async with centre.showing([board, webhook], ["board"], fallback=["webhook:siem"]) as dispatcher:
        await centre.tell(make_opened())
        assert (await far.next()).json["type"] == "request.opened"
        seen = await dispatcher.overview()
        assert [(card.route, card.why) for card in seen.failures] == [
            (Route("board"), "channel_not_found")
        ]
        await centre.tell(make_decision())
        how, notice, _ = await board.next()
        assert (how, notice.state) == ("post", RequestState.APPROVED)
        assert (await far.next()).json["type"] == "request.changed"
        await centre.tell(_opened(2))
        await board.next()  # so the one before it is recorded
        assert (await dispatcher.overview()).failures == ()


async def test_a_last_state_that_was_refused_is_shown_after_a_restart(centre: Desk) -> None:
    """Somebody has mended the channel meanwhile; until then the card would ask for ever."""
    board, opened = Board(), make_opened()
    async with centre.showing([board], ["board"]):
        await centre.tell(opened)
        await board.next()
        board.troubles.append(ChannelError("token_revoked"))
        await centre.tell(*_end(opened)[:1])
        await board.failed.wait()
        board.failed.clear()
        board.troubles.append(ChannelError("token_revoked"))
        await centre.tell(*_end(opened)[1:])
        await board.failed.wait()
    await centre.restart()
    board.troubles.clear()
    async with centre.showing([board], ["board"]):
        how, notice, _ = await board.next()
    assert (how, notice.finished) == ("update", True)


async def test_a_route_to_a_channel_that_is_not_there_is_a_refusal(
    centre: Desk, webhook: Webhook, far: Receiver
) -> None:
    """With words that say what to do."""
    async with centre.showing([webhook], ["pager"], fallback=["webhook:siem"]) as dispatcher:
        await centre.tell(make_opened())
        await far.next()
        (card,) = (await dispatcher.overview()).failures
    assert "no channel 'pager' is set up" in card.why


async def test_a_channel_with_a_fault_of_its_own_stops_nobody(centre: Desk) -> None:
    """The card counts as refused; the next one is posted."""
    board = Board(troubles=[ZeroDivisionError()])
    async with centre.showing([board], ["board"]) as dispatcher:
        await centre.tell(_opened(1), _opened(2))
        _, notice, _ = await board.next()
        assert notice.request == _request(2)
        (card,) = (await dispatcher.overview()).failures
    assert (card.request, card.why) == (
        _request(1),
        "the channel itself failed: ZeroDivisionError",
    )


async def test_a_lost_answer_is_said_to_the_next_attempt(centre: Desk) -> None:
    """A channel that can look for its card looks before it posts another one."""
    board = Board(
        troubles=[ChannelBusyError("429"), ChannelBusyError("no answer", unsure=True)],
    )
    async with centre.showing([board], ["board"]):
        await centre.tell(make_opened())
        _, notice, _ = await board.next()
    assert notice.unsure


async def test_a_card_that_may_be_there_is_seen_through_though_the_request_is_over(
    centre: Desk,
) -> None:
    """Otherwise it would ask for ever, with its buttons."""
    lost, never = _opened(1), _opened(2)
    board = Board(troubles=[ChannelBusyError("no answer", unsure=True)])
    async with centre.showing([board], ["board"]):
        await centre.tell(lost)
        await board.failed.wait()
    await centre.tell(*_end(lost), never, *_end(never))
    await centre.restart()
    async with centre.showing([board], ["board"]):
        how, notice, _ = await board.next()
    assert (how, notice.request, notice.finished, notice.buttons) == (
        "post",
        _request(1),
        True,
        False,
    )
    assert board.shown.empty()


async def test_buttons_are_for_open_requests_that_are_shown_whole(centre: Desk) -> None:
    """Where anything is hidden, an answer from the card would be blind."""
    board = Board()
    whole = make_opened()
    long = make_opened(make_act(argv=("x" * 9000,)), hold=HoldId("9" * 32))
    async with centre.showing([board], ["board"]):
        await centre.tell(whole, long)
        found = {
            notice.request: notice for _, notice, _ in [await board.next(), await board.next()]
        }
        await centre.tell(make_decision(Answer.DENY))
        _, decided, _ = await board.next()
    assert found[request_of(whole.hold)].buttons
    shown = found[request_of(long.hold)]
    assert shown.card.hidden_bytes > 0 and not shown.buttons
    assert not decided.buttons


async def test_a_queue_that_ran_over_loses_nothing(
    centre: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dispatcher starts over, from the register and the record of cards."""
    monkeypatch.setattr(dispatching, "_QUEUE", 3)
    board = Board()
    many = [_opened(number) for number in range(40)]
    async with centre.showing([board], ["board"]):
        await centre.tell(many[0])
        await board.next()
        for opened in many:
            outcome = centre.book.opened(opened)
            if (record := getattr(outcome, "record", None)) is not None:
                centre.book.announce(record)
        seen = {(await board.next())[1].request for _ in many[1:]}
    assert seen == {request_of(opened.hold) for opened in many[1:]}


async def test_an_accepted_card_whose_recording_fails_is_recorded_later_and_not_sent_again(
    centre: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk doubles no card."""
    monkeypatch.setattr("collector.channels.lane._DISK_S", 0)
    failures = [StateError("disk full"), StateError("disk full")]
    shows = Cards.shows

    async def failing(self: Cards, *arguments: object, **options: object) -> None:
        if failures:
            raise failures.pop()
        await shows(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Cards, "shows", failing)
    board = Board()
    async with centre.showing([board], ["board"]):
        await centre.tell(make_opened())
        await board.next()
        await centre.tell(make_decision())
        how, _, posted = await board.next()
    assert (how, posted) == ("update", Posted("post 1"))


async def test_a_stop_waits_for_the_card_that_is_under_way(centre: Desk) -> None:
    """It is accepted a moment later, and must be recorded, or it would come twice."""
    board, opened = Board(), make_opened()
    board.gate.clear()
    async with centre.showing([board], ["board"]):
        await centre.tell(opened)
        await board.under_way.wait()
        asyncio.get_running_loop().call_later(0.05, board.gate.set)
    await centre.restart()
    async with centre.showing([board], ["board"]):
        await centre.tell(_opened(7))
        assert (await board.next())[1].request == request_of(opened.hold)
        assert (await board.next())[1].request == _request(7)


async def test_an_incoming_side_that_fails_is_started_again(
    centre: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cards go on meanwhile."""
    monkeypatch.setattr(dispatching, "_AGAIN_S", 0)
    runs = 0
    ran = asyncio.Event()

    class Failing(Board):
        async def run(self) -> None:
            nonlocal runs
            runs += 1
            if runs < 3:
                raise OSError("reset")
            ran.set()

    async with centre.showing([Failing()], ["board"]):
        await asyncio.wait_for(ran.wait(), WAIT_S)
    assert runs == 3


async def test_the_channels_end_with_the_book(centre: Desk) -> None:
    """The collector stops, and nothing is cut off."""
    board = Board()
    async with centre.showing([board], ["board"]):
        book: Book = centre.book
        await centre.tell(make_opened())
        await board.next()
        book.close()


def _to_leads_too(record: Record) -> list[Route]:
    """As `wiring.routes`: once the glass is broken, its leads are shown it as well."""
    broken = record.decision is not None and record.decision.ground is Ground.BREAK_GLASS
    return [Route("board", "first"), *([Route("board", "leads")] if broken else [])]


_BROKEN = make_decision(ground=Ground.BREAK_GLASS)


async def test_who_was_passed_over_by_break_glass_is_told_though_it_is_over(
    centre: Desk,
) -> None:
    """The channel asks to wait, and the host has long let go when it takes their first card."""
    board, opened = Board(), make_opened()
    async with centre.showing([board], _to_leads_too):
        await centre.tell(opened)
        await board.next()
        board.gate.clear()
        board.troubles = [ChannelBusyError("429", retry_after_s=0.1) for _ in "12"]
        await centre.tell(_BROKEN, *_end(opened))
        board.gate.set()
        found = [await board.next(), await board.next()]
    assert {(how, one.to, one.finished, one.alarm) for how, one, _ in found} == {
        ("update", "first", True, True),
        ("post", "leads", True, True),
    }


async def test_a_glass_that_was_broken_while_the_channels_were_down_is_told_once(
    centre: Desk,
) -> None:
    """Nothing of it was wanted yet when the collector died; what is old is told no more."""
    board, fresh, old = Board(), _opened(1), _opened(2)
    now = time.time_ns()
    for opened, ago_s in ((fresh, 3600), (old, 90_000)):
        decided_ns = now - ago_s * 10**9
        request = request_of(opened.hold)
        broken = replace(_BROKEN, request=request, digest=opened.digest, time_ns=decided_ns)
        await centre.tell(opened, broken, *_end(opened))
    await centre.restart()
    async with centre.showing([board], _to_leads_too):
        told = [await board.next(), await board.next()]
    assert sorted((how, one.request, one.to) for how, one, _ in told) == [
        ("post", _request(1), "first"),
        ("post", _request(1), "leads"),
    ]
    await centre.restart()
    async with centre.showing([board], _to_leads_too):
        await centre.tell(_opened(7))
        assert (await board.next())[1].request == _request(7)
    assert board.shown.empty()


async def test_an_alarm_is_raised_once_and_said_to_be_unsure_after_a_failure(
    centre: Desk,
) -> None:
    """The next state of the request, and the next collector, only change the card."""
    board, opened = Board(), make_opened()
    approved, released = _end(opened)
    async with centre.showing([board], ["board"]):
        await centre.tell(opened)
        await board.next()
        board.troubles = [ChannelBusyError("no answer", unsure=True)]
        await centre.tell(_BROKEN)
        _, alarmed, _ = await board.next()
        await centre.tell(approved)
        _, later, _ = await board.next()
    await centre.restart()
    async with centre.showing([board], ["board"]):
        await centre.tell(released)
        _, last, _ = await board.next()
    assert (alarmed.alarm, alarmed.unsure) == (True, True)
    assert [later.alarm, last.alarm] == [False, False]


async def test_where_nobody_can_be_alarmed_the_fallback_is(centre: Desk) -> None:
    """A card that hangs there as it was would say nothing to anybody."""
    board, opened = Board(), make_opened()
    async with centre.showing([board], ["board:first"], fallback=["board:last"]):
        await centre.tell(opened)
        await board.next()
        board.troubles = [ChannelError("channel_not_found")]
        await centre.tell(_BROKEN)
        how, notice, _ = await board.next()
    assert (how, notice.to, notice.glass_broken) == ("post", "last", True)


async def test_a_card_follows_who_is_asked_though_nothing_happens_to_the_request(
    centre: Desk,
) -> None:
    """The policy, the people or the time have changed; what is as it was is not sent again."""
    board, says = Board(), [Asked("1 of dba", "dba: nobody is known")]
    async with centre.showing([board], ["board"], asked=lambda _: says[-1]) as dispatcher:
        record = await centre.tell(make_opened())
        _, first, _ = await board.next()
        await dispatcher.reconsider(record.id)
        says.append(Asked("1 of dba"))
        await dispatcher.reconsider(record.id)
        how, second, _ = await board.next()
    await centre.restart()
    says.append(Asked("1 of dba; leads may stand in"))
    async with centre.showing([board], ["board"], asked=lambda _: says[-1]):
        _, third, _ = await board.next()
    assert board.shown.empty()
    assert [one.asked for one in (first, second, third)] == says
    assert (how, second.version) == ("update", first.version)
    assert len({first.delivery, second.delivery, third.delivery}) == 3
