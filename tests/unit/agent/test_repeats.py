"""What is denied again and again: denied each time, told one by one up to a rate, then together."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.holds.repeats import FIRST_PAUSE_S, MINUTE_NS, Repeats, Sort
from agent.rulings import Ruled
from rules.model import Action
from tests.support.children import Child, open_act
from tests.support.keeping import Bench, asking, every_letter
from wire.acts import Act, Guarantee
from wire.messages import Answer, HoldStateName, OnDeny

SORT, OTHER = Sort("ai", "r"), Sort("other", "r")
LIMIT = 6


class Clock:
    """A boot clock that a test moves."""

    def __init__(self) -> None:
        self.now = 5 * MINUTE_NS

    def __call__(self) -> int:
        """Return the time."""
        return self.now


def test_a_bucket_has_those_of_a_minute_and_fills_at_their_rate() -> None:
    """Each sort has its own; to look takes none."""
    clock = Clock()
    repeats = Repeats(LIMIT, clock)
    assert not repeats.is_empty(SORT)
    assert [repeats.take(SORT) for _ in range(LIMIT + 2)] == [True] * LIMIT + [False] * 2
    assert repeats.is_empty(SORT)
    assert not repeats.is_empty(OTHER)
    assert repeats.take(OTHER)
    clock.now += MINUTE_NS // LIMIT
    assert not repeats.is_empty(SORT)
    assert (repeats.take(SORT), repeats.take(SORT)) == (True, False)
    clock.now += 100 * MINUTE_NS
    assert [repeats.take(SORT) for _ in range(LIMIT + 1)] == [True] * LIMIT + [False]


def test_ever_new_sorts_take_no_more_room_and_forget_no_empty_bucket_for_a_full_one() -> None:
    """Who invents rules' worth of sorts gets no fresh tokens for the one that is empty."""
    clock = Clock()
    repeats = Repeats(LIMIT, clock)
    while repeats.take(SORT):
        pass
    for number in range(10_000):
        repeats.take(Sort("ai", "r", str(number)))
        clock.now += MINUTE_NS // LIMIT // 2000  # a used one is full again after 2000 more
    assert len(repeats._buckets) <= 4096


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A keeper that tells few denials one by one."""
    made = Bench(tmp_path, refuses=True, denials_per_minute=LIMIT)
    made.keeper.start()
    yield made
    made.crash()


def refusing(action: Action) -> Ruled:
    """Return what a rule says whose denial refuses."""
    ruled = asking(action=action)
    assert ruled.rule is not None
    return replace(ruled, rule=replace(ruled.rule, on_deny=OnDeny.REFUSE))


def refused_call(child: Child, path: str = "/srv/secret") -> Act:
    """Return a call that can still fail, and stop who makes it."""
    child.stop()
    return replace(open_act(child), guarantee=Guarantee.HELD, path=path)


async def test_denials_beyond_the_rate_are_denied_and_told_as_one_event(
    bench: Bench, one: Child
) -> None:
    """The centre hears of none of them; the kernel is told to refuse the same by itself."""
    bench.ruled = lambda _: refusing(Action.DENY)
    for number in range(LIMIT + 5):
        bench.sensor.hold(refused_call(one, f"/srv/secret-{number}"))
        bench.keeper.on_holds()
        assert not one.stopped()
    assert list(bench.held.admitted.values()) == [False] * (LIMIT + 5)
    assert len(bench.notes.acts) == LIMIT
    letters = len(every_letter(bench.journal))
    assert letters == 2 * LIMIT, "denied and refused, of each that is told one by one"
    assert len(bench.held.repeats) == 5
    assert all(end_ns > bench.clock.boot for end_ns in bench.held.repeats.values())
    assert bench.keeper.denied_again() == 5
    # What the kernel has refused itself meanwhile counts as well.
    key = list(bench.held.repeats)[-1]
    bench.held.repeated = [(key.to_bytes(8, "little"), 1000)]
    await asyncio.sleep(1.5 * FIRST_PAUSE_S)
    action, hold, detail = bench.notes.acts[-1]
    assert (action, hold, bench.notes.counts[-1]) == ("deny", None, 1005)
    assert f"1005 alike beyond {LIMIT} denials a minute" in detail
    assert len(every_letter(bench.journal)) == letters


async def test_other_subjects_are_told_one_by_one_all_the_same(
    bench: Bench, one: Child, other: Child
) -> None:
    """One that makes a flood of it takes nothing from the others."""
    bench.ruled = lambda _: refusing(Action.DENY)
    for _ in range(LIMIT + 1):
        bench.sensor.hold(refused_call(one))
        bench.keeper.on_holds()
    assert len(bench.notes.acts) == LIMIT
    bench.sensor.hold(replace(refused_call(other), subject="someone-else"))
    bench.keeper.on_holds()
    assert len(bench.notes.acts) == LIMIT + 1


async def test_what_people_have_denied_so_often_is_not_asked_again_for_a_while(
    bench: Bench, one: Child
) -> None:
    """That very act; another one of the same rule is."""
    bench.ruled = lambda _: refusing(Action.ASK)
    for _ in range(LIMIT):
        bench.answer(bench.hold(refused_call(one)), Answer.DENY)
    bench.sensor.hold(refused_call(one))
    bench.keeper.on_holds()
    assert not bench.keeper.holds()
    assert not one.stopped()
    assert list(bench.held.admitted.values()) == [False] * (LIMIT + 1)
    hold = bench.hold(refused_call(one, "/srv/another"))
    assert bench.kept(hold).state is HoldStateName.HELD
    bench.answer(hold, Answer.DENY)
    bench.clock.boot += MINUTE_NS
    assert bench.kept(bench.hold(refused_call(one))).waiting


async def test_newer_rules_end_what_the_kernel_refuses_by_itself(bench: Bench, one: Child) -> None:
    """And what was counted under the old ones is told at once."""
    bench.ruled = lambda _: refusing(Action.DENY)
    for _ in range(LIMIT + 1):
        bench.sensor.hold(refused_call(one))
        bench.keeper.on_holds()
    (key,) = bench.held.repeats
    bench.held.repeated = [(key.to_bytes(8, "little"), 3)]
    bench.keeper.on_rules()
    assert bench.held.repeated == []
    assert bench.notes.counts[-1] == 4


async def test_what_an_earlier_run_left_to_the_kernel_is_told(bench: Bench) -> None:
    """Nobody knows any more what it was; how often it was, is known."""
    bench.held.repeated = [(b"somebody", 7)]
    bench.keeper.on_rules()
    assert any(name == "denied_again" and "7 calls" in words for name, words in bench.notes.notices)
