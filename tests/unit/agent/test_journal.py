"""The journal: what goes in comes out, whole steps only, private, and bounded."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import JournalError
from agent.holds.model import Doom, Fate, Pass, Step, Voice, Why
from agent.journal import KEEP_NS, Journal
from agent.sensor.interface import HeldKey
from tests.support.holds import HOST, hold_of
from wire.ids import VerdictId
from wire.messages import Ground, HoldState, HoldStateName, KillScope

WHY = Why(ground=Ground.DECISION, verdict=VerdictId("e" * 32), by="ann", reason="fine")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal."""
    with closing(Journal(tmp_path / "journal.db", HOST)) as made:
        yield made


@pytest.mark.parametrize("fate", [None, Pass(WHY), Doom(WHY, KillScope.TREE)])
def test_a_hold_comes_out_as_it_went_in(journal: Journal, fate: Fate) -> None:
    """Every field, and a key of 64 bits without a sign."""
    hold = hold_of(
        key=HeldKey(2**64 - 1),
        fate=fate,
        deadline_boot_ns=7,
        kill=KillScope.TREE,
        state=HoldStateName.EXPIRED,
        sequence=3,
        rule="test.rule",
    )
    journal.record(Step(holds=(hold,)), 1)
    assert journal.get(hold.id) == hold
    assert journal.unfinished() == [hold]
    over = replace(hold, finished=True, sequence=4)
    journal.record(Step(holds=(over,)), 2)
    assert journal.get(hold.id) == over
    assert journal.unfinished() == []
    assert journal.is_over(replace(hold, id="other"))  # type: ignore[arg-type]


def test_a_step_is_written_whole_or_not_at_all(journal: Journal) -> None:
    """A verdict that is used already takes everything else back."""
    hold = hold_of()
    used = ((VerdictId("e" * 32), hold.id),)
    journal.record(Step(holds=(hold,), used=used), 1)
    said = HoldState(hold=hold.id, host=HOST, sequence=1, state=HoldStateName.APPROVED, time_ns=1)
    changed = replace(hold, state=HoldStateName.APPROVED)
    with pytest.raises(JournalError, match="stays held"):
        journal.record(Step(holds=(changed,), says=(said,), used=used), 2)
    assert journal.get(hold.id) == hold
    assert journal.unpublished() == 0


def test_what_is_long_over_is_deleted_and_nothing_else(journal: Journal) -> None:
    """A verdict may be delivered again for weeks; an open hold stays for good."""
    old, young, waiting = (hold_of(number=number) for number in (1, 2, 3))
    for hold, time in ((old, 0), (young, 1 + KEEP_NS), (waiting, 0)):
        verdict = VerdictId(hold.id)
        finished = hold is not waiting
        step = Step(holds=(replace(hold, finished=finished),), used=((verdict, hold.id),))
        journal.record(step, time)
    journal.prune(1 + KEEP_NS)
    assert journal.get(old.id) is None
    assert journal.used(VerdictId(old.id)) is None
    for hold in (young, waiting):
        assert journal.get(hold.id) is not None
        assert journal.used(VerdictId(hold.id)) == hold.id


def test_a_quiet_hold_leaves_nothing_once_it_is_over(journal: Journal) -> None:
    """What the rules let pass is an event, not a hold."""
    hold = hold_of(voice=Voice.QUIET, fate=Pass(Why(ground=Ground.RULE)))
    journal.record(Step(holds=(hold,)), 1)
    assert journal.unfinished() == [hold]
    journal.record(Step(holds=(replace(hold, finished=True),)), 1)
    assert journal.get(hold.id) is None


def test_the_journal_is_private(tmp_path: Path, journal: Journal) -> None:
    """The file and its logs, whatever the umask."""
    journal.record(Step(holds=(hold_of(),)), 1)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}


def test_a_journal_of_another_version_is_left_alone(tmp_path: Path) -> None:
    """It is not damage; the error says what to do."""
    import sqlite3

    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=999")
    with pytest.raises(JournalError, match="another version"):
        Journal(path, HOST)
    assert [found.name for found in tmp_path.iterdir()] == ["journal.db"]


def test_a_journal_that_cannot_be_made_names_the_place(tmp_path: Path) -> None:
    """And what to look at."""
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"journal\.db: cannot be opened"):
        Journal(tmp_path / "file" / "journal.db", HOST)
