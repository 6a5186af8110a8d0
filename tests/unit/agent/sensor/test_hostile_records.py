"""Records of any content: each is an act or is refused, counted and noticed; none hides another."""

import struct
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import RecordError
from agent.rows import act_row
from agent.rulings import RuleBook
from agent.sensor import records
from agent.sensor.records import ACT, FACTS_BYTES, ActFields, act_of_facts, act_of_observed
from agent.sensor.stop import StopSensor
from rules.load import PACKS
from rules.modes import HostMode
from tests.support.damage import Blob
from tests.support.rings import BUSY, DISCARDED, SIZE, FilledMap, FilledRing
from wire.acts import act_digest
from wire.codec import decode, encode
from wire.events import NAMES, check_columns
from wire.ids import HostId, new_id
from wire.messages import EventBatch

SUBJECTS = ["", "ai"]
OFFSET = 1_700_000_000_000_000_000
FIXED = 2872  # bytes of a record without arguments: what test_layout compares with the compiler's
OBSERVED = struct.Struct(f"<IIQ{records.OBSERVED_BYTES - 8}s")


def number(bits: int, *likely: int) -> st.SearchStrategy[int]:
    """Return unsigned numbers of so many bits, mostly the likely ones."""
    ends = [0, 1, 2**bits - 1, 2 ** (bits - 1)]
    return st.one_of(st.sampled_from([*likely, *likely, *ends]), st.integers(0, 2**bits - 1))


TIMES = number(64, 5_000_000_000)
FIELDS = st.builds(
    ActFields,
    boot_ns=TIMES, start_ns=TIMES, root_start_ns=TIMES, inode=number(64, 77),
    result=st.integers(-(2**63), 2**63 - 1),
    root_tgid=number(32, 40), tgid=number(32, 42), tid=number(32, 43), uid=number(32, 1000),
    gid=number(32, 1000), login_uid=number(32, records.NO_LOGIN), device=number(32, 8 << 20 | 17),
    open_flags=number(32, 0), messages=number(32, 0), marks=number(32, 0, 1, 2, 4, 8),
    subject=number(16, 0, 1), port=number(16, 443), kind=number(8, 1, 2, 3, 4),
    guarantee=number(8, 1, 2, 3), transport=number(8, 0, 1, 2, 3, 4, 5),
    address_family=number(8, 0, 4, 6), address=st.binary(min_size=16, max_size=16),
    comm=st.binary(min_size=16, max_size=16), path_bytes=number(32, 4), grant=number(32, 0),
    number=number(64, 0),
)  # fmt: skip
# Long runs are cheap to make and as odd as any: what matters is where zeros and odd bytes stand.
BLOCKS = st.builds(lambda part, times: part * times, st.binary(max_size=9), st.integers(1, 600))


@st.composite
def facts(draw: st.DrawFn) -> bytes:
    """Return the bytes of a struct facts in which anything may be wrong but its place."""
    raw = bytearray(draw(BLOCKS).ljust(FACTS_BYTES, b"\0")[:FACTS_BYTES])
    raw[: ACT.size] = ACT.pack(*draw(FIELDS))
    lengths = [draw(number(32, 0, 9, 4096)) for _ in range(4)]
    struct.pack_into("<4I", raw, records._LENGTHS_AT, *lengths)
    argv = draw(BLOCKS)[: records.ARGV_BYTES]
    raw[FIXED + records.ENVIRONMENT_BYTES :] = argv
    return Blob(raw.ljust(FACTS_BYTES, b"\0"))


def good(**fields: int | bytes) -> ActFields:
    """Return the fields of an open that any version can read."""
    base = ActFields._make(ACT.unpack(bytes(ACT.size)))
    return base._replace(boot_ns=1, start_ns=1, root_tgid=9, tgid=9, kind=2, guarantee=2)._replace(
        **fields  # type: ignore[arg-type]
    )


def whole(**fields: int | bytes) -> bytes:
    """Return a struct facts that any version can read."""
    return Blob(ACT.pack(*good(**fields)).ljust(FACTS_BYTES, b"\0"))


@pytest.fixture(scope="module")
def book() -> RuleBook:
    """The rules that come with Holdfast."""
    return RuleBook([PACKS], {"ai"}, HostMode.STOP)


@given(st.one_of(facts(), st.binary(max_size=4_000), BLOCKS))
def test_any_bytes_are_an_act_or_refused(book: RuleBook, raw: bytes) -> None:
    """And an act can be judged, digested, written as an event and sent."""
    try:
        act = act_of_facts(raw, SUBJECTS, OFFSET)
    except RecordError as error:
        assert "holdfast-agent unload" in str(error)
        return
    book.decide(act)
    act_digest(act)
    row = act_row(act, action="ask", rule=None)
    batch = EventBatch(
        host=HostId(new_id()), sequence=1, first=1, count=1, previous="0" * 64,
        columns={name: [row[name]] for name in NAMES},
    )  # fmt: skip
    check_columns(batch)
    assert decode(encode(batch)) == batch
    for value in row.values():
        assert not isinstance(value, int) or -(2**63) <= value < 2**63


@given(FIELDS, st.binary(min_size=256, max_size=256))
def test_any_observed_fields_are_an_act_or_refused(fields: ActFields, path: bytes) -> None:
    """What only says more than a sort of act is not looked at: there is one look for each sort."""
    known = (
        fields.kind in (1, 2, 3, 4)
        and fields.guarantee in (1, 2, 3)
        and fields.transport < 6
        and fields.address_family in (0, 4, 6)
    )
    record = ACT.pack(*fields)[8:] + path
    if known:
        act = act_of_observed(fields.boot_ns, record, SUBJECTS, 0)
        assert act.process.pid == fields.tgid
        return
    with pytest.raises(RecordError):
        act_of_observed(fields.boot_ns, record, SUBJECTS, 0)


def test_a_record_that_was_cut_anywhere_is_refused() -> None:
    """An act that is told in part is no act."""
    raw = bytearray(whole())
    struct.pack_into("<4I", raw, records._LENGTHS_AT, 10, 10, 0, 0)
    end = FIXED + records.ENVIRONMENT_BYTES + 10
    assert act_of_facts(bytes(raw[:end]), SUBJECTS, 0).process.pid == 9
    for length in range(end):
        with pytest.raises(RecordError):
            act_of_facts(bytes(raw[:length]), SUBJECTS, 0)


# -- the ring ---------------------------------------------------------------------------------


RECORDS = st.lists(
    st.tuples(st.binary(max_size=300), st.sampled_from([0, 0, 0, DISCARDED])), max_size=60
)


@given(RECORDS, st.binary(max_size=40))
def test_every_record_comes_once_and_in_order(
    written: list[tuple[bytes, int]], last: bytes
) -> None:
    """Whatever it holds; what was given up is not shown, what is being written is waited for."""
    with closing(FilledRing()) as ring:
        for _ in range(3):  # more than the ring holds in all, so that it wraps
            for data, flags in written:
                ring.put(data, flags=flags)
            seen = [bytes(view) for view in ring.ring.records()]
            assert seen == [data for data, flags in written if not flags]
            assert ring.read == ring.written
        ring.put(last, flags=BUSY)
        assert list(ring.ring.records()) == []
        assert ring.read < ring.written


@given(
    st.lists(
        st.one_of(st.just(b"x" * records.OBSERVED_BYTES), st.binary(max_size=500)), max_size=50
    ),
    st.data(),
)
def test_a_batch_passes_over_what_is_not_of_its_size(
    written: list[bytes], data: st.DataObject
) -> None:
    """One odd record costs itself: those behind it come, and it is counted."""
    with closing(FilledRing()) as ring:
        for _ in range(4):
            for one in written:
                ring.put(one)
            before, rows = ring.ring.unread, 0
            while ring.read < ring.written:
                rows += len(ring.ring.unpack(OBSERVED, data.draw(st.integers(1, 20))))
            odd = sum(len(one) != records.OBSERVED_BYTES for one in written)
            assert rows == len(written) - odd
            assert ring.ring.unread - before == odd


@given(st.lists(number(32, 8, records.OBSERVED_BYTES, BUSY, DISCARDED), max_size=20))
def test_a_head_that_lies_never_leads_past_what_was_written(lengths: list[int]) -> None:
    """Reading ends, and the kernel's count of what is free stays right."""
    with closing(FilledRing()) as ring:
        for length in lengths:
            ring.put(b"y" * records.OBSERVED_BYTES, length=length)
        assert all(len(view) <= 2 * SIZE for view in ring.ring.records())
        for _ in range(len(lengths) + 1):
            ring.ring.unpack(OBSERVED, 100)
        assert ring.read <= ring.written


# -- the sensor -------------------------------------------------------------------------------


class Sensor:
    """A StopSensor over rings and a held map that the test fills."""

    def __init__(self, values: dict[int, bytes]) -> None:
        self.holds = FilledMap(values)
        self.wake, self.acts, self.execs = FilledRing(), FilledRing(), FilledRing()
        self.sensor = StopSensor(Path(__file__).parent)  # any directory that is there
        self.sensor.__dict__ |= {
            "_holds": self.holds,
            "_wake": self.wake.ring,
            "_acts": self.acts.ring,
            "_execs": self.execs.ring,
            "_counters": FilledMap({}),
        }

    def close(self) -> None:
        """Unmap the rings."""
        for one in (self.wake, self.acts, self.execs):
            one.close()


VALUES = st.dictionaries(number(64, 1, 2), st.one_of(st.just(whole()), facts()), max_size=6)


@given(VALUES)
def test_what_is_held_is_always_told(values: dict[int, bytes]) -> None:
    """An entry that cannot be read is told as unread; it hides no other and is not forgotten."""
    with closing(Sensor(values)) as made:
        for key in values:
            made.wake.put(struct.pack("<Q", key))
        fresh = made.sensor.new_holds()
        assert {one.key for one in fresh} == set(values)
        assert made.sensor.new_holds() == []
        every = made.sensor.all_holds()
        assert [one.key for one in every] == sorted(values)
        for one in every:
            try:
                act_of_facts(values[one.key], [], 0)
            except RecordError:
                assert one.unread
                assert one.act.path_cut and one.act.argv_cut and not one.act.path_resolved
            else:
                assert not one.unread
        assert len(made.holds.values) == len(values)


@given(st.binary(max_size=30).filter(lambda hint: len(hint) != 8))
def test_a_hint_that_names_no_entry_leads_to_the_map(hint: bytes) -> None:
    """The map is the truth; nothing that is held waits for the next restart."""
    with closing(Sensor({7: whole(), 8: whole()})) as made:
        made.wake.put(hint)
        made.wake.put(struct.pack("<Q", 7))
        assert [one.key for one in made.sensor.new_holds()] == [7, 8]


def test_an_entry_that_cannot_be_looked_up_now_loses_no_other() -> None:
    """Those read before it come with the next look, and so does it."""
    with closing(Sensor({key: whole() for key in (1, 2, 3)})) as made:
        for key in (1, 2, 3):
            made.wake.put(struct.pack("<Q", key))
        made.holds.broken.add(struct.pack("<Q", 2))
        with pytest.raises(OSError, match="Input/output"):
            made.sensor.new_holds()
        made.holds.broken.clear()
        assert [one.key for one in made.sensor.new_holds()] == [1, 2, 3]


@given(st.lists(st.one_of(st.just(whole(kind=1)), facts(), st.binary(max_size=200)), max_size=8))
def test_an_exec_that_cannot_be_read_is_counted_and_passed_over(written: list[bytes]) -> None:
    """Those behind it come."""
    with closing(Sensor({})) as made:
        for one in written:
            made.execs.put(one)
        found = made.sensor.drain_execs(100)
        assert len(found) + made.sensor.losses().unread == len(written)
        assert made.execs.read == made.execs.written
        assert len(found) >= written.count(whole(kind=1))
