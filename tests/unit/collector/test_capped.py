"""A session at its limit has one summary, which follows from what its host has said alone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from collector.approvals.capped import Capped, CappedSessions
from collector.approvals.record import Record
from collector.capped_card import render_capped
from collector.channels.notices import version_of
from collector.errors import Refusal
from tests.support.desk import Desk, desk
from tests.unit.collector.samples import make_act, make_opened, make_state
from wire.ids import HoldId, HostId
from wire.messages import HoldOpened, HoldState, HoldStateName, RuleFacts, Severity

S = HoldStateName
OTHER_HOST = HostId("c" * 32)


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[Desk]:
    """A book over an empty trail."""
    async with desk(tmp_path) as made:
        yield made


def hold(number: int, what: str = "", **given: object) -> HoldOpened:
    """Return a hold of the session; those of the same `what` are identical."""
    act = make_act(argv=("curl", what or str(number)), inode=7)
    return make_opened(act, hold=HoldId(f"{number:032x}"), opened_ns=number, **given)


def told(opened: HoldOpened, name: HoldOpened, denied: int, sequence: int = 1) -> HoldState:
    """Return what a host says of a hold in a session at its limit."""
    return make_state(
        S.HELD,
        sequence,
        hold=opened.hold,
        host=opened.host,
        capped=name.hold,
        denied_beyond=denied,
    )


def gone(opened: HoldOpened) -> HoldState:
    """Return the end of a hold."""
    return make_state(S.CANCELLED, 90, hold=opened.hold, host=opened.host)


def only(centre: Desk) -> Capped:
    """Return the one summary there is."""
    (capped,) = CappedSessions(centre.book).alive()
    return capped


async def test_what_waits_and_what_was_denied_is_the_same_after_a_restart(centre: Desk) -> None:
    """Three acts in two requests wait, and forty more were denied."""
    first, same, other = hold(1, "x"), hold(2, "x"), hold(3)
    await centre.tell(first, same, other)
    assert CappedSessions(centre.book).alive() == ()
    for sequence, denied in ((1, 1), (2, 40)):
        for one in (first, same, other):
            await centre.tell(told(one, first, denied, sequence))
    capped = only(centre)
    assert (capped.name, capped.acts, len(capped.waiting), capped.denied) == (first.hold, 3, 2, 40)
    await centre.restart()
    assert only(centre) == capped
    assert only(centre).version == capped.version


async def test_the_summary_stays_one_when_the_hold_that_names_it_is_gone(centre: Desk) -> None:
    """Also after a restart, which forgets what is over."""
    first, second = hold(1), hold(2)
    await centre.tell(first, second, told(first, first, 9), told(second, first, 9), gone(first))
    for _ in range(2):
        capped = only(centre)
        assert (capped.name, capped.acts, capped.denied) == (first.hold, 1, 9)
        await centre.restart()


async def test_it_is_over_with_the_last_that_waited_and_counts_what_was_denied_by_then(
    centre: Desk,
) -> None:
    """What comes later has room, and begins no summary; the end is the same after a restart."""
    first, second = hold(1), hold(2)
    await centre.tell(first, second, told(first, first, 5), told(second, first, 5), gone(first))
    await centre.tell(told(second, first, 70, 2))
    later = hold(3)
    await centre.tell(later, gone(second))
    for _ in range(2):
        sessions = CappedSessions(centre.book)
        assert sessions.alive() == ()
        over = await sessions.find(f"session-{first.hold}")
        assert over is not None
        assert (over.finished, over.denied) == (True, 70)
        assert "over: nothing of it waits; 70 further acts" in render_capped(over, "h").state_line
        await centre.restart()


async def test_an_agent_that_was_started_anew_goes_on_with_the_same_summary(centre: Desk) -> None:
    """It counts from one again, under another name, if the first hold has gone; both count."""
    first, second, third = hold(1), hold(2), hold(3)
    await centre.tell(first, second, third)
    await centre.tell(*(told(one, first, 10) for one in (first, second, third)), gone(first))
    await centre.tell(
        make_state(S.HELD, 2, hold=second.hold, capped=second.hold, denied_beyond=4),
    )
    assert (only(centre).name, only(centre).denied) == (first.hold, 14)


async def test_no_host_speaks_of_the_session_of_another_one(centre: Desk) -> None:
    """It may name whatever hold it likes: that of another host says what its own host says."""
    mine, foreign = hold(1), hold(2, host=OTHER_HOST)
    await centre.tell(mine, foreign, told(foreign, mine, 1000))
    found = await CappedSessions(centre.book).find(f"session-{mine.hold}")
    assert found is None or (found.finished and found.of == mine)
    await centre.tell(told(mine, mine, 3))
    found = await CappedSessions(centre.book).find(f"session-{mine.hold}")
    assert found is not None
    assert (found.denied, [one.opened for one in found.waiting]) == (3, [mine])


async def test_the_card_is_safe_to_show_and_says_what_waits(centre: Desk) -> None:
    """As severe as the worst that waits; what a process wrote can be no line break."""
    worst = RuleFacts(id="rm.all", description="deletes", severity=Severity.CRITICAL)
    evil = hold(1, "a\nb")
    await centre.tell(evil, hold(2, rule=worst), told(evil, evil, 2))
    card = render_capped(only(centre), "web\n1")
    texts = [card.title, card.state_line, *(fact.text for fact in card.facts)]
    assert not any("\n" in text for text in texts)
    assert card.severity == "critical"
    assert card.state_line == "2 acts wait; 2 further acts denied without asking"
    waits = [fact.text for fact in card.facts if fact.label == "Waits"]
    assert [text.rpartition(" (rule ")[2] for text in waits] == [
        "rm.all): 1 time",
        "net.fetch-code): 1 time",
    ]


async def test_a_summary_is_found_by_the_start_of_its_name(centre: Desk) -> None:
    """And what is none is said to be none."""
    first = make_opened(make_act(), hold=HoldId("ab" * 16))
    await centre.tell(first, told(first, first, 1))
    sessions = CappedSessions(centre.book)
    assert (await sessions.resolve("ababab")).name == first.hold
    for text in ("", "ffffff", "session-", "f" * 32):
        with pytest.raises(Refusal) as refused:
            await sessions.resolve(text)
        assert refused.value.code == "unknown_session"


async def test_what_is_said_of_the_session_is_not_on_the_card_of_a_request(centre: Desk) -> None:
    """Each of the twenty cards would change with every count."""
    first = hold(1)
    before: Record = await centre.tell(first)
    after = await centre.tell(told(first, first, 1), told(first, first, 2, 2))
    assert version_of(after) == version_of(before)
