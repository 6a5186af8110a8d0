"""What signs the trail: only what is new is read, and every place gets every checkpoint."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import duckdb
import pytest

from collector.config import Trail
from collector.errors import ProofError
from collector.proof.anchors import Anchor, CommandAnchor, FileAnchor
from collector.proof.checkpoint import digest_of, read
from collector.proof.file import CheckpointFile
from collector.proof.notary import Notary
from collector.proof.running import rows_from, state_of
from collector.proof.verify.check import verify
from collector.trail import schema
from collector.trail.store import open_trail, trail_id
from collector.trail.writer import Writer
from tests.support.proven_trail import HOSTS, KEY, OneStream, chain_of, row
from wire.errors import SignatureError
from wire.signing import Verifier


class House:
    """An open trail and all that signs it."""

    def __init__(self, directory: Path, stream: OneStream, anchors: Sequence[Anchor] = ()) -> None:
        self.settings = Trail(file=str(directory / "trail.duckdb"))
        self.connection = open_trail(self.settings)
        self.writer = Writer(self.connection, on_fatal=lambda _: None)
        self.stream = stream
        self.closed = False
        self.notary = Notary(
            self.connection,
            self.writer,
            stream,
            KEY,
            trail=trail_id(self.connection),
            every_s=60,
            file=CheckpointFile(self.settings.checkpoints),
            anchors=anchors,
        )

    async def votes(self, *numbers: int) -> None:
        """Write votes and see to the next checkpoint."""
        await self.writer.write(rows=[row(schema.VOTES, number) for number in numbers])
        await self.notary.round()

    def lines(self) -> list[str]:
        """Return the lines of the table."""
        rows = self.connection.cursor().execute("SELECT line FROM checkpoints ORDER BY number")
        return [one[0] for one in rows.fetchall()]

    def file(self) -> list[str]:
        """Return the lines of the file."""
        return self.settings.checkpoints.read_text().splitlines()

    async def close(self, *, signing: bool = True) -> None:
        """End as the daemon does, or, without signing, as one that is killed; once."""
        if self.closed:
            return
        self.closed = True
        if signing:
            await self.notary.end()
        await asyncio.to_thread(self.writer.close)
        self.connection.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Give one, and close it."""
    opened = House(tmp_path, OneStream())
    yield opened
    await opened.close()


async def test_a_checkpoint_is_made_only_when_something_has_changed(house: House) -> None:
    """And it follows from the one before."""
    await house.notary.round()
    assert house.lines() == []
    await house.votes(1, 2)
    await house.notary.round()
    await house.votes(3)
    first, second = map(read, house.lines())
    assert (first[0].number, second[0].number) == (1, 2)
    assert second[0].previous == digest_of(house.lines()[0])
    assert second[1] == KEY.key_id
    assert house.file() == house.lines()
    assert [one.decode() for one in house.stream.messages.values()] == house.lines()


async def test_the_signature_is_over_all_of_it(house: House) -> None:
    """And counts for nothing else that the collector signs."""
    await house.votes(1)
    (line,) = house.lines()
    body = json.loads(line)
    for name, value in (("number", 2), ("hosts", [["h", 1, "0" * 64]]), ("time_ns", 1)):
        with pytest.raises(ProofError):
            read(json.dumps(body | {name: value}, separators=(",", ":"), sort_keys=True))
    signature = body.pop("signature")
    data = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    headers = {"Holdfast-Signature": signature, "Holdfast-Key": KEY.key_id}
    with pytest.raises(SignatureError):
        Verifier(frozenset({KEY.key_id})).check(data, headers)


async def test_a_restart_goes_on_without_reading_what_was_signed(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of before are not looked at again: only the newest line is."""
    await house.votes(*range(1, 40))
    await house.close()
    read_rows: list[tuple[object, ...]] = []

    def counted(*arguments: object) -> object:
        for values in rows_from(*arguments):  # type: ignore[arg-type]
            read_rows.append(values)
            yield values

    monkeypatch.setattr("collector.proof.running.rows_from", counted)
    again = House(tmp_path, house.stream)
    await again.votes(40)
    assert [values[0] for values in read_rows] == ["vote 40"]
    await again.close()
    assert verify(tmp_path, trusted=frozenset({KEY.key_id})).sound


async def test_a_table_with_a_new_column_is_signed_anew(house: House, tmp_path: Path) -> None:
    """With it, over all rows; and what was signed of before goes on to hold."""
    await house.votes(1, 2)
    await house.close()
    place = str(tmp_path / "trail.duckdb")
    with duckdb.connect(place) as connection:
        connection.execute("ALTER TABLE votes ADD COLUMN colour VARCHAR DEFAULT 'none'")
    again = House(tmp_path, house.stream)
    await again.notary.round()
    await again.close()
    assert verify(tmp_path, trusted=frozenset({KEY.key_id})).sound
    for column in ("colour", "reason"):
        with duckdb.connect(place) as connection:
            connection.execute("BEGIN")
            connection.execute(f"UPDATE votes SET \"{column}\" = 'x' WHERE vote = 'vote 2'")
            connection.execute("COMMIT")
        assert not verify(tmp_path, trusted=frozenset({KEY.key_id})).sound
        with duckdb.connect(place) as connection:
            connection.execute("UPDATE votes SET colour = 'none' WHERE vote = 'vote 2'")


async def test_running_digests_go_on_where_rows_have_unused_numbers(house: House) -> None:
    """As after a row that was left out as a duplicate."""
    await house.votes(1, 2)
    await house.votes(2, 3)
    cursor = house.connection.cursor()
    whole = state_of(cursor, "votes", None)
    last = read(house.lines()[-1])[0]
    (votes,) = [one for one in last.tables if one.name == "votes"]
    assert (whole.rows, whole.digest) == (3, votes.digest)


async def test_a_file_that_is_gone_or_torn_is_filled_again(house: House, tmp_path: Path) -> None:
    """What a crash has left of a line is taken out; what is whole stays."""
    await house.votes(1)
    await house.votes(2)
    await house.close()
    file = house.settings.checkpoints
    whole = file.read_text()
    file.write_text(whole[:-20])
    again = House(tmp_path, house.stream)
    await again.notary.round()
    assert file.read_text() == whole
    file.unlink()
    await again.close()
    once_more = House(tmp_path, house.stream)
    await once_more.notary.round()
    assert file.read_text() == whole
    await once_more.close()


async def test_a_file_of_another_history_is_put_aside(house: House, tmp_path: Path) -> None:
    """And stays as it is: it may be what proves something."""
    await house.votes(1)
    await house.close()
    file = house.settings.checkpoints
    strange = file.read_text().replace('"number":1', '"number":7')
    file.write_text(strange)
    again = House(tmp_path, house.stream)
    await again.notary.round()
    assert again.file() == again.lines()
    aside = await asyncio.to_thread(lambda: [*tmp_path.glob("checkpoints.jsonl.*")])
    assert [one.read_text() for one in aside] == [strange]
    await again.close()


async def test_another_checkpoint_in_the_stream_is_told(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever rewrites a trail cannot take the place of what was published."""
    subject = f"hf.checkpoint.{trail_id(house.connection)}.2"
    await house.votes(1)
    house.stream.messages[subject] = b"another"
    await house.votes(2)
    assert "another checkpoint 2" in caplog.text
    assert house.stream.messages[subject] == b"another"


async def test_a_trail_that_was_put_back_is_told_at_the_start(
    house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The stream has what came later, or another one under the same number."""
    subject = f"hf.checkpoint.{trail_id(house.connection)}."
    await house.votes(1)
    house.stream.messages[f"{subject}9"] = b"later"
    await house.close()
    again = House(tmp_path, house.stream)
    await again.notary.round()
    assert "holds checkpoint 9 of this trail, and the newest here is 1" in caplog.text
    await again.close()
    house.stream.messages.clear()
    house.stream.messages[f"{subject}1"] = b"another"
    once_more = House(tmp_path, house.stream)
    await once_more.notary.round()
    assert "another checkpoint 1" in caplog.text
    await once_more.close()


async def test_a_command_gets_the_checkpoint_and_gives_a_receipt(tmp_path: Path) -> None:
    """On its standard input; what it prints is kept. Each newest goes there once."""
    kept = tmp_path / "kept"
    script = f"cat >> {kept}; echo receipt $(wc -l < {kept})"
    anchors: list[Anchor] = [CommandAnchor(("sh", "-c", script), timeout_s=10)]
    anchors.append(FileAnchor(tmp_path / "copy"))
    opened = House(tmp_path, OneStream(), anchors)
    for number in (1, 2):
        await opened.votes(number)
        await opened.notary.round()
    rows = opened.connection.cursor().execute("SELECT checkpoint, anchor, receipt FROM anchors")
    found = sorted(rows.fetchall())
    assert [one for one in found if one[1] == "command:sh"] == [
        (1, "command:sh", "receipt 1"),
        (2, "command:sh", "receipt 2"),
    ]
    assert kept.read_text().splitlines() == opened.lines()
    assert (tmp_path / "copy").read_text() == kept.read_text()
    await opened.close()
    report = verify(tmp_path, trusted=frozenset({KEY.key_id}), anchors=(kept,))
    assert (report.sound, report.anchored) == (True, "anchored up to checkpoint 2")


async def test_an_anchor_that_fails_is_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By the next round, and nothing else waits for it."""
    gate = tmp_path / "gate"
    words = ("sh", "-c", f"test -e {gate} || {{ echo no gate >&2; exit 3; }}")
    slow = CommandAnchor(("sleep", "60"), timeout_s=0.2)
    opened = House(tmp_path, OneStream(), [slow, CommandAnchor(words, timeout_s=10)])
    await opened.votes(1)
    assert "exit status 3: no gate" in caplog.text
    assert "no answer in 0.2 s" in caplog.text
    gate.touch()
    await opened.notary.round()
    rows = opened.connection.cursor().execute("SELECT anchor FROM anchors").fetchall()
    assert rows == [("command:sh",)]
    await opened.close()


async def test_a_trail_of_chains_is_sound_at_every_step(house: House, tmp_path: Path) -> None:
    """Also one that has no checkpoint yet, and then rows that none covers."""
    await house.writer.write(batches=chain_of(HOSTS[0], (3, 2)))
    await house.notary.round()
    await house.writer.write(batches=chain_of(HOSTS[1], (3, 2)))
    await house.close(signing=False)
    report = verify(tmp_path, trusted=frozenset({KEY.key_id}))
    assert report.sound
    assert report.anchored == "unanchored"
    assert "batches: the 2 newest rows are not signed yet" in report.notes
