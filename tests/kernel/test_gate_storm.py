"""Gate mode: what is held or refused and repeated in a loop is not work for the host each time."""

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.inside import PATIENCE
from tests.support.started import signal_process, state
from tests.support.watched import Watched

pytestmark = [pytest.mark.kernel, pytest.mark.gate]

RULES = """
rules:
  - id: secret
    description: A secret.
    severity: high
    match: { open: { path: "{place}/secret*" } }
    action: ask
"""
SECOND_NS = 1_000_000_000


@pytest.fixture
def guarded(watched: Watched) -> Iterator[Watched]:
    """Two files that are asked about."""
    watched.rules(RULES)
    for name in ("secret", "secret-2"):
        (watched.place / name).write_text(name)
        (watched.place / name).chmod(0o644)
    yield watched
    watched.sensor.refused_again(everything=True)


def timed(act: Callable[[], object], seconds: float) -> str:
    """Do something over and over for a time; return in words how long it took each time."""
    end = time.monotonic() + seconds
    found: list[float] = []
    while not found or time.monotonic() < end:
        began = time.perf_counter()
        act()
        found.append(time.perf_counter() - began)
    return (
        f"{len(found)} times, median {statistics.median(found) * 1e6:.0f} us, "
        f"worst {max(found) * 1e6:.0f} us"
    )


def unrelated(watched: Watched, seconds: float) -> str:
    """Open files and run programs as somebody who is not watched; return how long that takes."""
    nobody = watched.accounts.other.pw_uid
    file = watched.place / "unrelated"
    file.touch()

    def opens() -> None:
        os.close(os.open(file, os.O_RDONLY))

    def runs() -> None:
        subprocess.run(["/bin/true"], user=nobody, check=True)

    return f"opens: {timed(opens, seconds / 2)}; programs: {timed(runs, seconds / 2)}"


STORM = """
import signal
pid, sent, refused = PID, 0, 0
sys.stdin.readline()
end = time.monotonic() + SECONDS
while time.monotonic() < end:
    for number in (signal.SIGCONT, signal.SIGUSR1):
        try: os.kill(pid, number)
        except PermissionError: refused += 1
        sent += 1
say(sent, refused)
"""


def test_a_storm_of_sigcont_is_told_in_a_few_words_and_the_process_stays_held(
    guarded: Watched,
) -> None:
    """By three siblings, with a signal that has a handler between, and by the agent's own user."""
    child = guarded.run(
        "import signal\n"
        "signal.signal(signal.SIGUSR1, lambda *_: say('a handler has run'))\n"
        "say('ready'); say(open('secret').read())\n"
    )
    assert child.line() == "ready"
    held = guarded.next_hold(child)
    child.wait_stopped()
    print("quiet:", unrelated(guarded, 2))
    seconds = 3 * PATIENCE
    code = STORM.replace("PID", str(child.pid)).replace("SECONDS", str(seconds))
    siblings = [guarded.run(f"import time\n{code}") for _ in range(3)]
    for sibling in siblings:
        sibling.tell()
    print("storm:", unrelated(guarded, seconds))
    counts = [tuple(map(int, sibling.line().split())) for sibling in siblings]
    refused = sum(count for _, count in counts)
    for _ in range(1000):
        signal_process(child.pid, signal.SIGCONT)  # the security function lets ours through
    told = guarded.sensor.new_resumes()
    print(f"{refused} refused, told {[one.count for one in told]}, holds {len(guarded.holds())}")
    assert refused > 100
    counted = [one.count for one in told]
    # Senders count without a lock: two at the same instant may both tell, and one may not count.
    assert counted == sorted(counted)
    assert len(str(refused)) - 1 <= len(counted) <= 2 * len(str(refused))
    assert refused / 100 < counted[-1] <= refused
    assert [one.key for one in guarded.holds()] == [held.key]
    assert guarded.sensor.new_holds() == []
    assert state(child.pid) == "T"
    guarded.let_go(held, child)
    assert {child.line(), child.line()} == {"a handler has run", "secret"}


def test_attempts_to_trace_a_held_process_are_told_in_a_few_words(guarded: Watched) -> None:
    """Each of them is refused."""
    child = guarded.run("say(open('secret').read())")
    held = guarded.next_hold(child)
    child.wait_stopped()
    tracer = guarded.run(
        "refused = 0\n"
        "for _ in range(1500):\n"
        f"    try: call(101, 16, {child.pid}, 0, 0)\n"
        "    except PermissionError: refused += 1\n"
        "say(refused)\n"
    )
    assert tracer.line() == "1500"
    told = guarded.sensor.new_resumes()
    assert [one.count for one in told] == [1, 10, 100, 1000]
    assert all(one.trace_refused and one.pid == child.pid for one in told)
    guarded.let_go(held, child)
    assert child.line() == "secret"


REPEATED = """
def attempt(name, times):
    refused = 0
    for _ in range(times):
        try: os.close(os.open(name, os.O_RDONLY))
        except PermissionError: refused += 1
    return refused
say('ready')
while line := sys.stdin.readline().split():
    say(attempt(line[0], int(line[1])))
"""


def test_a_refused_call_that_is_made_again_in_a_loop_is_no_hold_each_time(
    guarded: Watched,
) -> None:
    """For that process, that act and that time; whatever else it does is held as ever."""
    child = guarded.run(REPEATED)
    assert child.line() == "ready"
    child.tell("secret 5000")
    held = guarded.next_hold(child)
    until = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 3600 * SECOND_NS
    name = guarded.sensor.refuse_again(held.key, until)
    assert name is not None
    guarded.let_go(held, child, refuse=True)
    assert child.line() == "5000"
    assert guarded.holds() == []
    child.tell("secret-2 1")
    guarded.let_go(guarded.next_hold(child), child)
    assert child.line() == "0"
    another = guarded.run(REPEATED)
    assert another.line() == "ready"
    another.tell("secret 1")
    guarded.let_go(guarded.next_hold(another), another)
    assert another.line() == "0"
    assert guarded.sensor.refused_again() == [], "it has not ended"
    assert guarded.sensor.refused_again(everything=True) == [(name, 4999)]
    child.tell("secret 1")
    guarded.let_go(guarded.next_hold(child), child)
    assert child.line() == "0"


def test_what_the_kernel_refuses_by_itself_ends_by_itself(guarded: Watched) -> None:
    """Also where no agent is there to end it: the next call is held again."""
    child = guarded.run(REPEATED)
    assert child.line() == "ready"
    child.tell("secret 1")
    held = guarded.next_hold(child)
    until = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + SECOND_NS
    name = guarded.sensor.refuse_again(held.key, until)
    guarded.let_go(held, child, refuse=True)
    assert child.line() == "1"
    time.sleep(max(0, until - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) / SECOND_NS)
    child.tell("secret 1")
    guarded.let_go(guarded.next_hold(child), child)
    assert child.line() == "0"
    assert guarded.sensor.refused_again() == [(name, 0)]


def test_a_file_of_another_inode_under_the_same_name_is_another_act(guarded: Watched) -> None:
    """What is refused by itself is the very act, not the words for it."""
    child = guarded.run(REPEATED)
    assert child.line() == "ready"
    child.tell("secret 1")
    held = guarded.next_hold(child)
    until = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 3600 * SECOND_NS
    guarded.sensor.refuse_again(held.key, until)
    guarded.let_go(held, child, refuse=True)
    assert child.line() == "1"
    fresh = guarded.place / "fresh"
    fresh.write_text("another")
    fresh.chmod(0o644)
    fresh.rename(guarded.place / "secret")
    child.tell("secret 1")
    guarded.let_go(guarded.next_hold(child), child)
    assert child.line() == "0"
