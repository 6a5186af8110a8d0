"""The chain over batches: what the words say, made again here with json and hashlib alone."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.values import batches
from wire import chain
from wire.errors import MessageError
from wire.ids import HostId
from wire.messages import EventBatch

HOST = HostId("a" * 32)
COLUMNS: dict[str, list[Any]] = {
    "kind": ["open", "exec", "open", "gap"],
    "time_ns": [10, 40, 30, 20],
    "count": [1, 1, 2, 7],
    "path": ["/a", "/bin/é", 'q"\\\n\x1f', None],
    "argv": [None, ["a", ""], None, None],
    "pid": [None, None, None, None],
}


def _sha(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_link_is_what_its_words_say() -> None:
    """Leaves by kind, over what is not absent in all of the kind's events; then the link."""
    found = chain.link(HOST, 3, 11, "b" * 64, COLUMNS)
    leaves: list[list[Any]] = [
        ["exec", 1, {"argv": [["a", ""]], "count": [1], "path": ["/bin/é"]}, [12], [40]],
        ["gap", 1, {"count": [7]}, [14], [20]],
        ["open", 2, {"count": [1, 2], "path": ["/a", 'q"\\\n\x1f']}, [11, 13], [10, 30]],
    ]
    parts = [
        [
            kind,
            count,
            _sha(["holdfast leaf 2", HOST, 3, kind, {**values, "number": numbers, "time_ns": ns}]),
        ]
        for kind, count, values, numbers, ns in leaves
    ]
    assert [[one.kind, one.count, one.leaf] for one in found.groups] == parts
    assert found.chain == _sha(["holdfast chain 2", HOST, 3, 11, 4, "b" * 64, 7, 40, parts])
    assert (found.gap_events, found.last_event_ns) == (7, 40)
    assert json.loads(chain.groups_text(found.groups)) == parts


def test_the_vector_of_the_documents_holds() -> None:
    """These bytes are for good: trails have them."""
    columns: dict[str, list[Any]] = {"kind": ["exec"], "time_ns": [1], "count": [1]}
    found = chain.link(HOST, 1, 1, chain.NOTHING_BEFORE, columns)
    assert found.groups[0].leaf == (
        "8dafb5a2a134b3cd57abd6bcf82e5c4d7a9477c7a5df9d79f016748ef77339c8"
    )
    assert found.chain == "be0875e556b8d6e8a7ef01b9d050f52a0fe495df1e80c8a497619bd386e43683"


@given(batches(), st.sampled_from(["second_path", "a new one", "zz"]))
def test_a_column_without_values_changes_nothing(batch: EventBatch, name: str) -> None:
    """So that one that is added later leaves what is there as it was."""
    columns = dict(batch.columns) | {name: [None] * batch.count}
    bare = {name: values for name, values in columns.items() if values.count(None) != len(values)}
    bare = {
        "kind": columns["kind"],
        "time_ns": columns["time_ns"],
        "count": columns["count"],
    } | bare
    made = [chain.link(HOST, 1, 1, "0" * 64, one) for one in (columns, bare)]
    assert made[0] == made[1]


@given(st.data())
def test_whatever_changes_in_a_batch_changes_its_link(data: st.DataObject) -> None:
    """A value, a number, the order, the place in the chain."""
    before = chain.link(HOST, 3, 11, "b" * 64, COLUMNS)
    name = data.draw(st.sampled_from(sorted(COLUMNS)))
    place = data.draw(st.integers(0, 3))
    other = data.draw(st.sampled_from(["gap", "x", "", 0, -1, None, [], ["a"]]))
    if name in ("kind", "time_ns", "count") and other is None:
        return
    if (name == "kind") != isinstance(other, str) or name in ("time_ns", "count"):
        other = "other" if name == "kind" else 99
    if COLUMNS[name][place] == other:
        return
    changed = {key: list(values) for key, values in COLUMNS.items()}
    changed[name][place] = other
    assert chain.link(HOST, 3, 11, "b" * 64, changed).chain != before.chain
    turned = {key: values[::-1] for key, values in COLUMNS.items()}
    others = [
        chain.link(HOST, 3, 11, "b" * 64, turned),
        chain.link(HOST, 4, 11, "b" * 64, COLUMNS),
        chain.link(HOST, 3, 12, "b" * 64, COLUMNS),
        chain.link(HOST, 3, 11, "c" * 64, COLUMNS),
        chain.link(HostId("b" * 32), 3, 11, "b" * 64, COLUMNS),
    ]
    assert before.chain not in {one.chain for one in others}


@pytest.mark.parametrize(
    "columns",
    [
        {"kind": ["exec"], "time_ns": [1], "count": []},
        {"kind": ["gap"], "time_ns": ["x"], "count": [None]},
        {"kind": ["gap", "exec"], "time_ns": [None, 1], "count": [1, 1]},
        {"kind": ["exec"], "time_ns": [1], "count": [1], "path": ["\ud800"]},
    ],
)
def test_what_cannot_be_chained_is_a_broken_message(columns: dict[str, list[object]]) -> None:
    """Not an error that would end who reads it."""
    with pytest.raises(MessageError):
        chain.link(HOST, 1, 1, "0" * 64, columns)
