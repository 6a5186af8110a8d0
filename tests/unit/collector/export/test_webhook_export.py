"""A continuous export to a webhook: a real HTTP server and trail, nothing lost, nothing twice."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from collector.export.bell import Bell
from collector.export.position import SLACK_NS
from collector.export.settings import Beginning, Export, ExportKind, Shape
from collector.trail.retention.settings import Retention, policy_of
from collector.trail.rows import opened_row
from tests.support.export_trail import HOST, OTHER, ExportTrail
from tests.support.exporting import SECRET, exporting, until, until_idle, write_target
from tests.support.kept_trail import drop_now
from tests.support.ocsf_schema import faults
from tests.support.receiver import Received, Receiver, receiver
from tests.support.wire_host import opened
from wire.codec import encode


def settings(**changes: Any) -> Export:
    """Return an export to the webhook siem."""
    chosen: dict[str, Any] = {
        "name": "siem",
        "kind": ExportKind.WEBHOOK,
        "to": "siem",
        "what": ("events", "holds"),
        "start": Beginning.BEGINNING,
        "batch": 4,
    }
    return Export(**(chosen | changes))


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[Receiver]:
    """The far side, whose address and secret are in tmp_path."""
    async with receiver() as made:
        write_target(tmp_path, made.url)
        yield made


def ids(posts: list[Received]) -> list[str]:
    """Return the ids of the records of posts, in order."""
    return [record["id"] for post in posts for record in post.json["records"]]


async def _hold(trail: ExportTrail, received_ns: int) -> str:
    hold = opened(HOST)
    await trail.rows(opened_row(hold, encode(hold), received_ns))
    return f"holds/{hold.hold}"


async def test_everything_comes_once_signed_and_numbered(
    trail: ExportTrail, far: Receiver, tmp_path: Path
) -> None:
    """Events of each host in order, each delivery with an id, each record with a number."""
    await trail.events(HOST, [{}] * 6)
    await trail.events(OTHER, [{}])
    hold = await _hold(trail, 5)
    async with exporting(trail, tmp_path, settings()) as exporter:
        await until_idle(exporter)
    posts = [await far.next() for _ in range(far.count)]
    assert ids(posts) == [
        hold,
        *(f"events/{HOST}/{number}" for number in range(1, 7)),
        f"events/{OTHER}/1",
    ]
    numbers = [post.json["first_number"] for post in posts]
    assert numbers == [1, 2, 6, 8]
    assert len({post.headers["webhook-id"] for post in posts}) == len(posts) == 4
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    for post in posts:
        assert post.headers["idempotency-key"] == post.headers["webhook-id"]
        said = f"{post.headers['webhook-id']}.{post.headers['webhook-timestamp']}.".encode()
        proof = base64.b64encode(hmac.digest(key, said + post.body, hashlib.sha256)).decode()
        assert post.headers["webhook-signature"] == f"v1,{proof}"


@pytest.mark.parametrize("answer", ["lost", "reset", "429 1", 500, 503, 400, 301, 403])
async def test_what_was_not_acknowledged_is_sent_again_under_its_id(
    trail: ExportTrail, far: Receiver, tmp_path: Path, answer: str | int
) -> None:
    """Also where it is refused: an export leaves nothing out, and says what is wrong."""
    await trail.events(HOST, [{}] * 3)
    far.script(answer)
    async with exporting(trail, tmp_path, settings()) as exporter:
        first = await far.next()
        await until(lambda: exporter.health().trouble)
        assert exporter.health().lag_s > 0
        again = await far.next()
        await until_idle(exporter)
        assert exporter.health().failures == 1 and exporter.health().trouble == ""
    assert again.headers["webhook-id"] == first.headers["webhook-id"]
    assert again.body == first.body
    assert far.waiting == 0


async def test_a_receiver_that_takes_less_gets_less(
    trail: ExportTrail, far: Receiver, tmp_path: Path
) -> None:
    """What it has refused for its size comes in halves."""
    await trail.events(HOST, [{}] * 4)
    far.script(413, 413)
    async with exporting(trail, tmp_path, settings()) as exporter:
        await until_idle(exporter)
    sizes = [len((await far.next()).json["records"]) for _ in range(far.count)]
    assert sizes == [4, 2, 1, 1, 1, 1]


async def test_a_restart_goes_on_where_it_was(
    trail: ExportTrail, far: Receiver, tmp_path: Path
) -> None:
    """Nothing comes twice, nothing is left out, and the numbers go on."""
    await trail.events(HOST, [{}] * 5)
    async with exporting(trail, tmp_path, settings()) as exporter:
        await until_idle(exporter)
    await trail.events(HOST, [{}] * 5)
    await _hold(trail, 10)
    async with exporting(trail, tmp_path, settings()) as exporter:
        await until_idle(exporter)
        assert exporter.health().sent == 11
    posts = [await far.next() for _ in range(far.count)]
    found = ids(posts)
    assert len(found) == len(set(found)) == 11
    assert [post.json["first_number"] for post in posts] == [1, 5, 6, 7, 11]


async def test_an_export_that_begins_now_leaves_out_what_is_there(
    trail: ExportTrail, far: Receiver, tmp_path: Path
) -> None:
    """The default: a SIEM is not flooded with years."""
    await trail.events(HOST, [{}] * 5)
    await _hold(trail, 5)
    bell = Bell()
    async with exporting(trail, tmp_path, settings(start=Beginning.NOW), bell) as exporter:
        while exporter.health().worked_ns is None:
            await trail.events(HOST, [{}])
            bell.ring()
            await asyncio.sleep(0.2)
        last = trail.sql("SELECT max(number) FROM events")[0][0]
        found: list[str] = []
        # It may be idle for having sent the one before, and not have looked since.
        while f"events/{HOST}/{last}" not in found:
            found += ids([await far.next()])
    assert not {f"events/{HOST}/{number}" for number in range(1, 6)} & set(found)


async def test_what_comes_late_is_not_missed(
    trail: ExportTrail, far: Receiver, tmp_path: Path
) -> None:
    """A batch behind later ones, and a row that was received a little before one that was taken."""
    early = trail.next_batch(HOST, [{}] * 2)
    await trail.events(HOST, [{}] * 2)
    newer = await _hold(trail, 2 * SLACK_NS)
    bell = Bell()
    async with exporting(trail, tmp_path, settings(), bell) as exporter:
        await until_idle(exporter)
        await trail.batch(early)
        older = await _hold(trail, 2 * SLACK_NS - SLACK_NS // 2)
        bell.ring()
        await until(lambda: exporter.health().sent == 6)
    found = ids([await far.next() for _ in range(far.count)])
    assert sorted(found) == sorted(
        [newer, older, *(f"events/{HOST}/{number}" for number in (1, 2, 3, 4))]
    )


async def test_a_slow_receiver_delays_only_itself(
    trail: ExportTrail, far: Receiver, tmp_path: Path
) -> None:
    """The trail is written meanwhile, and another export goes its way."""
    await trail.events(HOST, [{}] * 4)
    far.script("slow")
    other = tmp_path / "other"
    other.mkdir()
    async with receiver() as quick:
        write_target(other, quick.url)
        async with exporting(trail, tmp_path, settings()) as waiting:
            await far.next()
            async with exporting(trail, other, settings(name="other")) as exporter:
                await trail.events(HOST, [{}] * 100)
                await until_idle(exporter)
            assert waiting.health().worked_ns is None
        assert len(ids([await quick.next() for _ in range(quick.count)])) >= 4


@pytest.mark.parametrize("shape", list(Shape))
async def test_records_are_in_the_format_that_was_chosen(
    trail: ExportTrail, far: Receiver, tmp_path: Path, shape: Shape
) -> None:
    """OCSF by its schema, ECS, or rows as they are."""
    await trail.events(HOST, [{"kind": "exec", "argv": ["sh", "a\nb\0"], "result": -13, "pid": 7}])
    async with exporting(trail, tmp_path, settings(format=shape)) as exporter:
        await until_idle(exporter)
    body = (await far.next()).json
    (record,) = body["records"]
    assert (body["type"], body["format"], body["table"]) == ("trail.records", shape.value, "events")
    if shape is Shape.OCSF:
        assert faults(record) == []
        assert record["device"]["name"] == "web-1"
    elif shape is Shape.ECS:
        assert record["event"]["id"] == f"events/{HOST}/1"
    else:
        assert record["argv"] == ["sh", "a\nb\0"]


async def test_a_damaged_place_stops_only_the_export_and_says_so(
    trail: ExportTrail, far: Receiver, tmp_path: Path
) -> None:
    """Moved away, it begins anew, with the same ids."""
    place = tmp_path / "exports.sqlite3"
    place.write_bytes(b"no database at all" * 100)
    await trail.events(HOST, [{}])
    async with exporting(trail, tmp_path, settings()) as exporter:
        await until(lambda: "move it away" in exporter.health().trouble)
        place.unlink()
        await until_idle(exporter)
    assert json.loads((await far.next()).body)["records"][0]["id"] == f"events/{HOST}/1"


async def test_what_retention_dropped_before_it_was_sent_is_counted_and_left_out(
    trail: ExportTrail, far: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Retention does not wait for a receiver: its numbers show the hole, and it is said."""
    kinds = ("open", "open", "open", "exec", "exec")
    await trail.events(HOST, [{"kind": kind} for kind in kinds])
    await asyncio.wrap_future(trail.writer.write_out())
    policy = policy_of(Retention(keep={"open": "90d"}), place="x")
    assert policy is not None
    await asyncio.to_thread(drop_now, trail.connection, trail.writer, policy)
    async with exporting(trail, tmp_path, settings()) as exporter:
        await until(lambda: exporter.health().sent == 5)
        assert exporter.health().gone == 3
    posts = [await far.next() for _ in range(far.count)]
    assert ids(posts) == [f"events/{HOST}/4", f"events/{HOST}/5"]
    assert [record["number"] for post in posts for record in post.json["records"]] == [4, 5]
    assert (
        f"3 records of events were gone from the trail before they were sent: 1 to 4 of {HOST}"
        in (caplog.text)
    )
