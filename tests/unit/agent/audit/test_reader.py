"""What the reader makes of fields and of the numbers of events, and the agent of its frames."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.audit.frames import Frames, Garbled, Missing, raw, shown
from agent.audit.reader import fields
from agent.audit.reader.serials import GRACE_S, Serials
from agent.errors import RecordError


def _as_the_kernel_writes(value: bytes) -> str:
    """In quotes where nothing in it could be taken for something else, else in hex."""
    plain = all(0x20 < byte < 0x7F and byte != 0x22 for byte in value)
    return f'"{value.decode()}"' if plain else value.hex().upper()


@given(st.binary(min_size=1, max_size=200))
def test_a_text_comes_through_whole(value: bytes) -> None:
    """Whatever bytes it has, from the record to the act."""
    found = fields.text(_as_the_kernel_writes(value))
    assert found is not None
    assert raw(found) == value
    assert shown(found) == value.decode("utf-8", "backslashreplace")


@given(st.lists(st.binary(max_size=3000), max_size=6), st.integers(0, 8000), st.data())
def test_arguments_are_put_together_and_cut(
    argv: list[bytes], most: int, data: st.DataObject
) -> None:
    """In pieces where they are long, as many as fit; the length is always exact."""
    words = [("argc", str(len(argv)))]
    for number, one in enumerate(argv):
        written = _as_the_kernel_writes(one) if one else '""'
        if len(written) < 100 or written.startswith('"'):
            words.append((f"a{number}", written))
            continue
        words.append((f"a{number}_len", str(len(written))))
        step = data.draw(st.integers(20, 2000))
        pieces = [written[at : at + step] for at in range(0, len(written), step)]
        words += [(f"a{number}[{n}]", piece) for n, piece in enumerate(pieces)]
    found, total, whole = fields.arguments(words, most)
    assert total == sum(len(one) + 1 for one in argv)
    assert whole == (total <= most)
    joined = b"\0".join(map(raw, found))
    assert (b"\0".join(argv)).startswith(joined)
    assert len(joined) <= max(most, 0) + 1
    if whole:
        assert [raw(one) for one in found] == argv


@pytest.mark.parametrize("words", [[], [("argc", "2"), ("a0", '"x"')], [("a0", '"x"')]])
def test_arguments_of_which_a_record_is_missing_are_not_whole(words: list[tuple[str, str]]) -> None:
    """They are never taken as if they were all."""
    assert fields.arguments(words, 100)[2] is False


@pytest.mark.parametrize("written", ['"no end', "odd", "zz", '"'])
def test_a_text_that_is_none_is_an_error(written: str) -> None:
    """It is counted, and not taken for another."""
    with pytest.raises(ValueError, match=r".+"):
        fields.text(written)


@given(st.permutations(range(20)), st.sets(st.integers(1, 18)))
def test_events_out_of_order_are_not_missed_and_others_are(
    order: list[int], dropped: set[int]
) -> None:
    """Whatever the order, as long as they come in time, and each is counted once."""
    serials = Serials()
    serials.saw(99, 0.0)
    for one in order:
        if one not in dropped:
            serials.saw(100 + one, 1.0)
    serials.saw(120, 1.0)
    assert serials.lost(1.0 + GRACE_S / 2) == 0
    assert serials.lost(1.0 + GRACE_S) == len(dropped)
    assert serials.lost(9.0) == 0


def test_a_stream_that_begins_anew_is_no_loss() -> None:
    """The numbers begin again after a boot, and a hole of millions is none."""
    serials = Serials()
    for one in (5, 4_000_000_000, 7, 8):
        serials.saw(one, 0.0)
    assert serials.lost(100.0) == 0
    serials.saw(8 + 100_000, 101.0)
    assert serials.lost(101.0) == 99_999


def _frame(value: object) -> bytes:
    data = json.dumps(value).encode()
    return struct.pack("=I", len(data)) + data


@given(st.lists(st.integers(1, 30)))
def test_frames_come_in_any_pieces(steps: list[int]) -> None:
    """A pipe gives what it has."""
    data = _frame({"type": "missing", "count": 3}) + _frame({"type": "garbled", "why": "x"})
    frames, found, at = Frames(), [], 0
    for step in [*steps, len(data)]:
        found += list(frames.take(data[at : at + step]))
        at += step
    assert found == [Missing(3), Garbled("x")]


@pytest.mark.parametrize(
    "data",
    [
        _frame({"type": "other"}),
        _frame({"type": "missing"}),
        _frame({"type": "event", "serial": 1}),
        struct.pack("=I", 3) + b"\xff\xff\xff",
        struct.pack("=I", 1 << 30),
    ],
)
def test_what_is_no_frame_is_an_error(data: bytes) -> None:
    """The agent then starts another reader."""
    with pytest.raises(RecordError, match="the audit reader says"):
        list(Frames().take(data))
