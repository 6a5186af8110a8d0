"""Which cards were shown: one digest for one content, known again, also after a restart."""

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collector.approvals.record import Record
from collector.card import as_dict, render
from collector.errors import StateError
from collector.shown.cards import ShownCards
from collector.shown.content import ShownCard, content_of, digest_of
from collector.shown.file import ShownFile
from tests.unit.collector.samples import make_act, make_opened, make_state
from wire.ids import HoldId
from wire.messages import HoldStateName

OTHER = HoldId("2" * 32)
NOTED = make_state(HoldStateName.HELD, detail="its parent is gone")


class _AsClaimed:
    """Names of hosts without a file of enrolled ones."""

    def name(self, host: str, claimed: str) -> str:
        """Return what the host calls itself."""
        return claimed


def _record(**given: Any) -> Record:
    return Record(make_opened(**given))


def test_the_digest_is_over_a_form_that_anybody_can_make() -> None:
    """As docs/trail-proof.md has it: a word, a zero byte, canonical JSON of all that is shown."""
    card = render(make_opened(make_act(argv=("echo", "é\u202e")), claim='"why"'))
    content = content_of(card)
    assert json.loads(content) == as_dict(card)
    made = json.dumps(
        json.loads(content), ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )
    assert content == made
    assert digest_of(content) == hashlib.sha256(b"holdfast card 1\0" + made.encode()).hexdigest()


@pytest.mark.parametrize("name", list(as_dict(render(make_opened()))))
def test_another_value_of_anything_on_a_card_is_another_digest(name: str) -> None:
    """Nothing that a person sees is left out."""
    card = render(make_opened())
    value: Any = getattr(card, name)
    other: Any = value + 1 if isinstance(value, int) else value[:-1]
    changed = ShownCard.of(replace(card, **{name: other}))
    assert changed.digest != ShownCard.of(card).digest


async def test_what_was_shown_is_known_though_the_card_has_changed_since() -> None:
    """Of that request, and of no other; what was never shown is not known."""
    cards = ShownCards(_AsClaimed())
    before, after = _record(), replace(_record(), states=(NOTED,))
    first = cards.of(before)
    assert await cards.find(after, first.digest) == first.content
    assert cards.of(after).digest != first.digest
    assert await cards.find(after, first.digest) == first.content
    assert await cards.find(_record(hold=OTHER, act=make_act(argv=("id",))), first.digest) is None
    assert await cards.find(after, "0" * 64) is None


async def test_a_restart_forgets_no_card(tmp_path: Path) -> None:
    """Also one that would not be rendered so any more."""
    path = tmp_path / "shown.sqlite3"
    file = ShownFile(path)
    cards = ShownCards(_AsClaimed(), file)
    first = cards.of(_record())
    await cards.written()
    await file.close()
    file = ShownFile(path)
    later = ShownCards(_AsClaimed(), file)
    now = replace(_record(), states=(NOTED,))
    assert await later.find(now, first.digest) == first.content
    assert await later.find(_record(hold=OTHER, act=make_act(argv=("id",))), first.digest) is None
    await file.close()


async def test_the_file_keeps_the_newest(tmp_path: Path) -> None:
    """So it does not grow for ever; each card is there once, however often it is shown."""
    file = ShownFile(tmp_path / "shown.sqlite3", keep=3)
    for number in range(5):
        await file.add([("r", f"card {number}", "content")] * 2)
    found = [await file.content("r", f"card {number}") for number in range(5)]
    assert found == [None, None, "content", "content", "content"]
    await file.close()


async def test_a_file_that_cannot_be_written_stops_no_card(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is known for as long as the process lives, and the log says so."""
    file = ShownFile(tmp_path / "shown.sqlite3")
    await file.close()

    class Broken(ShownFile):
        """A file on a disk that is full."""

        def __init__(self) -> None:
            """Open nothing."""

        async def add(self, cards: object) -> None:
            """Fail as a full disk does."""
            raise StateError("shown.sqlite3: cannot be used (disk is full)")

        async def content(self, request: str, digest: str) -> str | None:
            """Fail as a broken file does."""
            raise StateError("shown.sqlite3: cannot be used (malformed)")

    cards = ShownCards(_AsClaimed(), Broken())
    first = cards.of(_record())
    await asyncio.wait_for(cards.written(), 60)
    assert "disk is full" in caplog.text
    now = replace(_record(), states=(NOTED,))
    assert await cards.find(now, first.digest) == first.content
    assert await cards.find(now, "0" * 64) is None


def test_a_wrecked_file_is_one_error_that_names_it(tmp_path: Path) -> None:
    """And says what to do."""
    path = tmp_path / "shown.sqlite3"
    path.write_bytes(b"no database at all, but as long as the header of one would have to be" * 4)
    with pytest.raises(StateError, match=r"shown\.sqlite3: cannot be used .* move the file away"):
        ShownFile(path)
