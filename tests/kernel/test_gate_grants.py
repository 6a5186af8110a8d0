"""Gate mode and grants: what one covers passes without a stop, and each use is counted and told."""

import os
import select
import socket
import time
from collections.abc import Iterator

import pytest

from agent.sensor.interface import HeldAct, Permits, Terms
from tests.support.inside import PATIENCE
from tests.support.started import Started
from tests.support.watched import Watched
from wire.ids import OrderId, new_id

pytestmark = [pytest.mark.kernel, pytest.mark.gate]

RULES = """
rules:
  - id: secret
    description: A secret.
    severity: high
    match: { open: { path: "{place}/secret*" } }
    action: ask
  - id: network
    description: Anything on the network.
    severity: high
    match: { connect: { address: 0.0.0.0/0 } }
    action: ask
"""
# Does what each line says, and says what came of it.
WORKER = """
for line in sys.stdin:
    what, name = line.split()
    try:
        if what == 'read':
            with open(name) as file: say('read', file.read())
        if what == 'write':
            with open(name, 'r+') as file: say('opened')
        if what == 'connect':
            with socket.create_connection(('127.0.0.1', int(name))): say('connected')
        if what == 'send':
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                say(one.sendto(b'x', ('127.0.0.1', int(name))))
    except OSError as error:
        say('failed', error.errno)
"""
LATER_NS = 3_600_000_000_000


@pytest.fixture
def permits(watched: Watched) -> Iterator[Permits]:
    """The grants of the kernel; none of them outlives a test."""
    watched.rules(RULES)
    watched.sensor.beat()  # without an agent nothing passes
    for name in ("secret", "secret-2"):
        (watched.place / name).write_text(name)
        (watched.place / name).chmod(0o666)
    yield watched.sensor.permits
    left = watched.sensor.permits
    for order in list(left.left()):
        left.forbid(order)
    for _ in left.uses():
        pass


def boot_ns() -> int:
    """Return the kernel's time."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def held(watched: Watched, child: Started, *words: object) -> HeldAct:
    """Have a child do something, and see that it is held."""
    child.tell(" ".join(map(str, words)))
    return watched.next_hold(child)


def passes(watched: Watched, child: Started, *words: object) -> str:
    """Have a child do something that is not held; return what came of it.

    Nobody lets it run on here, so had it been stopped it would say nothing.
    """
    watched.sensor.beat()  # as an agent does each second
    child.tell(" ".join(map(str, words)))
    assert child.process.stdout is not None
    ready, _, _ = select.select([child.process.stdout], [], [], 20 * PATIENCE)
    assert ready, f"it is held: {watched.holds()}"
    assert watched.holds() == []
    return child.line()


def granted(
    watched: Watched,
    child: Started,
    *words: object,
    uses: int = 2,
    whole_subject: bool = False,
    life_ns: int = LATER_NS,
) -> tuple[OrderId, Terms]:
    """Grant what a child does once, after it was held; return the order."""
    act = held(watched, child, *words)
    terms = watched.sensor.permits.terms_of(act.key)
    assert terms is not None
    order = OrderId(new_id())
    assert watched.sensor.permits.permit(
        order,
        terms,
        whole_subject=whole_subject,
        uses=uses,
        expires_boot_ns=boot_ns() + life_ns,
    )
    watched.let_go(act, child)
    child.line()
    return order, terms


def told(watched: Watched) -> list[tuple[OrderId | None, str]]:
    """Return the uses that were told: of which grant, of what."""
    return [
        (use.order, watched.sensor.act_of_use(use).path or watched.sensor.act_of_use(use).address)
        for use in watched.sensor.permits.uses()
    ]


def test_a_file_passes_without_a_stop_so_often_as_was_said(
    watched: Watched, permits: Permits
) -> None:
    """Two uses, each told with all that is told of a hold; the third open is held."""
    child = watched.run(WORKER)
    order, _ = granted(watched, child, "read", "secret", uses=2)
    for left in (1, 0):
        assert passes(watched, child, "read", "secret") == "read secret"
        assert permits.left() == {order: left}
    (first, _) = uses = list(permits.uses())
    assert [use.order for use in uses] == [order, order]
    act = watched.sensor.act_of_use(first)
    assert act.path == str(watched.place / "secret")
    assert act.process.pid == child.pid
    assert act.process.argv
    assert act.ancestors
    held(watched, child, "read", "secret")
    assert permits.left() == {order: 0}
    assert told(watched) == []


def test_a_connection_and_a_datagram_pass_too(watched: Watched, permits: Permits) -> None:
    """By address, port and protocol; another port is held."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        port = server.getsockname()[1]
        datagrams.bind(("127.0.0.1", 0))
        other = datagrams.getsockname()[1]
        child = watched.run(WORKER)
        order, _ = granted(watched, child, "connect", port)
        assert passes(watched, child, "connect", port) == "connected"
        second, _ = granted(watched, child, "send", other)
        assert passes(watched, child, "send", other) == "1"
        assert told(watched) == [(order, "127.0.0.1"), (second, "127.0.0.1")]
        held(watched, child, "send", port)


@pytest.mark.parametrize("words", [("write", "secret"), ("read", "secret-2")])
def test_another_act_is_held(watched: Watched, permits: Permits, words: tuple[str, str]) -> None:
    """The same file opened otherwise, and another file."""
    child = watched.run(WORKER)
    order, _ = granted(watched, child, "read", "secret")
    held(watched, child, *words)
    assert permits.left() == {order: 2}


def test_a_file_in_the_place_of_the_one_that_was_granted_is_held(
    watched: Watched, permits: Permits
) -> None:
    """Of the same name, whatever inode it has; and the same file under another name."""
    child = watched.run(WORKER)
    secret = watched.place / "secret"
    order, _ = granted(watched, child, "read", "secret")
    os.link(secret, watched.place / "secret-linked")
    act = held(watched, child, "read", "secret-linked")
    watched.let_go(act, child)
    child.line()
    os.unlink(watched.place / "secret-linked")
    os.unlink(secret)
    secret.write_text("other")
    secret.chmod(0o666)
    held(watched, child, "read", "secret")
    assert permits.left() == {order: 2}


def test_a_grant_that_has_expired_covers_nothing(watched: Watched, permits: Permits) -> None:
    """By the kernel's own clock; no agent has to come for that."""
    child = watched.run(WORKER)
    granted(watched, child, "read", "secret", life_ns=1)
    held(watched, child, "read", "secret")


def test_a_grant_that_is_revoked_covers_nothing(watched: Watched, permits: Permits) -> None:
    """From the instant on that its entry is gone."""
    child = watched.run(WORKER)
    order, _ = granted(watched, child, "read", "secret")
    assert passes(watched, child, "read", "secret") == "read secret"
    permits.forbid(order)
    assert permits.left() == {}
    held(watched, child, "read", "secret")
    assert told(watched) == [(order, str(watched.place / "secret"))]  # of before


def test_another_session_is_held_unless_the_whole_subject_was_meant(
    watched: Watched, permits: Permits
) -> None:
    """A session is the tree under the first labelled process."""
    child, other = watched.run(WORKER), watched.run(WORKER)
    granted(watched, child, "read", "secret")
    held(watched, other, "read", "secret")
    third = watched.run(WORKER)
    order, _ = granted(watched, third, "read", "secret-2", whole_subject=True)
    fourth = watched.run(WORKER)
    fourth.tell("read secret-2")
    assert fourth.line() == "read secret-2"
    assert permits.left()[order] == 1


def held_or_done(watched: Watched, child: Started) -> HeldAct | None:
    """Have a child read the secret; return the hold, None if it has read it."""
    watched.sensor.beat()
    child.tell("read secret")
    assert child.process.stdout is not None
    while True:
        # The descriptor of holds is readable throughout, since nobody takes the uses.
        ready, _, _ = select.select([child.process.stdout.fileno()], [], [], 0.02)
        if ready:
            assert child.line() == "read secret"
            return None
        if found := watched.sensor.new_holds():
            return found[0]


def test_a_full_ring_has_the_act_held(watched: Watched, permits: Permits) -> None:
    """And that it was not told counts no use."""
    child = watched.run(WORKER)
    order, _ = granted(watched, child, "read", "secret", uses=1000)
    said = 0
    while (found := held_or_done(watched, child)) is None:
        said += 1
    assert permits.left() == {order: 1000 - said}
    assert len(told(watched)) == said
    watched.let_go(found, child)
    child.line()
    assert passes(watched, child, "read", "secret") == "read secret"


def test_an_agent_that_comes_anew_goes_on_with_the_counts(
    watched: Watched, permits: Permits
) -> None:
    """kill -9 at any time: what was used while none was there is told to the next."""
    child = watched.run(WORKER)
    order, _ = granted(watched, child, "read", "secret", uses=3)
    watched.stop()
    child.tell("read secret")
    assert child.line() == "read secret"
    watched.start()
    assert watched.sensor.permits.left() == {order: 2}
    use = next(iter(watched.sensor.permits.uses()))  # and killed before it was recorded
    watched.again()
    assert [one.record for one in watched.sensor.permits.uses()] == [use.record]
    assert passes(watched, child, "read", "secret") == "read secret"


def test_what_the_agent_lets_go_itself_counts_in_the_kernel(
    watched: Watched, permits: Permits
) -> None:
    """Of one use that is left, one of both gets it."""
    child = watched.run(WORKER)
    order, _ = granted(watched, child, "read", "secret", uses=2)
    assert permits.take_use(order)
    assert passes(watched, child, "read", "secret") == "read secret"
    assert not permits.take_use(order)
    held(watched, child, "read", "secret")


def test_threads_at_once_use_no_more_than_there_are(watched: Watched, permits: Permits) -> None:
    """Eight threads, a hundred uses: a hundred opens pass, and every other one is held."""
    child = watched.run(
        "open('secret').close(); sys.stdin.readline()\n"
        "done = []\n"
        "def read():\n"
        "    for _ in range(100): open('secret').close(); done.append(1)\n"
        "threads = [threading.Thread(target=read, daemon=True) for _ in range(8)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
    )
    act = watched.next_hold(child)
    terms = permits.terms_of(act.key)
    assert terms is not None
    order = OrderId(new_id())
    assert permits.permit(
        order, terms, whole_subject=False, uses=100, expires_boot_ns=boot_ns() + LATER_NS
    )
    watched.let_go(act, child)
    child.tell()
    uses = 0
    while uses < 100:
        watched.sensor.beat()
        # One that lost a use to another at the same instant is held although one was left.
        watched.let_all_go(child)
        uses += len(told(watched))
    watched.next_hold(child)
    child.wait_stopped()
    assert uses + len(told(watched)) == 100
    assert permits.left()[order] == 0
