"""`holdfast trail export` at a terminal, and where the answer is cut off in a record."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.cli.errors import UnreachableError
from collector.cli.export import Format, _to_file, for_terminal

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.lists(_TEXTS, min_size=1, max_size=4))
def test_a_terminal_gets_plain_letters(texts: list[str]) -> None:
    """No control character of any sort, and nothing that reorders; the JSON stays the same."""
    lines = b"".join(json.dumps({"id": one}, ensure_ascii=False).encode() + b"\n" for one in texts)
    shown = for_terminal(lines)
    assert all(byte == 0x0A or 0x20 <= byte <= 0x7F for byte in shown)
    assert [json.loads(line)["id"] for line in shown.splitlines()] == texts


def _cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    for size in sizes:
        part, data = data[:size], data[size:]
        yield part
    raise UnreachableError("unreachable", "the centre does not answer", "")


@given(st.data())
def test_what_is_kept_of_csv_is_whole_records_wherever_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Line breaks and quotes in a value are no end of one, and the last record is named."""
    values = data.draw(st.lists(st.text('a",\n', max_size=6), min_size=1, max_size=5))
    records = [
        f'"events/h/{place}","{value.replace(chr(34), chr(34) * 2)}"\n'.encode()
        for place, value in enumerate(values)
    ]
    whole = b'"id","x"\n' + b"".join(records)
    sizes = data.draw(st.lists(st.integers(1, 12), max_size=8))
    path = tmp_path_factory.mktemp("cut") / "out.csv"
    with pytest.raises(UnreachableError) as caught:
        _to_file(path, b"", _cut(whole, sizes), Format.CSV)
    kept = Path(f"{path}.part").read_bytes()
    came = whole[: sum(sizes)]
    ends = [len(whole) - len(b"".join(records[place:])) for place in range(len(records) + 1)]
    fit = max((end for end in ends if end <= len(came)), default=0)
    assert kept == whole[:fit]
    number = ends.index(fit) - 1 if fit else -1
    if number >= 0:
        assert caught.value.extra == {"after": f"events/h/{number}"}
    assert not path.exists()
