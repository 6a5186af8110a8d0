"""Grants on the host: what passes by one, what does not, and that no use counts twice."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import JournalError
from rules.model import Action
from tests.support.children import Child, child
from tests.support.keeping import MINUTE_NS, Bench, asking, every_letter
from tests.support.ordering import (
    OTHER_SESSION,
    exec_act,
    file_act,
    give,
    grant,
    held,
    revocation,
)
from wire import codec
from wire.acts import Guarantee
from wire.ids import HostId, request_of
from wire.messages import Answer, Ground, HoldOpened, HoldState, HoldStateName
from wire.signing import Signer

S = HoldStateName


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A keeper that has started with nothing held."""
    made = Bench(tmp_path)
    made.keeper.start()
    yield made
    made.crash()


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Child]:
    """A process of a program of its own, which is no wrapper."""
    program = tmp_path / "export"
    shutil.copy("/usr/bin/sleep", program)
    with child((str(program), "3600")) as one:
        yield one


def damage(journal: Path) -> None:
    """Make a journal unreadable."""
    for suffix in ("-wal", "-shm"):
        journal.with_name(journal.name + suffix).unlink(missing_ok=True)
    journal.write_bytes(b"not a database" * 100)


@pytest.fixture
def copied(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Child]:
    """A wrapper that runs under another name."""
    shutil.copy(request.param, tmp_path / "harmless")
    with subprocess.Popen([tmp_path / "harmless"], stdin=subprocess.PIPE, text=True) as process:
        yield Child(process)
        process.kill()


def messages(bench: Bench) -> list[HoldOpened | HoldState]:
    """Return everything that the centre is told of holds."""
    found = [codec.decode(letter.data) for letter in every_letter(bench.journal)]
    return [one for one in found if isinstance(one, HoldOpened | HoldState)]


async def test_what_a_grant_covers_passes_without_a_question(bench: Bench, one: Child) -> None:
    """The first message names the grant, the states its ground and who gave it."""
    one.stop()
    act = file_act(one)
    given = grant(bench, act)
    give(bench, given)
    assert held(bench, act) is None
    assert one.runs()
    opened, approved, released = messages(bench)
    assert isinstance(opened, HoldOpened)
    assert opened.grant == given.order
    assert isinstance(approved, HoldState)
    assert (approved.state, approved.ground, approved.order, approved.by) == (
        S.APPROVED,
        Ground.GRANT,
        given.order,
        "ann",
    )
    assert isinstance(released, HoldState)
    assert (released.state, released.ground) == (S.RELEASED, Ground.GRANT)


async def test_a_program_passes_by_its_file_arguments_and_surroundings(
    bench: Bench, sleeper: Child
) -> None:
    """And one that was written to since does not, though not one byte is another."""
    sleeper.stop()
    act = exec_act(sleeper, "export", "--all")
    give(bench, grant(bench, act))
    assert held(bench, act) is None
    assert sleeper.runs()
    os.utime(act.executable)
    sleeper.stop()
    assert held(bench, act) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"argv": ("export", "--all", "--drop")},
        {"argv": ("export",)},
        {"cwd": "/tmp"},  # noqa: S108
        {"environment": {"PATH": "/usr/bin", "LD_PRELOAD": "/x.so"}},
        {"session": OTHER_SESSION},
        {"subject": "another"},
        {"gid": 1},
        {"guarantee": Guarantee.LATE},
        {"argv_cut": True},
        {"path_cut": True},
        {"environment": {"PATH": "/usr/bin", "(not read)": "9 of 9 bytes"}},
        {"filename": "/usr/bin/env"},
    ],
    ids=str,
)
async def test_whatever_differs_is_asked_about(
    bench: Bench, sleeper: Child, changes: dict[str, object]
) -> None:
    """An act is covered as a whole or not at all."""
    sleeper.stop()
    act = exec_act(sleeper, "export", "--all")
    give(bench, grant(bench, act))
    other = replace(act, **changes)  # type: ignore[arg-type]
    assert held(bench, other) is not None
    assert sleeper.stopped()


async def test_another_rule_asks_anew_and_a_rule_that_denies_still_denies(
    bench: Bench, one: Child
) -> None:
    """A grant answers the question that was asked, and no other."""
    one.stop()
    act = file_act(one)
    give(bench, grant(bench, act))
    rule = asking().rule
    assert rule is not None
    bench.ruled = lambda _: replace(asking(), rule=replace(rule, id="stricter"))
    assert held(bench, act) is not None
    bench.ruled = lambda _: asking(action=Action.DENY)
    held(bench, act)
    assert one.ended_by() == 9


async def test_a_grant_works_as_often_as_it_says(bench: Bench, one: Child) -> None:
    """Also over restarts; then the question comes again."""
    one.stop()
    act = file_act(one)
    give(bench, grant(bench, act, uses=2))
    for _ in range(2):
        assert held(bench, act) is None
        one.stop()
        bench.restart()
    assert held(bench, act) is not None


async def test_a_use_that_is_not_on_disk_lets_nothing_pass(bench: Bench, one: Child) -> None:
    """Nor is any counted: the use and what it lets pass are one transaction."""
    one.stop()
    act = file_act(one)
    given = grant(bench, act, uses=1)
    give(bench, given)
    bench.journal._db.execute(
        "CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    assert held(bench, act) is None
    assert one.stopped()
    assert bench.keeper.stuck()
    assert bench.journal.orders.uses_left(given.order) == 1


async def test_the_last_use_cannot_be_taken_twice(bench: Bench, one: Child) -> None:
    """Whoever asks for it again gets an error and no release."""
    given = grant(bench, file_act(one), uses=1)
    give(bench, given)
    bench.journal.orders.use(given.order)
    with pytest.raises(JournalError, match="no use left"):
        bench.journal.orders.use(given.order)


async def test_time_ends_a_grant_by_either_clock(bench: Bench, one: Child) -> None:
    """The boot clock, and the time of day."""
    one.stop()
    act = file_act(one)
    give(bench, grant(bench, act, expires_ns=bench.clock.now_ns() + 99 * MINUTE_NS))
    give(bench, grant(bench, act, expires_boot_ns=bench.clock.boot + 99 * MINUTE_NS))
    bench.clock.boot += 15 * MINUTE_NS
    assert held(bench, act) is not None


async def test_a_revoked_grant_covers_nothing(bench: Bench, one: Child) -> None:
    """From the moment that the host has the order."""
    one.stop()
    act = file_act(one)
    given = grant(bench, act)
    give(bench, given)
    give(bench, revocation(bench, given))
    bench.restart()
    assert held(bench, act) is not None


def refused(bench: Bench) -> list[str]:
    """Return why orders were refused."""
    return [words for name, words in bench.notes.notices if name == "order_refused"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"host": HostId("b" * 32)}, "not this one"),
        ({"boot_id": "another"}, "another boot"),
        ({"expires_boot_ns": 1}, "expired"),
        ({"expires_ns": 1}, "expired"),
        ({"expires_boot_ns": 1 << 62}, "longer than any"),
        ({"uses": 0}, "no use"),
    ],
    ids=str,
)
async def test_a_grant_that_cannot_be_meant_has_no_effect(
    bench: Bench, one: Child, changes: dict[str, object], why: str
) -> None:
    """For another host, another boot, expired, endless: the act is asked about, and it is said."""
    one.stop()
    act = file_act(one)
    give(bench, grant(bench, act, **changes))
    assert held(bench, act) is not None
    assert why in refused(bench)[0]


async def test_a_forged_grant_has_no_effect(bench: Bench, one: Child) -> None:
    """Signed by another key, by none, or changed after the signature."""
    one.stop()
    act = file_act(one)
    given = grant(bench, act)
    give(bench, given, Signer.generate())
    data = codec.encode(given)
    bench.keeper.on_order(data, None)
    bench.keeper.on_order(codec.encode(replace(given, uses=99)), bench.signer.headers(data))
    assert held(bench, act) is not None
    assert len(refused(bench)) == 3


async def test_a_grant_that_comes_again_gives_no_further_use(bench: Bench, one: Child) -> None:
    """The stream delivers twice, and whoever has the NATS key may too; also after its end."""
    one.stop()
    act = file_act(one)
    given = grant(bench, act, uses=1)
    for _ in range(2):
        give(bench, given)
    assert held(bench, act) is None
    one.stop()
    give(bench, given)
    assert held(bench, act) is not None


async def test_a_grant_that_is_older_than_its_revocation_has_no_effect(
    bench: Bench, one: Child
) -> None:
    """Whatever the order in which they come."""
    one.stop()
    act = file_act(one)
    given = grant(bench, act)
    give(bench, revocation(bench, given))
    bench.restart()
    give(bench, given)
    assert held(bench, act) is not None
    assert "revoked before" in refused(bench)[0]


async def test_a_grant_of_before_a_lost_journal_has_no_effect(bench: Bench, one: Child) -> None:
    """What was used of it is not known any more."""
    one.stop()
    act = file_act(one)
    given = grant(bench, act)
    give(bench, given)
    bench.crash()
    damage(bench.directory / "journal.db")
    bench.begin()
    bench.keeper.start()
    give(bench, given)
    assert held(bench, act) is not None
    assert "older than the loss" in refused(bench)[0]


async def test_what_waits_and_is_covered_is_superseded(
    bench: Bench, one: Child, other: Child
) -> None:
    """All but the request that the grant was made with, whose own answer is on its way."""
    for process in (one, other):
        process.stop()
    act = file_act(one)
    first = held(bench, act)
    second = held(bench, file_act(other))
    assert first is not None
    assert second is not None
    given = grant(bench, act, request=request_of(first), uses=1)
    give(bench, given)
    assert one.stopped()
    assert other.runs()
    assert bench.states(second) == [S.SUPERSEDED, S.RELEASED]
    bench.answer(first, Answer.APPROVE)
    assert bench.states(first) == [S.APPROVED, S.RELEASED]


async def test_an_answer_to_what_was_superseded_is_too_late(bench: Bench, one: Child) -> None:
    """It is recorded and changes nothing."""
    one.stop()
    hold = held(bench, file_act(one))
    assert hold is not None
    bench.journal.orders.take(grant(bench, file_act(one)), bench.clock.now_ns())
    bench.held.entries.clear()
    verdict = bench.verdict(hold, Answer.DENY)
    bench.restart()
    bench.deliver(verdict)
    assert bench.states(hold) == [S.SUPERSEDED, S.RELEASED]
    assert one.runs()


@pytest.mark.parametrize("copied", ["/bin/sh", "/usr/bin/perl"], indirect=True)
async def test_a_wrapper_is_known_by_any_name(bench: Bench, copied: Child) -> None:
    """No grant for a copy of it counts, and the request says why."""
    act = exec_act(copied, "harmless")
    give(bench, grant(bench, act))
    hold = held(bench, act)
    assert hold is not None
    (opened,) = bench.said(hold)
    assert isinstance(opened, HoldOpened)
    assert opened.grant is None
    assert opened.not_grantable.startswith("it is /")
