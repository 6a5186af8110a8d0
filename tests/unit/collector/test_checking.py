"""Batches of events, checked here or in other processes: the same comes out, whatever goes in."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from collector.ingest import checking
from collector.ingest.checking import Checked, Checkers, check
from collector.ingest.work import Delivery
from collector.trail.event_rows import EventRows, event_rows
from tests.support.centre import REPOSITORY
from tests.support.wire_host import batch, full_row
from wire import subjects
from wire.codec import decode_as, encode
from wire.errors import MessageError
from wire.ids import HostId
from wire.messages import EventBatch

HOST, OTHER = HostId("a" * 32), HostId("b" * 32)
EMPTY = {"time_ns": 5, "kind": "notice", "count": 1}


def delivery(message: EventBatch, host: HostId = HOST) -> Delivery:
    """Return a message as it comes in on the subject of a host."""
    return Delivery(subjects.EVENTS, 1, subjects.event(host), encode(message), {})


def sent() -> list[Delivery]:
    """Return batches that are sound, of the wrong host, no batch, and with wrong values."""
    sound = [batch(HOST, place, place * 2 - 1, [full_row(), EMPTY]) for place in (1, 2, 3)]
    columns = dict(sound[1].columns)
    wrong = replace(sound[1], columns=columns | {"count": [2.0, 1]})
    words = replace(sound[1], columns=columns | {"argv": [["a", 7], None]})
    # Nothing that is no text is in it, but text of bytes.
    raw = replace(sound[1], columns=columns | {"argv": [[b"a"], None]})
    made = [delivery(one) for one in (*sound, wrong, words, raw)]
    return [*made, delivery(sound[0], OTHER), replace(made[0], data=b"nonsense")]


def same(found: Checked, expected: Checked) -> bool:
    """Return whether both say the same of each message."""
    return len(found) == len(expected) and all(
        replace(a, data=b.data) == b and a.data.equals(b.data)
        if isinstance(a, EventRows) and isinstance(b, EventRows)
        else (type(a), str(a)) == (type(b), str(b))
        for a, b in zip(found, expected, strict=True)
    )


def one_by_one(deliveries: Sequence[Delivery]) -> Checked:
    """Check each alone."""
    return [check([one])[0] for one in deliveries]


def test_together_is_as_one_by_one() -> None:
    """One that is broken takes no other with it, nor do columns that one of them lacks."""
    found = check(sent())
    assert [isinstance(one, EventRows) for one in found] == [True] * 3 + [False] * 5
    assert same(found, one_by_one(sent()))
    sound = [decode_as(one.data, EventBatch) for one in sent()[:3]]
    for made, message, one in zip(found, sound, sent(), strict=False):
        assert isinstance(made, EventRows)
        assert made.data.equals(event_rows(message, one.data).data)
    said = next(str(one) for one in found if isinstance(one, MessageError))
    assert said.startswith("events: column count")


def test_other_processes_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the messages, and with the rows of each."""
    monkeypatch.setattr(checking, "_WORTH_IT", 1)
    checkers = Checkers(2)
    try:
        found = asyncio.run(checkers.check(sent() * 3))
        assert psutil.Process().children(recursive=True)
    finally:
        checkers.close()
    assert same(found, one_by_one(sent() * 3))


def test_when_its_processes_are_killed_it_checks_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No message is lost, and the next flood has new processes."""
    monkeypatch.setattr(checking, "_WORTH_IT", 1)
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    checkers = Checkers(1)
    try:
        for _ in range(2):
            asyncio.run(checkers.check(sent()))
            for child in psutil.Process().children(recursive=True):
                if child.pid not in before and "spawn_main" in " ".join(child.cmdline()):
                    os.kill(child.pid, signal.SIGKILL)
            assert same(asyncio.run(checkers.check(sent())), one_by_one(sent()))
    finally:
        checkers.close()


def test_little_needs_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site with few events has no more processes than before."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(checking, "ProcessPoolExecutor", never)
    checkers = Checkers(2)
    found = asyncio.run(checkers.check(sent()))
    assert same(found, one_by_one(sent()))
    monkeypatch.setattr(checking, "_WORTH_IT", 1)
    with pytest.raises(AssertionError):
        asyncio.run(checkers.check(sent()))


_MORTAL = """
import asyncio, time
from collector.ingest import checking
from tests.unit.collector.test_checking import sent
if __name__ == "__main__":
    checking._WORTH_IT = 1
    checkers = checking.Checkers(1)
    asyncio.run(checkers.check(sent()))
    print("checked", flush=True)
    time.sleep(600)
"""


def test_a_collector_that_is_killed_leaves_none_of_them(tmp_path: Path) -> None:
    """They wait for its end themselves."""
    script = tmp_path / "mortal.py"
    script.write_text(_MORTAL, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(script)],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
    ) as mortal:
        assert mortal.stdout is not None
        assert mortal.stdout.readline() == b"checked\n"
        children = psutil.Process(mortal.pid).children(recursive=True)
        assert children
        mortal.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
