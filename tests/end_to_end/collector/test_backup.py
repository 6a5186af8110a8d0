"""A centre whose disk is lost is put back from a backup, and JetStream gives what came since."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from collector.keys import read_signer
from collector.proof.verify.check import verify
from collector.proof.verify.report import Report
from tests.end_to_end.collector.conftest import People, follow, populate
from tests.support.centre import REPOSITORY, centre
from tests.support.orders import PROGRAM
from tests.support.wire_host import WireHost, exec_act, full_row, opened
from wire.messages import Answer, HoldOpened

pytestmark = pytest.mark.nats


@pytest.fixture
def own(tmp_path: Path) -> Iterator[People]:
    """Give a centre for one test, whose NATS keeps its streams on another disk."""
    with centre(tmp_path, start=False) as running:
        settings = f'checkpoint_s = 0.3\nanchor_file = "{tmp_path / "anchor.jsonl"}"\n'
        config = running.config
        config.write_text(config.read_text().replace("[trail]\n", f"[trail]\n{settings}"))
        os.rename(running.state / "nats", tmp_path / "other-disk")
        _mount(running.state, tmp_path)
        running.start_nats()
        running.start_collector()
        yield populate(running)


def _mount(state: Path, tmp_path: Path) -> None:
    (state / "nats").symlink_to(tmp_path / "other-disk")


def _lose_the_disk(people: People, tmp_path: Path) -> None:
    people.centre.stop_collector(signal.SIGKILL)
    shutil.rmtree(people.centre.state)
    people.centre.state.mkdir(mode=0o700)
    _mount(people.centre.state, tmp_path)


def _command(people: People, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "collector", *words, "--config", str(people.centre.config)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def _backup(people: People, directory: Path, *words: str) -> str:
    done = await asyncio.to_thread(_command, people, "backup", str(directory), *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def _decide(
    people: People, hold: HoldOpened, answer: str, grant: dict[str, int] | None = None
) -> None:
    async with people.client(people.reviewer) as client:
        said = await client.post(
            f"/requests/{hold.hold}/decision",
            json={"answer": answer, "reason": "so"} | ({"grant": grant} if grant else {}),
        )
    assert said.status_code == 200, said.text


def _grantable(host: WireHost) -> HoldOpened:
    """Return a hold that can be approved for a time."""
    act = exec_act("pg_dump", "all", environment={"PATH": "/usr/bin"}, filename="/usr/bin/pg_dump")
    return replace(opened(host.id, act=act), program=PROGRAM, not_grantable="")


async def _opened(people: People, host: WireHost, hold: HoldOpened | None = None) -> HoldOpened:
    """Open a hold, and wait until it can be decided."""
    async with people.client(people.viewer) as client, follow(client) as stream:
        await stream.ready()
        hold = hold or opened(host.id)
        await host.say(hold)
        await stream.until(hold.hold, state="open")
    return hold


def _verified(people: People, tmp_path: Path) -> Report:
    state = people.centre.state
    trusted = frozenset({read_signer(state / "keys" / "signing.key").key_id})
    return verify(state, trusted=trusted, anchors=(tmp_path / "anchor.jsonl",))


_TWICE = (
    "SELECT host, number FROM events GROUP BY ALL HAVING count(*) > 1",
    "SELECT hold FROM holds GROUP BY 1 HAVING count(*) > 1",
    "SELECT vote FROM votes GROUP BY 1 HAVING count(*) > 1",
    "SELECT request FROM decisions GROUP BY 1 HAVING count(*) > 1",
    "SELECT sign_in FROM sign_ins GROUP BY 1 HAVING count(*) > 1",
    "SELECT host FROM chain_breaks",
    "SELECT digest FROM rejected",
)


async def test_a_lost_disk_is_restored_and_the_streams_give_the_rest(
    own: People, tmp_path: Path
) -> None:
    """Everything of before and after the backup is there once, and the proof goes on."""
    kept = tmp_path / "kept"
    async with own.host() as host:
        await host.events(*[full_row()] * 1500)  # a segment
        await host.events(full_row(), full_row())  # the tail
        before, across = await _opened(own, host), await _opened(own, host)
        await _decide(own, before, "approve")
        enough = asyncio.Event()
        sending = asyncio.create_task(_send(host, enough))
        await _backup(own, kept, "--with-keys")
        enough.set()
        events = 1502 + await sending
        after, still_open = await _opened(own, host, _grantable(host)), await _opened(own, host)
        await _decide(own, across, "deny")
        await _decide(own, after, "approve", {"minutes": 15, "uses": 2})
        await own.ask_until([[events]], "SELECT count(*) FROM events")
        wanted = "SELECT max(number) >= 3 FROM checkpoints"
        assert await own.ask_until([[True]], wanted) == [[True]]
        newest = (await own.ask("SELECT max(number) FROM checkpoints"))[0][0]

        assert verify(kept, trusted=frozenset()).sound
        _lose_the_disk(own, tmp_path)
        done = await asyncio.to_thread(_command, own, "restore", str(kept))
        assert done.returncode == 0, done.stderr
        own.centre.start_collector()

        assert await own.ask_until([[events]], "SELECT count(*) FROM events") == [[events]]
        decided = [[one.hold] for one in (before, across, after)]
        sql = "SELECT request FROM decisions ORDER BY 1"
        assert await own.ask_until(sorted(decided), sql) == sorted(decided)
        holds = sorted([*decided, [still_open.hold]])
        assert await own.ask_until(holds, "SELECT hold FROM holds ORDER BY 1") == holds
        assert await own.ask_until([[3]], "SELECT count(*) FROM votes") == [[3]]
        granted = [[after.hold, 15]]
        sql = "SELECT request, grant_minutes FROM votes WHERE grant_minutes IS NOT NULL"
        assert await own.ask_until(granted, sql) == granted
        assert await own.ask_until([[1]], "SELECT count(*) FROM grants") == [[1]]
        await _until_open(own, still_open)
        await _decide(own, still_open, "deny")
        verdicts = {one.hold: one.answer for one in [await host.verdict() for _ in range(4)]}
        assert verdicts[still_open.hold] is Answer.DENY
        await host.events(full_row())
        await own.ask_until([[events + 1]], "SELECT count(*) FROM events")
    for twice in _TWICE:
        assert await own.ask(twice) == [], twice
    own.centre.stop_collector()
    report = _verified(own, tmp_path)
    assert report.sound, report.findings
    assert report.figures["checkpoints"] > newest
    assert any("was put back on" in note for note in report.notes)
    words = [sys.executable, "docs/verify.py", str(own.centre.state)]
    ran = await asyncio.to_thread(
        lambda: subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


async def _send(host: WireHost, enough: asyncio.Event) -> int:
    """Send events until it is enough; return how many it were."""
    count = 0
    while not enough.is_set():
        await host.events(full_row())
        count += 1
        await asyncio.sleep(0.02)
    return count


async def _until_open(people: People, hold: HoldOpened) -> None:
    for _ in range(400):
        async with people.client(people.viewer) as client:
            shown = await client.get(f"/requests/{hold.hold}")
        if shown.status_code == 200 and shown.json()["state"] == "open":
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"hold {hold.hold} is not open")


async def test_what_is_put_back_behind_the_streams_is_seen_by_the_anchor(
    own: People, tmp_path: Path
) -> None:
    """Old files without a restore are what an attacker has: verify names the anchored one."""
    kept = tmp_path / "kept"
    async with own.host() as host:
        await host.events(full_row())
        await own.ask_until([[True]], "SELECT max(number) >= 1 FROM checkpoints")
        await _backup(own, kept)
        there = len((kept / "checkpoints.jsonl").read_text().splitlines())
        await host.events(full_row())
        newest = f"SELECT max(checkpoint) > {there} FROM anchors"  # noqa: S608 - a number
        await _opened(own, host)
        assert await own.ask_until([[True]], newest) == [[True]]
    own.centre.stop_collector()
    for name in ("trail.duckdb", "checkpoints.jsonl"):
        shutil.copy(kept / name, own.centre.state / name)
    report = _verified(own, tmp_path)
    assert any("at the anchor" in str(one) for one in report.findings), report.findings


async def test_a_backup_that_was_cut_or_changed_is_refused(own: People, tmp_path: Path) -> None:
    """Nothing is put in place, and the file is named; so is a place where something lies."""
    kept = tmp_path / "kept"
    async with own.host() as host:
        await host.events(*[full_row()] * 1500)
        await own.ask_until([[1500]], "SELECT count(*) FROM events")
    await _backup(own, kept)
    assert "is there already" in _command(own, "backup", str(kept)).stderr
    assert "a collector runs on it" in _command(own, "restore", str(kept)).stderr
    own.centre.stop_collector()
    assert "there already; a restore replaces nothing" in _command(own, "restore", str(kept)).stderr
    state = own.centre.state
    for path in [*state.glob("trail*"), *state.glob("*.jsonl"), *state.glob("*.db*")]:
        path.unlink()
    for path in state.glob("*.sqlite3*"):
        path.unlink()
    shutil.rmtree(state / "segments")
    segment = next(kept.glob("segments/*/*.parquet"))
    whole = segment.read_bytes()
    for damage, words in (
        (whole[:-1], f"has {len(whole) - 1} bytes"),
        (whole[:99] + bytes([whole[99] ^ 1]) + whole[100:], "was changed"),
        (None, "missing"),
    ):
        segment.unlink()
        if damage is not None:
            segment.write_bytes(damage)
        refused = _command(own, "restore", str(kept))
        assert refused.returncode == 1
        assert segment.name in refused.stderr
        assert words in refused.stderr
        assert not (state / "trail.duckdb").exists()
        segment.write_bytes(whole)
    manifest = kept / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"checkpoint": ', '"checkpoint": 1'))
    assert "manifest.json: was changed" in _command(own, "restore", str(kept)).stderr
    manifest.unlink()
    assert "no whole backup" in _command(own, "restore", str(kept)).stderr
    manifest.write_text(text)
    assert _command(own, "restore", str(kept)).returncode == 0
