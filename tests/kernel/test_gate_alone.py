"""Gate mode without an agent: what is held stays so, what comes is held, denied or let through."""

import errno
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.sensor import tickets
from tests.support.sensors import environment
from tests.support.started import signal_process
from tests.support.tiny_elf import write_creator
from tests.support.watched import PINS, Watched

pytestmark = [pytest.mark.kernel, pytest.mark.gate]

CHECKOUT = Path(__file__).resolve().parents[2]
RULES = """
rules:
  - id: reads
    description: Reads what is kept.
    severity: high
    match: { open: { path: "{place}/kept" } }
    action: ask
    on_no_agent: NO_AGENT
  - id: deletes
    description: Deletes what is kept.
    severity: high
    match: { delete: { path: "{place}/kept" } }
    action: ask
    on_no_agent: NO_AGENT
"""
EXEC = """
  - id: runs
    description: Runs a program.
    severity: high
    match: { exec: { path: tiny } }
    action: ask
    on_no_agent: NO_AGENT
"""
READS = """
try:
    say(open('kept').read())
except OSError as error:
    say('failed', error.errno)
"""
DELETES = "os.unlink('kept'); say('deleted')"


@pytest.fixture(autouse=True)
def there_again(watched: Watched) -> Iterator[None]:
    """Leave no limit in the kernel by which no agent would be there for the tests that follow."""
    yield
    watched.sensor.beat()


@pytest.fixture
def kept(watched: Watched) -> Path:
    """The file that rules are about."""
    (watched.place / "kept").write_text("swordfish")
    (watched.place / "kept").chmod(0o644)
    watched.rules(RULES.replace("NO_AGENT", "hold"))
    return watched.place / "kept"


def test_a_killed_agent_s_holds_and_what_came_after_wait_for_the_next_one(
    watched: Watched, kept: Path
) -> None:
    """Nothing of either has happened; the same maps are taken up, and each goes on once."""
    watched.stop()
    people = watched.accounts
    ids = (str(people.watched.pw_uid), str(people.group.gr_gid))
    words = (
        "-m",
        "tests.support.agent_process",
        str(PINS),
        *ids,
        str(watched.place / "rules.yaml"),
    )
    agent = watched.run([sys.executable, *words], user=0, group=0, cwd=CHECKOUT, env=environment())
    assert agent.line() == "started"
    before = watched.run(READS)
    before.wait_stopped()
    signal_process(agent.pid, signal.SIGKILL)
    assert agent.end() == -signal.SIGKILL
    after = watched.run(DELETES)
    after.wait_stopped()
    with pytest.raises(PermissionError):  # not even root, who is not the agent
        before.resume()
    assert kept.exists()
    watched.start()
    held = {one.act.process.pid: one for one in watched.holds()}
    assert held.keys() == {before.pid, after.pid}
    watched.let_go(held[before.pid], before)
    assert before.line() == "swordfish"
    assert kept.exists()
    watched.let_go(held[after.pid], after)
    assert after.line() == "deleted"
    assert watched.holds() == []


@pytest.mark.parametrize(
    ("no_agent", "said"), [("deny", f"failed {errno.EPERM}"), ("allow", "swordfish")]
)
def test_a_rule_says_what_happens_once_no_agent_has_been_there_for_long(
    watched: Watched, kept: Path, monkeypatch: pytest.MonkeyPatch, no_agent: str, said: str
) -> None:
    """It is told of as what it was; while an agent is there, and by default, it is a hold."""
    watched.rules(RULES.replace("NO_AGENT", no_agent))
    watched.sensor.beat()
    present = watched.run(READS)
    watched.let_go(watched.next_hold(present), present)
    assert present.line() == "swordfish"
    monkeypatch.setattr(tickets, "ALONE_NS", 1)  # so long is over by the next call
    watched.sensor.beat()
    alone = watched.run(READS)
    assert alone.line() == said
    assert alone.end() == 0
    assert watched.holds() == []
    # By the record of what is told whole, as an exec is.
    (told,) = (one for one in watched.execs() if "no_agent" in one.flags)
    assert (told.path, told.process.pid) == (str(kept), alone.pid)
    watched.rules(RULES.replace("NO_AGENT", "hold"))
    child = watched.run(READS)
    assert watched.next_hold(child).act.path == str(kept)


@pytest.mark.parametrize(("no_agent", "end"), [("deny", -signal.SIGKILL), ("allow", 0)])
def test_a_program_is_killed_or_runs_as_its_rule_says_without_an_agent(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, no_agent: str, end: int
) -> None:
    """Before its first instruction, and told of; with an agent it is held."""
    made = watched.place / "made"
    write_creator(watched.place / "tiny", made)
    watched.rules(RULES.replace("NO_AGENT", "hold") + EXEC.replace("NO_AGENT", no_agent))
    watched.sensor.beat()
    present = watched.run([watched.place / "tiny"])
    watched.let_go(watched.next_hold(present), present)
    assert present.end() == 0
    made.unlink()
    monkeypatch.setattr(tickets, "ALONE_NS", 1)
    watched.sensor.beat()
    alone = watched.run([watched.place / "tiny"])
    assert alone.end() == end
    assert made.exists() is (end == 0)
    assert watched.holds() == []
    (told,) = (one for one in watched.execs() if one.process.pid == alone.pid)
    assert told.flags == (("no_agent", "killed") if end else ("no_agent",))
