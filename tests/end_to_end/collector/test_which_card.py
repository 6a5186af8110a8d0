"""Which card was before whom: the trail has it whole, proven, and also after a loss."""

import asyncio
import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from collector.keys import read_signer
from collector.proof.verify.check import verify
from tests.end_to_end.collector.conftest import People, follow, populate
from tests.support.centre import REPOSITORY, centre
from tests.support.wire_host import WireHost, exec_act, state
from wire.messages import HoldOpened, HoldStateName

pytestmark = pytest.mark.nats

NOTED = "its parent is gone"
SAW = """
SELECT who, via, card, card_is_of_content, card_content FROM what_reviewers_saw WHERE request = ?
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[People]:
    """Give a centre for one test, which it may stop."""
    with centre(tmp_path, start=False) as running:
        config = running.config
        config.write_text(config.read_text().replace("[trail]\n", "[trail]\ncheckpoint_s = 0.5\n"))
        running.start_nats()
        running.start_collector()
        yield populate(running)


async def _open(people: People, host: WireHost, *argv: str) -> HoldOpened:
    async with people.client(people.viewer) as client, follow(client) as stream:
        await stream.ready()
        hold = await host.open(act=exec_act(*argv))
        await stream.until(hold.hold, state="open")
    return hold


async def _note(people: People, host: WireHost, hold: HoldOpened) -> str:
    """Have the card change; return the digest that it has then."""
    async with people.client(people.viewer) as client, follow(client) as stream:
        await stream.ready()
        await host.say(state(hold, 1, HoldStateName.HELD, detail=NOTED))
        while True:
            shown = await stream.until(hold.hold)
            if NOTED in json.dumps(shown["card"]):
                return str(shown["card_digest"])


def _digest(content: str) -> str:
    return hashlib.sha256(b"holdfast card 1\0" + content.encode()).hexdigest()


async def test_the_trail_has_the_card_that_was_before_the_person_whole(people: People) -> None:
    """By its digest, which anybody can make of its content; and not the one that it became."""
    async with people.host() as host, people.client(people.reviewer) as client:
        hold = await _open(people, host, "rm", "-rf", "/srv")
        shown = (await client.get(f"/requests/{hold.hold}")).json()
        assert await _note(people, host, hold) != shown["card_digest"]
        answer = await client.post(
            f"/requests/{hold.hold}/decision",
            json={"answer": "deny", "reason": "no", "card": shown["card_digest"]},
        )
        assert answer.status_code == 200, answer.text
    ((who, via, card, fits, content),) = await people.ask(SAW, hold.hold)
    assert (who, via, card, fits) == ("ann@example.com", "api", shown["card_digest"], True)
    assert json.loads(content) == shown["card"]
    assert _digest(content) == card
    assert NOTED not in content


async def test_two_who_answer_the_same_card_have_one_row_of_it(people: People) -> None:
    """And who says of none which it was, has none."""
    async with people.host() as host, people.client(people.reviewer) as client:
        first, second = [await _open(people, host, "id", name) for name in ("a", "b")]
        shown = (await client.get(f"/requests/{first.hold}")).json()
        body = {"answer": "deny", "reason": "no"}
        await client.post(
            f"/requests/{first.hold}/decision", json=body | {"card": shown["card_digest"]}
        )
        await client.post(f"/requests/{second.hold}/decision", json=body)
        refused = await client.post(
            f"/requests/{second.hold}/decision", json=body | {"card": shown["card_digest"]}
        )
        assert refused.status_code == 409
    assert await people.ask(
        "SELECT card <> '', card_is_of_content FROM what_reviewers_saw WHERE request = ?",
        second.hold,
    ) == [[False, None]]
    counted = "SELECT count(*) FROM cards WHERE request IN (?, ?)"
    assert await people.ask(counted, first.hold, second.hold) == [[1]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_card_that_was_shown_before_a_restart_can_be_answered_after_it(
    own: People, number: signal.Signals
) -> None:
    """Though it would be another one by now; what was never shown cannot."""
    async with own.host() as host, own.client(own.reviewer) as client:
        hold = await _open(own, host, "id")
        card = (await client.get(f"/requests/{hold.hold}")).json()["card_digest"]
        assert await _note(own, host, hold) != card
        await _written(own, card)
        own.centre.stop_collector(number)
        own.centre.start_collector()
    async with own.client(own.reviewer) as client:
        url, body = f"/requests/{hold.hold}/decision", {"answer": "deny", "reason": "no"}
        refused = await client.post(url, json=body | {"card": "0" * 64})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "card_unknown")
        answer = await client.post(url, json=body | {"card": card})
        assert answer.status_code == 200, answer.text
    assert await own.ask("SELECT card FROM votes") == [[card]]


async def _written(people: People, card: str) -> None:
    """Wait until the disk has a card: the file tells nobody of what it stores."""
    for _ in range(2000):
        path = people.centre.state / "shown.sqlite3"
        with closing(sqlite3.connect(path)) as file:
            if file.execute("SELECT 1 FROM shown WHERE card = ?", (card,)).fetchone():
                return
        await asyncio.sleep(0.01)
    raise AssertionError("the card is not on the disk")


async def test_a_card_that_was_changed_in_the_trail_is_found(own: People) -> None:
    """By both checks, as the row that it is; and its digest is not that of its content."""
    trusted = frozenset({read_signer(own.centre.state / "keys" / "signing.key").key_id})
    async with own.host() as host, own.client(own.reviewer) as client:
        hold = await _open(own, host, "rm", "-rf", "/srv")
        card = (await client.get(f"/requests/{hold.hold}")).json()["card_digest"]
        body = {"answer": "approve", "reason": "so", "card": card}
        await client.post(f"/requests/{hold.hold}/decision", json=body)
        await own.ask_until([[1]], "SELECT count(*) FROM cards")
    own.centre.stop_collector()
    assert verify(own.centre.state, trusted=trusted).sound
    with duckdb.connect(str(own.centre.state / "trail.duckdb")) as trail:
        trail.execute("UPDATE cards SET content = replace(content, '/srv', '/tmp')")
        assert trail.execute("SELECT card_is_of_content FROM what_reviewers_saw").fetchall() == [
            (False,)
        ]
    report = verify(own.centre.state, trusted=trusted)
    assert [str(one) for one in report.findings] == [
        f"changed: cards: row 1 (card '{card[:40]}', request '{hold.hold}')"
    ]
    words = [sys.executable, "docs/verify.py", str(own.centre.state)]
    ran = await asyncio.to_thread(
        lambda: subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    )
    assert "changed: cards: row 1" in ran.stdout


async def test_a_trail_that_is_made_anew_has_the_cards_too(own: People) -> None:
    """They come with the votes, from the stream, whichever collector has shown them."""
    async with own.host() as host, own.client(own.reviewer) as client:
        hold = await _open(own, host, "id")
        card = (await client.get(f"/requests/{hold.hold}")).json()["card_digest"]
        body = {"answer": "deny", "reason": "no", "card": card}
        await client.post(f"/requests/{hold.hold}/decision", json=body)
    own.centre.stop_collector()
    for path in own.centre.state.glob("trail.duckdb*"):
        path.unlink()
    (own.centre.state / "shown.sqlite3").unlink()
    own.centre.start_collector()
    wanted = [[card, True]]
    sql = "SELECT card, card_is_of_content FROM what_reviewers_saw"
    assert await own.ask_until(wanted, sql) == wanted
