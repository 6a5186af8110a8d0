"""A kill -9 between accept and record: one card at most comes twice, and both are the same one."""

import signal
import sys
from pathlib import Path

from collector.channels.http import Http
from collector.channels.store import Cards
from collector.channels.webhook import Webhook
from tests.support.centre import Child
from tests.support.desk import desk
from tests.support.receiver import receiver
from tests.unit.collector.samples import make_opened
from wire.ids import HoldId, request_of

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of no receiver but the test's


async def test_a_card_whose_record_was_lost_comes_once_more_and_decides_the_same_request(
    tmp_path: Path,
) -> None:
    """It has the same nonce and the same id, and none of the other requests is doubled."""
    many = [make_opened(hold=HoldId(f"{number:032x}")) for number in range(3)]
    async with receiver() as far:
        for kind, text in (("url", far.url), ("secret", SECRET)):
            path = tmp_path / f"siem.{kind}"
            path.touch(0o600)
            path.write_text(text)
        async with desk(tmp_path) as centre:
            await centre.tell(*many)
        child = Child(
            [sys.executable, "-m", "tests.support.mortal_channels", str(tmp_path)],
            tmp_path / "child.log",
        )
        first = await far.next()
        assert child.process.wait(60) == -signal.SIGKILL
        child.stop()
        cards = Cards(tmp_path / "channels.sqlite3")
        (known,) = await cards.open()
        assert known.tried and known.posted is None
        await cards.close()

        http = Http(timeout_s=10)
        async with desk(tmp_path) as centre:
            await centre.restart()
            async with centre.showing([Webhook(tmp_path, http)], ["webhook:siem"]):
                later = [await far.next() for _ in many]
            cards = Cards(tmp_path / "channels.sqlite3")
            again = await cards.get(known.request, known.route)
            assert again is not None and again.posted is not None
            assert again.nonce == known.nonce
            assert await cards.belongs(known.request, known.nonce, "webhook")
            await cards.close()
        await http.close()
    assert far.waiting == 0
    doubled = [one for one in later if one.headers["webhook-id"] == first.headers["webhook-id"]]
    assert [one.json["request"] for one in doubled] == [known.request]
    assert {one.json["request"] for one in later} == {request_of(one.hold) for one in many}
