"""Observed acts into event columns: each once, with what the rules said to it."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress

import pytest

from agent.events import EventPipeline
from agent.rulings import Ruled
from agent.sensor import records
from agent.sensor.interface import Losses, Observed
from agent.sensor.records import ActFields, act_of_observed
from rules.model import Action
from tests.support.fake_sensor import FakeSensor, HeldMap
from wire.acts import Act, Guarantee, Kind, Process
from wire.events import NAMES
from wire.messages import RuleFacts, Severity

SUBJECTS = ["", "ai"]
Columns = dict[str, list[object]]
# Without what the kernel told only of a hold.
NONE = ActFields._make(records.ACT.unpack(bytes(records.ACT.size)))
EMPTY = NONE._replace(comm=b"cat".ljust(16, b"\0"))


def row(path: str = "/srv/key", times: int = 1, **fields: int | bytes) -> Observed:
    """Return what the ring had: by default one open for reading by pid 42 that worked."""
    base = EMPTY._replace(
        boot_ns=1_000, root_start_ns=9, root_tgid=40, tgid=42, tid=43, uid=1000, gid=1001,
        login_uid=records.NO_LOGIN, subject=1, kind=2, guarantee=2, result=3,
    )  # fmt: skip
    full = base._replace(path_bytes=len(path), **fields)  # type: ignore[arg-type]
    raw = records.ACT.pack(*full) + path.encode().ljust(records.SHORT_PATH_BYTES, b"\0")
    return Observed(full.boot_ns, raw[8:], times)


def act_of(observed: Observed) -> Act:
    """Return the act."""
    return act_of_observed(observed.boot_ns, observed.record, SUBJECTS, 0)


class Rings(FakeSensor):
    """A sensor whose rings the test fills."""

    def __init__(self) -> None:
        super().__init__(HeldMap())
        self.rows: list[Observed] = []
        self.execs: list[Act] = []
        self.lost = Losses(events=0, holds=0, labels=0)
        self.looked_at = 0

    def wake(self) -> None:
        """Make the descriptor readable, as the first record after a drain does."""
        os.eventfd_write(self._events, 1)

    def drain_acts(self, limit: int) -> list[Observed]:
        """Give out rows."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._events)
        given, self.rows = self.rows[:limit], self.rows[limit:]
        return given

    def drain_execs(self, limit: int) -> list[Act]:
        """Give out execs."""
        given, self.execs = self.execs[:limit], self.execs[limit:]
        return given

    def act_of(self, observed: Observed) -> Act:
        """Return the act, and count how often that was asked."""
        self.looked_at += 1
        return act_of(observed)

    def losses(self) -> Losses:
        """Return what the test says."""
        return self.lost


class Rules:
    """Rules that a test writes as a function."""

    def __init__(self, decide: Callable[[Act], Action | None]) -> None:
        self.digest = "one"
        self.function = decide

    def decide(self, act: Act) -> Ruled:
        """Return the action, with a rule of its name."""
        action = self.function(act)
        rule = None
        if action is not None:
            rule = RuleFacts(id=f"rule.{action}", description="", severity=Severity.INFO)
        return Ruled(action=action, rule=rule)


class Sink:
    """Takes what the pipeline hands on."""

    def __init__(self) -> None:
        self.columns: list[Columns] = []
        self.arrived = asyncio.Event()

    def add(self, columns: Columns, count: int) -> None:
        """Keep a batch, whose columns must all be as long as it says."""
        assert set(columns) == set(NAMES)
        assert {len(values) for values in columns.values()} == {count}
        self.columns.append(columns)
        self.arrived.set()

    def all(self, name: str) -> list[object]:
        """Return one column over all batches."""
        return [value for columns in self.columns for value in columns[name]]


@pytest.fixture
def rings() -> Rings:
    """Empty rings."""
    return Rings()


def pipeline(
    rings: Rings, decide: Callable[[Act], Action | None] = lambda act: Action.OBSERVE
) -> tuple[EventPipeline, Sink]:
    """Return a pipeline and where it leads."""
    sink = Sink()
    return EventPipeline(rings, Rules(decide), sink.add), sink


def exec_of(pid: int) -> Act:
    """Return an observed exec."""
    return Act(
        kind=Kind.EXEC,
        guarantee=Guarantee.HELD,
        time_ns=1,
        boot_ns=1,
        subject="ai",
        session="40-9",
        process=Process(pid=pid, start_ns=2, comm="cat", uid=1000),
        tid=pid,
        gid=1000,
        executable="/bin/cat",
        argv=("cat", "x"),
    )


async def test_every_column_of_an_observed_act_is_the_acts_own(rings: Rings) -> None:
    """The quick way over columns says the same as the act itself."""
    rings.rows = [
        row(tgid=42, result=3),
        row(tgid=43, result=5, uid=0, login_uid=7, open_flags=1),
        row("/srv/none", result=-2, marks=records.MARK_UNRESOLVED),
        row("", kind=3, transport=1, address_family=4, address=bytes([10, 0, 0, 1]) + bytes(12),
            port=443, result=records.NOT_OVER),
    ]  # fmt: skip
    acts = [act_of(one) for one in rings.rows]
    pipe, sink = pipeline(rings)
    pipe.drain()
    (columns,) = sink.columns
    for number, act in enumerate(acts):
        found = {name: columns[name][number] for name in NAMES}
        assert found["kind"] == act.kind
        assert (found["pid"], found["tid"]) == (act.process.pid, act.tid)
        assert (found["uid"], found["gid"]) == (act.process.uid, act.gid)
        assert (found["login_uid"], found["session"]) == (act.login_uid, act.session)
        assert (found["path"], found["result"]) == (act.path or None, act.result)
        assert (found["address"], found["subject"]) == (act.address or None, "ai")
        assert (found["action"], found["rule"]) == ("observe", "rule.observe")
        assert (found["guarantee"], found["count"]) == ("stopped", 1)
        assert found["program"] == "cat"
    assert columns["flags"] == ["read", "write", "read,unresolved", None]
    assert columns["port"] == [None, None, None, 443]


async def test_acts_of_one_sort_are_decided_once(rings: Rings) -> None:
    """Thousands of equal acts cost one look at the rules; who did them stays apart."""
    rings.rows = [row(tgid=n, boot_ns=n) for n in range(5000)] + [row("/srv/other")]
    pipe, sink = pipeline(rings)
    while pipe.drain()[1]:
        pass
    assert rings.looked_at == 2
    assert sink.all("pid")[:5000] == list(range(5000))


async def test_what_was_done_and_whether_it_worked_makes_a_sort(rings: Rings) -> None:
    """Neither who did it nor the number of the descriptor; but a failed open is another sort."""
    fields = ({"result": 3}, {"result": 4}, {"tid": 1}, {"comm": b"x"}, {"result": -2})
    rings.rows = [row(**one) for one in fields]
    rings.rows += [row("/srv/ke"), row("/srv/keys"), row(open_flags=1), row(inode=7)]
    pipe, _ = pipeline(rings)
    pipe.drain()
    assert rings.looked_at == 6


async def test_acts_that_are_the_same_are_one_row_that_says_how_many(rings: Rings) -> None:
    """The time is that of the first."""
    rings.rows = [row(times=3, boot_ns=1_000), row(times=1, boot_ns=2_000, result=4)]
    pipe, sink = pipeline(rings)
    assert pipe.drain() == (4, False)
    assert sink.all("count") == [3, 1]
    first, second = sink.all("time_ns")
    assert isinstance(first, int)
    assert isinstance(second, int)
    assert second - first == 1_000


async def test_an_act_that_no_rule_names_leaves_no_row(rings: Rings) -> None:
    """The kernel passes a superset; what is over is dropped, whatever stands beside it."""
    rings.rows = [row("/a"), row("/b"), row("/a"), row("/b")]
    rings.execs = [exec_of(1), exec_of(2)]
    pipe, sink = pipeline(
        rings,
        lambda act: Action.OBSERVE if act.path == "/b" or act.process.pid == 2 else None,
    )
    assert pipe.drain() == (6, False)
    assert sink.all("path") == [None, "/b", "/b"]
    assert sink.all("argv") == [["cat", "x"], None, None]


async def test_other_rules_are_asked_anew(rings: Rings) -> None:
    """What was decided under the old rules is forgotten with them."""
    pipe, sink = pipeline(rings)
    rings.rows = [row()]
    pipe.drain()
    rules = pipe._rules
    assert isinstance(rules, Rules)
    rules.digest, rules.function = "two", lambda act: None
    rings.rows = [row()]
    pipe.drain()
    assert sink.all("action") == ["observe"]


@pytest.mark.parametrize("action", [Action.ASK, Action.DENY])
async def test_what_was_let_pass_is_told_as_observed_with_its_rule(
    rings: Rings, action: Action
) -> None:
    """A failed open needs no answer; an act older than the rule had none to ask for."""
    rings.rows = [row(result=-2), row(result=3)]
    pipe, sink = pipeline(rings, lambda act: action)
    pipe.drain()
    assert sink.all("action") == ["observe", "observe"]
    assert sink.all("rule") == [f"rule.{action}"] * 2
    assert sink.all("detail") == [None, f"the rule that says {action} came into force later"]


async def test_what_the_kernel_lost_becomes_a_gap_of_that_size_once(rings: Rings) -> None:
    """A record with a gap says so; nothing lost, nothing said."""
    rings.lost = Losses(events=100, holds=1, labels=0)
    rings.tell(rings.lost)  # by the agent before this one
    pipe, sink = pipeline(rings)
    pipe.drain()
    assert sink.columns == []
    rings.lost = Losses(events=107, holds=1, labels=2)
    pipe.drain()
    pipe.drain()
    assert sink.all("kind") == ["gap", "gap"]
    assert sink.all("count") == [7, 2]
    assert [str(text).partition(":")[0] for text in sink.all("detail")] == ["gap", "gap"]


async def test_what_was_lost_while_no_agent_ran_is_told_by_the_next_one(rings: Rings) -> None:
    """The counts and what of them was told outlive an agent; each loss is told by one of them."""
    rings.lost = Losses(events=5, holds=0, labels=0)
    for agent in range(3):
        pipe, sink = pipeline(rings)
        pipe.drain()
        assert sink.all("count") == ([5] if agent == 0 else [])
    assert rings.told() == rings.lost


async def test_other_work_of_the_loop_is_served_between_two_slices(rings: Rings) -> None:
    """A flood does not keep a hold waiting: its reader is called before the flood has ended."""
    pipe, sink = pipeline(rings)
    reader, writer = os.pipe()
    left: list[int] = []

    def served() -> None:
        os.read(reader, 1)
        left.append(len(rings.rows))

    loop = asyncio.get_running_loop()
    loop.add_reader(reader, served)
    count = 100_000
    rings.rows = [row(tgid=n) for n in range(count)]
    pipe.start()
    while len(sink.all("pid")) < count:
        await sink.arrived.wait()
        sink.arrived.clear()
        os.write(writer, b"x")
    loop.remove_reader(reader)
    pipe.close()
    os.close(reader)
    os.close(writer)
    # At least once for each of the largest slices there may be.
    assert len(left) >= count // 4096
    assert left == sorted(left, reverse=True)
    assert len(set(left)) > 1


async def test_it_reads_when_woken_and_more_than_one_batch(rings: Rings) -> None:
    """One wake-up serves all that is there; nothing is left until the next one."""
    pipe, sink = pipeline(rings)
    pipe.start()
    count = 20_000
    rings.rows = [row(tgid=n) for n in range(count)]
    rings.wake()
    while len(sink.all("pid")) < count:
        await sink.arrived.wait()
        sink.arrived.clear()
    assert sink.all("pid") == list(range(count))
    rings.rows = [row(tgid=1)]
    rings.wake()
    await sink.arrived.wait()
    pipe.close()


async def test_what_is_there_at_the_start_and_at_the_end_is_read(rings: Rings) -> None:
    """Acts of the time without an agent, and those since the last wake-up."""
    rings.rows = [row(tgid=1)]
    pipe, sink = pipeline(rings)
    pipe.start()
    await sink.arrived.wait()
    rings.rows = [row(tgid=2)]
    pipe.close()
    assert sink.all("pid") == [1, 2]


async def test_one_bad_record_does_not_end_the_telemetry(
    rings: Rings, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and what comes after is read."""

    failed = asyncio.Event()

    def decide(act: Act) -> Action:
        if act.path == "/bad":
            failed.set()
            raise RuntimeError("a bad record")
        return Action.OBSERVE

    pipe, sink = pipeline(rings, decide)
    rings.rows = [row("/bad")]
    pipe.start()
    await failed.wait()
    rings.rows = [row("/good")]
    rings.wake()
    await sink.arrived.wait()
    pipe.close()
    assert sink.all("path") == ["/good"]
    assert "observed acts could not be read" in caplog.text


async def test_a_record_that_is_no_act_is_counted_and_takes_no_other_with_it(rings: Rings) -> None:
    """Nor does one whose time no clock shows, which no batch could carry."""
    pipe, sink = pipeline(rings)
    rings.rows = [row(), row(kind=77), row(kind=77), row(boot_ns=2**64 - 1), row(tgid=5)]
    rings.lost = Losses(events=0, holds=0, labels=0, unread=4)
    pipe.drain()
    assert sink.all("pid") == [42, 5, None]
    assert sink.all("kind")[-1] == "gap"
    assert sink.all("count") == [1, 1, 3 + 4]
    assert "could not be read" in str(sink.all("detail")[-1])
    pipe.drain()
    assert len(sink.columns) == 1
