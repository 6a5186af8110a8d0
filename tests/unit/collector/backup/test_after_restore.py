"""What is signed after a backup was put back: the chain goes on, and hides nothing."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from collector.backup import mark
from collector.backup.mark import Restored
from collector.config import Trail
from collector.proof.anchors import FileAnchor
from collector.proof.checkpoint import read
from collector.proof.file import CheckpointFile
from collector.proof.notary import Notary
from collector.proof.verify.check import verify
from collector.proof.verify.report import Report
from collector.trail import schema
from collector.trail.event_rows import EventRows
from collector.trail.retention.settings import Retention
from collector.trail.store import open_trail, trail_id
from collector.trail.writer import Writer
from tests.support.centre import REPOSITORY
from tests.support.kept_trail import keep
from tests.support.proven_trail import KEY, OneStream, chain_of, row
from wire.ids import HostId

TRUSTED = frozenset({KEY.key_id})


class Run:
    """A collector's run on the trail in a directory, as far as the proof goes."""

    def __init__(self, directory: Path, stream: OneStream) -> None:
        self.file = directory / "trail.duckdb"
        settings = Trail(file=str(self.file))
        self.connection = open_trail(settings)
        self.trail = trail_id(self.connection)
        self.writer = Writer(self.connection, on_fatal=lambda _: None)
        self.restored = mark.look(self.file, self.trail)
        self.notary = Notary(
            self.connection,
            self.writer,
            stream,
            KEY,
            trail=self.trail,
            every_s=60,
            file=CheckpointFile(settings.checkpoints),
            anchors=[FileAnchor(directory.parent / "anchor.jsonl")],
            restored=self.restored,
            on_restored=lambda: mark.remove(self.file),
        )

    async def votes(self, *numbers: int) -> None:
        """Write votes, each with a checkpoint behind it."""
        for number in numbers:
            await self.writer.write(rows=[row(schema.VOTES, number)])
            await self.notary.round()

    async def events(self, batches: Sequence[EventRows]) -> None:
        """Write batches, with a checkpoint behind them."""
        await self.writer.write(batches=batches)
        await self.notary.round()

    def lines(self) -> list[str]:
        """Return the checkpoints."""
        cursor = self.connection.cursor()
        return [
            one[0] for one in cursor.execute("SELECT line FROM checkpoints ORDER BY 1").fetchall()
        ]

    async def end(self) -> None:
        """Close the trail."""
        await asyncio.to_thread(self.writer.close)
        self.connection.close()


async def _made(directory: Path, stream: OneStream, numbers: Sequence[int]) -> str:
    os.makedirs(directory, exist_ok=True)
    run = Run(directory, stream)
    await run.votes(*numbers)
    await run.end()
    return run.trail


async def _lost_and_restored(tmp_path: Path, stream: OneStream) -> Path:
    """Return the place of a trail with votes 1 to 5, put back as it was at vote 2."""
    place = tmp_path / "state"
    trail = await _made(place, stream, (1, 2))
    shutil.copytree(place, tmp_path / "backup")
    await _made(place, stream, (3, 4, 5))
    shutil.rmtree(place)
    shutil.copytree(tmp_path / "backup", place)
    mark.put(place / "trail.duckdb", Restored(trail, 2, 10, 20))
    return place


def _check(place: Path, *, anchored: bool = True) -> Report:
    anchors = (place.parent / "anchor.jsonl",) if anchored else ()
    return verify(place, trusted=TRUSTED, anchors=anchors)


def _independent(place: Path) -> int:
    """Return what the verifier of docs/ makes of it."""
    words = [sys.executable, str(REPOSITORY / "docs" / "verify.py"), str(place)]
    words += ["--public-key", KEY.key_id, "--anchor", str(place.parent / "anchor.jsonl")]
    return subprocess.run(words, check=False, timeout=60).returncode


async def test_the_chain_takes_the_lost_ones_back_and_goes_on(tmp_path: Path) -> None:
    """Rows came in another order; what the lost checkpoints say of order is not compared."""
    stream = OneStream()
    place = await _lost_and_restored(tmp_path, stream)
    run = Run(place, stream)
    await run.votes(5, 3, 4)
    numbers = sorted(read(line)[0].number for line in run.lines())
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 6
    assert [read(line)[0].number for line in run.lines() if read(line)[0].restored] == [6]
    await run.end()
    assert not mark.place_of(run.file).exists()
    report = _check(place)
    assert report.sound, report.findings
    assert _independent(place) == 0
    assert report.anchored == f"anchored up to checkpoint {len(numbers)}"
    assert any("(3 to 5)" in note for note in report.notes)


async def test_a_run_that_dies_before_the_mark_is_gone_says_it_once(tmp_path: Path) -> None:
    """The mark is found again, and the checkpoint that it asks for is there."""
    stream = OneStream()
    place = await _lost_and_restored(tmp_path, stream)
    kept = mark.place_of(place / "trail.duckdb").read_bytes()
    await _made(place, stream, (3,))
    mark.place_of(place / "trail.duckdb").write_bytes(kept)
    run = Run(place, stream)
    assert run.restored is not None
    await run.votes(4, 5)
    said = [read(line)[0].number for line in run.lines() if read(line)[0].restored]
    await run.end()
    assert said == [6]
    assert _check(place).sound


async def test_a_row_that_was_changed_after_the_restore_is_named(tmp_path: Path) -> None:
    """The rows of the backup stay signed by its own checkpoints, the later by later ones."""
    stream = OneStream()
    place = await _lost_and_restored(tmp_path, stream)
    await _made(place, stream, (5, 4, 3))
    for number, name in ((1, "row 1"), (4, "row 4")):
        changed = tmp_path / f"changed-{number}"
        shutil.copytree(place, changed)
        connection = open_trail(Trail(file=str(changed / "trail.duckdb")))
        connection.execute("UPDATE votes SET reason = 'x' WHERE vote = ?", [f"vote {number}"])
        connection.close()
        found = [str(one) for one in _check(changed).findings]
        assert any(f"votes: {name}" in one for one in found), found


async def test_an_anchor_of_the_lost_disk_is_not_taken_for_one_of_the_new(tmp_path: Path) -> None:
    """Who has the key could sign any restore: the anchor then counts for nothing after it."""
    stream = OneStream()
    place = await _lost_and_restored(tmp_path, stream)
    anchor = tmp_path / "anchor.jsonl"
    kept = anchor.read_text()
    await _made(place, stream, (5, 4, 3))
    anchor.write_text(kept)
    assert _check(place).anchored == "anchored up to checkpoint 2"


async def test_old_files_without_a_restore_are_seen_by_the_anchor(tmp_path: Path) -> None:
    """Without the mark the chain is another one, as before."""
    stream = OneStream()
    place = await _lost_and_restored(tmp_path, stream)
    mark.remove(place / "trail.duckdb")
    await _made(place, stream, (5, 4, 3))
    assert _independent(place) == 1
    found = [str(one) for one in _check(place).findings]
    assert any("another one at the anchor" in one for one in found), found


async def test_what_did_not_come_again_is_not_hidden(tmp_path: Path) -> None:
    """A batch that is missing in between is a gap of the chain, the newest one is dropped."""
    stream = OneStream()
    host, place = HostId("a" * 32), tmp_path / "state"
    os.makedirs(place)
    batches = chain_of(host, (3, 3, 3, 3))
    run = Run(place, stream)
    await run.events(batches[:2])
    await run.end()
    shutil.copytree(place, tmp_path / "backup")
    run = Run(place, stream)
    await run.events(batches[2:3])
    await run.events(batches[3:])
    await run.end()
    shutil.rmtree(place)
    shutil.copytree(tmp_path / "backup", place)
    mark.put(place / "trail.duckdb", Restored(run.trail, 1, 10, 20))
    shutil.copytree(place, tmp_path / "nothing")
    lost = OneStream()
    lost.messages |= stream.messages
    run = Run(place, stream)
    await run.events(batches[3:])
    cursor = run.connection.cursor()
    assert cursor.execute("SELECT kind, sequence FROM chain_breaks").fetchall() == [("gap", 4)]
    await run.end()
    assert _check(place).sound
    run = Run(tmp_path / "nothing", lost)
    await run.notary.round()
    await run.end()
    found = [str(one) for one in _check(tmp_path / "nothing", anchored=False).findings]
    assert found == [f"dropped: events of {host}: batch 4 is signed, and is not there as it was"]


async def test_the_same_backup_may_be_put_back_again(tmp_path: Path) -> None:
    """The second disk is lost too: the chain then has both restores, and goes on."""
    stream = OneStream()
    place = await _lost_and_restored(tmp_path, stream)
    trail = await _made(place, stream, (5, 4, 3))
    shutil.rmtree(place)
    shutil.copytree(tmp_path / "backup", place)
    mark.put(place / "trail.duckdb", Restored(trail, 2, 10, 30))
    await _made(place, stream, (4, 3, 5))
    report = _check(place)
    assert report.sound, report.findings
    assert _independent(place) == 0
    assert sum("was put back on" in note for note in report.notes) == 2


async def test_what_retention_had_dropped_since_the_backup_is_back_and_falls_again(
    tmp_path: Path,
) -> None:
    """Its tombstones went with the disk, and the new ones stand for it; all is signed and sound."""
    stream, place = OneStream(), tmp_path / "state"
    place.mkdir()
    policy = Retention(keep={"open": "90d"})
    run = Run(place, stream)
    await run.events(chain_of(HostId("a" * 32), (4, 6, 5, 7)))
    await run.end()
    shutil.copytree(place, tmp_path / "backup")
    await asyncio.to_thread(keep, place, policy, stream=stream)
    dropped = _check(place).figures["dropped_by_retention"]
    assert dropped > 0
    shutil.rmtree(place)
    shutil.copytree(tmp_path / "backup", place)
    mark.put(place / "trail.duckdb", Restored(run.trail, 1, 10, 20))
    again = Run(place, stream)
    await again.notary.round()
    await again.end()
    assert _check(place).figures["dropped_by_retention"] == 0
    await asyncio.to_thread(keep, place, policy, stream=stream)
    report = _check(place)
    assert (report.findings, report.figures["dropped_by_retention"]) == ([], dropped)
    assert _independent(place) == 0
