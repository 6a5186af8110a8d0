"""What the kernel could not tell is counted exactly: the record has a gap, never a hole."""

import pytest

from tests.support.tiny_elf import write_creator
from tests.support.watched import Watched
from wire.acts import Kind

pytestmark = pytest.mark.kernel

RULES = """
rules:
  - id: seen
    description: Files and programs that are seen.
    severity: info
    match: MATCH
    action: observe
"""


def test_opens_that_found_no_room_are_counted_to_the_last(watched: Watched) -> None:
    """More opens than the ring has room for: those told and those counted add up."""
    watched.may_lose = True
    watched.rules(RULES.replace("MATCH", '{ open: { path: "{place}/file" } }'))
    (watched.place / "file").touch()
    before = watched.losses()
    count = 30_000
    child = watched.run(f"for n in range({count}): os.close(_libc.open(b'file', 0))")
    assert child.end() == 0
    told = watched.acts()
    lost = watched.losses().events - before.events
    assert lost > 0
    assert len(told) + lost == count
    assert {(act.kind, act.path) for act in told} == {(Kind.OPEN, str(watched.place / "file"))}
    # There is room again.
    assert watched.run("os.close(_libc.open(b'file', 0))").end() == 0
    assert len(watched.acts()) == 1
    after = watched.losses()
    assert after.events - before.events == lost
    assert (after.holds, after.labels) == (before.holds, before.labels)


def test_execs_that_found_no_room_are_counted_to_the_last(watched: Watched) -> None:
    """The same for programs, whose records are of all sizes."""
    watched.may_lose = True
    watched.rules(RULES.replace("MATCH", "{ exec: { path: tiny } }"))
    write_creator(watched.place / "tiny", watched.place / "made")
    before = watched.losses()
    count = 700
    child = watched.run(
        f"for n in range({count}):\n"
        "  os.waitpid(os.posix_spawn('./tiny', ['tiny', 'x' * n], {}), 0)\n"
    )
    assert child.end() == 0
    told = watched.execs()
    lost = watched.losses().events - before.events
    assert lost > 0
    assert [act.argv for act in told] == [("tiny", "x" * n) for n in range(count - lost)]


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_draining_in_parts_gives_each_act_once(watched: Watched, limit: int) -> None:
    """A limit cuts the work, not the record."""
    watched.rules(
        "rules:\n"
        "  - { id: files, description: F., severity: info, action: observe,\n"
        '      match: { open: { path: "{place}/file" } } }\n'
        "  - { id: programs, description: P., severity: info, action: observe,\n"
        "      match: { exec: { path: tiny } } }\n"
    )
    (watched.place / "file").touch()
    (watched.place / "file").chmod(0o666)
    write_creator(watched.place / "tiny", watched.place / "made")
    child = watched.run(
        "for n in range(10):\n"
        "  os.waitpid(os.posix_spawn('./tiny', ['tiny', str(n)], {}), 0)\n"
        "  os.close(_libc.open(b'file', n % 2))\n"
    )
    assert child.end() == 0
    execs, opens = [], []
    while part := watched.sensor.drain_execs(limit):
        assert len(part) <= limit
        execs += [act.argv[1] for act in part]
    while rows := watched.sensor.drain_acts(limit):
        assert sum(row.times for row in rows) <= limit
        opens += [watched.sensor.act_of(row).flags for row in rows for _ in range(row.times)]
    assert execs == [str(n) for n in range(10)]
    # Those that were read together and are the same stand together.
    assert sorted(opens) == [("read",)] * 5 + [("write",)] * 5
    assert limit > 2 or opens == [("read",), ("write",)] * 5
